"""Billing: plans, checkouts, subscriptions, free passes, invoices, the ledger, and Stripe's webhooks.

Stripe is the source of truth. A copy in the database, kept up to date by webhooks, answers every page. Only this
package calls Stripe, and only its client module imports the SDK.
"""

from __future__ import annotations

from church.services.billing import account_data, reminders  # noqa: F401 - they register export, deletion and jobs
from church.services.billing.admin_actions import (
    count_events,
    count_subscriptions,
    end_subscription,
    find_event_id,
    list_events,
    list_subscriptions,
    list_totals,
    read_event,
    read_member_billing,
    replay_event,
)
from church.services.billing.checkout import MemberAlreadyError, PaidAlreadyError, start_checkout
from church.services.billing.errors import StripeDownError, StripeRefusedError
from church.services.billing.grants import end_of_day, grant_premium, revoke_grant
from church.services.billing.health import PaymentFacts, check_payments, read_payment_facts
from church.services.billing.ledger import export_ledger, list_ledger_entries, list_months
from church.services.billing.offer import PremiumOffer, make_offer, read_offer
from church.services.billing.plan_change import change_plan, preview_change
from church.services.billing.plans import INTERVALS, list_plans
from church.services.billing.portal import open_portal, payment_origins
from church.services.billing.presenters import (
    GrantState,
    MembershipStatus,
    count_grants,
    list_grants,
    list_invoices,
    read_checkout_result,
    read_membership_status,
)
from church.services.billing.scrape_counts import (
    count_subscriptions_by_status,
    sum_payments_by_currency,
    sum_refunds_by_currency,
)
from church.services.billing.stripe import event_store  # noqa: F401 - registers its job
from church.services.billing.stripe.client import load_sdk
from church.services.billing.stripe.event_types import LARGEST_PAYLOAD as LARGEST_EVENT
from church.services.billing.stripe.products_and_prices import sync_catalogue
from church.services.billing.stripe.reconcile import reconcile_with_stripe, replay_failed
from church.services.billing.stripe.webhooks import Outcome, process_webhook, replay
from church.services.billing.unmatched_payments import (
    PaymentState,
    assign_payment,
    count_living_subscriptions,
    count_unmatched,
    dismiss_payment,
    list_unmatched,
)

__all__ = [
    "INTERVALS",
    "LARGEST_EVENT",
    "GrantState",
    "MemberAlreadyError",
    "MembershipStatus",
    "Outcome",
    "PaidAlreadyError",
    "PaymentFacts",
    "PaymentState",
    "PremiumOffer",
    "StripeDownError",
    "StripeRefusedError",
    "assign_payment",
    "change_plan",
    "check_payments",
    "count_events",
    "count_grants",
    "count_living_subscriptions",
    "count_subscriptions",
    "count_subscriptions_by_status",
    "count_unmatched",
    "dismiss_payment",
    "end_of_day",
    "end_subscription",
    "export_ledger",
    "find_event_id",
    "grant_premium",
    "list_events",
    "list_grants",
    "list_invoices",
    "list_ledger_entries",
    "list_months",
    "list_plans",
    "list_subscriptions",
    "list_totals",
    "list_unmatched",
    "load_sdk",
    "make_offer",
    "open_portal",
    "payment_origins",
    "preview_change",
    "process_webhook",
    "read_checkout_result",
    "read_event",
    "read_member_billing",
    "read_membership_status",
    "read_offer",
    "read_payment_facts",
    "reconcile_with_stripe",
    "replay",
    "replay_event",
    "replay_failed",
    "revoke_grant",
    "start_checkout",
    "sum_payments_by_currency",
    "sum_refunds_by_currency",
    "sync_catalogue",
]
