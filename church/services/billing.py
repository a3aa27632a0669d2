"""Membership and money: the face of what the rooms ``billing_*`` do.

Stripe is the source of truth and a projection in the database answers every request; nothing outside the rooms calls
Stripe, and only ``billing_gateway`` imports its SDK.
"""

from __future__ import annotations

from church.services.billing_catalogue import sync
from church.services.billing_errors import StripeDownError, StripeRefusedError
from church.services.billing_grants import GrantView, grant, grants_of, revoke
from church.services.billing_ledger import EntryView, MonthTotal, months, value_totals
from church.services.billing_ledger import entries as ledger
from church.services.billing_projection import Applied
from church.services.billing_reconcile import Reconciled, reconcile, replay_failed
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
    "Applied",
    "EntryView",
    "EventView",
    "GrantView",
    "MonthTotal",
    "Outcome",
    "Reconciled",
    "StripeDownError",
    "StripeRefusedError",
    "SubscriptionView",
    "active_counts",
    "event",
    "event_counts",
    "event_named",
    "events",
    "grant",
    "grants_of",
    "ledger",
    "months",
    "receive",
    "reconcile",
    "replay",
    "replay_failed",
    "revoke",
    "subscriptions",
    "sync",
    "value_totals",
]
