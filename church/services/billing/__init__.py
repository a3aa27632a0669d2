"""Billing: plans, checkouts, subscriptions, free passes, invoices, the ledger, and Stripe's webhooks.

Stripe is the source of truth. A copy in the database, kept up to date by webhooks, answers every page. Only this
package calls Stripe, and only its client module imports the SDK.
"""

from __future__ import annotations

from church.services.billing.account_data import abandon
from church.services.billing.admin_actions import (
    EventView,
    SubscriptionView,
    count_active_subscriptions,
    count_events,
    find_event,
    find_event_id,
    list_events,
    list_subscriptions,
)
from church.services.billing.checkout import MemberAlreadyError, PaidAlreadyError, start_checkout
from church.services.billing.errors import PaymentsOffError, StripeDownError, StripeRefusedError
from church.services.billing.grants import end_of_day, grant, revoke
from church.services.billing.ledger import EntryView, MonthTotal, list_ledger_entries, list_months
from church.services.billing.plan_change import Changed, ChangePreview, change_plan, preview_change
from church.services.billing.plans import INTERVALS, PlanView, PriceView, list_plans
from church.services.billing.portal import NoCustomerError, open_portal, payment_origins
from church.services.billing.presenters import (
    Arrival,
    Banner,
    GrantState,
    GrantView,
    InvoiceView,
    MembershipStatus,
    grant_counts,
    invoices_of,
    list_grants,
    read_arrival,
    status_of,
)
from church.services.billing.scrape_counts import value_totals
from church.services.billing.stripe.apply_to_database import Applied
from church.services.billing.stripe.event_store import forget_payloads
from church.services.billing.stripe.event_types import LARGEST as LARGEST_EVENT
from church.services.billing.stripe.products_and_prices import sync
from church.services.billing.stripe.reconcile import Reconciled, reconcile, replay_failed
from church.services.billing.stripe.webhooks import Outcome, receive, replay

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
    "change_plan",
    "count_active_subscriptions",
    "count_events",
    "end_of_day",
    "find_event",
    "find_event_id",
    "forget_payloads",
    "grant",
    "grant_counts",
    "invoices_of",
    "list_events",
    "list_grants",
    "list_ledger_entries",
    "list_months",
    "list_plans",
    "list_subscriptions",
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
    "sync",
    "value_totals",
]
