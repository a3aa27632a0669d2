"""Membership and money: the face of what the rooms ``billing_*`` do.

Stripe is the source of truth and a projection in the database answers every request; nothing outside the rooms calls
Stripe, and only ``billing_gateway`` imports its SDK.
"""

from __future__ import annotations

from church.services.billing_arrival import Arrival, read_arrival
from church.services.billing_catalogue import sync
from church.services.billing_change import Changed, ChangePreview, change_plan, preview_change
from church.services.billing_checkout import MemberAlreadyError, PaidAlreadyError, start_checkout
from church.services.billing_errors import PaymentsOffError, StripeDownError, StripeRefusedError
from church.services.billing_events import LARGEST as LARGEST_EVENT
from church.services.billing_forgetting import forget_payloads
from church.services.billing_grant_views import GrantState, GrantView, grant_counts, list_grants
from church.services.billing_grants import end_of_day, grant, revoke
from church.services.billing_ledger import EntryView, MonthTotal, list_ledger_entries, list_months
from church.services.billing_plans import INTERVALS, PlanView, PriceView, list_plans
from church.services.billing_portal import NoCustomerError, open_portal, payment_origins
from church.services.billing_projection import Applied
from church.services.billing_reconcile import Reconciled, reconcile, replay_failed
from church.services.billing_removal import abandon
from church.services.billing_status import Banner, InvoiceView, MembershipStatus, invoices_of, status_of
from church.services.billing_totals import value_totals
from church.services.billing_views import (
    EventView,
    SubscriptionView,
    active_counts,
    event,
    event_counts,
    event_named,
    events,
    subscriptions,
)
from church.services.billing_webhooks import Outcome, receive, replay

__all__ = [
    "INTERVALS",
    "LARGEST_EVENT",
    "Applied",
    "Arrival",
    "Banner",
    "ChangePreview",
    "Changed",
    "EntryView",
    "EventView",
    "GrantState",
    "GrantView",
    "InvoiceView",
    "MemberAlreadyError",
    "MembershipStatus",
    "MonthTotal",
    "NoCustomerError",
    "Outcome",
    "PaidAlreadyError",
    "PaymentsOffError",
    "PlanView",
    "PriceView",
    "Reconciled",
    "StripeDownError",
    "StripeRefusedError",
    "SubscriptionView",
    "abandon",
    "active_counts",
    "change_plan",
    "end_of_day",
    "event",
    "event_counts",
    "event_named",
    "events",
    "forget_payloads",
    "grant",
    "grant_counts",
    "invoices_of",
    "list_grants",
    "list_ledger_entries",
    "list_months",
    "list_plans",
    "open_portal",
    "payment_origins",
    "preview_change",
    "read_arrival",
    "receive",
    "reconcile",
    "replay",
    "replay_failed",
    "revoke",
    "start_checkout",
    "status_of",
    "subscriptions",
    "sync",
    "value_totals",
]
