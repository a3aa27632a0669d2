"""Queue the emails about a membership, in the transaction that stores the change behind them.

Each occasion has a key that is stored with its email (``Notice``), so that an event that comes twice, a replay, the
nightly comparison and two hosts together send it once. Deleted accounts and unconfirmed addresses get none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, String, cast, exists, literal, select
from sqlalchemy.orm import Session

from church.config import current_settings
from church.database.upsert import add_once
from church.models import Grant, Invoice, Notice, Price, Product, StripeEvent, Subscription, User
from church.models.base import utc_now
from church.models.billing import CURRENT_STATUSES, PAID_STATUSES, UNPAID_STATUSES, EventState
from church.services import email, money
from church.services.billing.membership import list_current_subscriptions
from church.services.billing.stripe.event_types import IncomingEvent
from church.services.entitlements import SubscriptionFacts, grace_end, member_has_premium

if TYPE_CHECKING:
    from church.services.billing.stripe.fetch import Facts

NEWS = timedelta(days=7)
"""A subscription that began longer ago is no news: its webhooks were lost, or it was brought along."""
_SETTINGS = {
    "welcome": "email_welcome",
    "membership_cancelled": "email_cancelled",
    "membership_ended": "email_ended",
    "invoice_open": "email_invoice_open",
    "renewal_ahead": "email_renewal_days",
    "pass_given": "email_complimentary",
    "pass_ending": "email_complimentary",
    "pass_ended": "email_complimentary",
}
"""The setting that turns each email off."""


@dataclass(frozen=True)
class _Draft:
    """An email to queue; ``key`` names its occasion."""

    template: str
    user_id: int
    key: str
    context: dict[str, Any] = field(default_factory=dict)


def queue_email(session: Session, event: IncomingEvent, event_id: int, facts: Facts, now: datetime) -> None:
    """Queue the event's email, if it calls for one, in the transaction that has written the event's rows."""
    if not _was_reported(session, event.type, event.object_id, except_event=event_id):
        _queue(session, _WRITERS[event.type](session, event.object_id or "", facts, now))


def queue_change(
    session: Session, facts: Facts, before: Mapping[str, Any] | None, row: Mapping[str, Any], now: datetime
) -> None:
    """Queue the emails for a change of a subscription, whatever brought it: ``before`` it is None for a new one."""
    former = before["status"] if before is not None else None
    stripe_id, status = row["stripe_id"], row["status"]
    if status in PAID_STATUSES and former not in CURRENT_STATUSES and (facts.matched or row["started_at"] > now - NEWS):
        _queue(session, _welcome(session, stripe_id))
    if before is None or former not in CURRENT_STATUSES:
        return
    if status == "canceled":
        queue_ended(session, stripe_id, facts, now)
    elif status in UNPAID_STATUSES and former not in UNPAID_STATUSES:
        _queue(session, _payment_failed(session, row["latest_invoice"] or "", facts, now))
    elif status in CURRENT_STATUSES and row["cancel_at"] is not None and row["cancel_at"] != before["cancel_at"]:
        _queue(session, _cancelled(session, stripe_id, facts, now))


def queue_ended(session: Session, stripe_id: str, facts: Facts, now: datetime) -> None:
    """Queue the email about a subscription that has ended."""
    _queue(session, _ended(session, stripe_id, facts, now))


def queue_renewal(session: Session, row: Subscription) -> bool:
    """Queue the email before a yearly renewal. Returns whether it was queued."""
    return _queue(session, _renewal_ahead(session, row))


def queue_pass_given(session: Session, row: Grant) -> None:
    """Queue the email about free premium that was given, in the transaction that gives it."""
    _queue(session, _Draft("pass_given", row.user_id, f"pass_given:{row.id}", {"until": _day(row.until)}))


def queue_pass_ending(session: Session, row: Grant) -> bool:
    """Queue the email before free premium ends, unless other premium lasts longer. Returns whether it was queued."""
    if _lasts_beyond(session, row):
        return False
    return _queue(session, _Draft("pass_ending", row.user_id, f"pass_ending:{row.id}", {"until": _day(row.until)}))


def had_pass_email(template: str) -> ColumnElement[bool]:
    """Whether the email ``template`` about a grant was queued, as a condition."""
    return exists().where(Notice.key == literal(f"{template}:").concat(cast(Grant.id, String)))


def queue_pass_ended(session: Session, row: Grant, now: datetime) -> bool:
    """Queue the email about free premium that ended or was revoked, unless the member has other premium."""
    if member_has_premium(session, row.user_id, now):
        return False
    return _queue(session, _Draft("pass_ended", row.user_id, f"pass_ended:{row.id}"))


def _queue(session: Session, draft: _Draft | None) -> bool:
    """Queue an email unless its setting is off, its account gets none, or its occasion had one."""
    if draft is None or not getattr(current_settings(), _SETTINGS.get(draft.template, ""), True):
        return False
    user = session.get(User, draft.user_id)
    if user is None or user.deleted_at is not None or user.verified_at is None or user.email is None:
        return False
    session.flush()
    if add_once(session, Notice, "key", {"key": draft.key, "created_at": utc_now()}) is None:
        return False
    return email.queue_email(session, draft.template, recipient=user.email, user=user, **draft.context)


def _was_reported(session: Session, event_type: str, stripe_id: str | None, except_event: int | None = None) -> bool:
    """Whether another event of this type about the same object was processed."""
    other = select(StripeEvent.id).where(
        StripeEvent.object_id == stripe_id,
        StripeEvent.type == event_type,
        StripeEvent.id.is_distinct_from(except_event),
        StripeEvent.processed_at.is_not(None),
        StripeEvent.state != EventState.IGNORED.value,
    )
    return session.scalars(other.limit(1)).first() is not None


# -- texts ------------------------------------------------------------------------------------------------------------


def _welcome(session: Session, stripe_id: str) -> _Draft | None:
    row = _find_subscription(session, stripe_id)
    if row is None:
        return None
    trial = row.trial_end if row.status == "trialing" else None
    context = {
        "plan": _plan_name(session, row.stripe_product, row.plan),
        "trial": _day(trial) if trial is not None else "",
        "ends": _day(row.cancel_at) if row.cancel_at is not None else "",
        "price": _next_payment(row),
    }
    return _Draft("welcome", row.user_id, f"welcome:{stripe_id}", context)


def _cancelled(session: Session, stripe_id: str, facts: Facts, now: datetime) -> _Draft | None:
    row = _find_subscription(session, stripe_id)
    if row is None or row.cancel_at is None or row.cancel_at <= now:
        return None
    others = [one for one in list_current_subscriptions(session, row.user_id) if one.id != row.id]
    context = {
        "plan": _plan_name(session, row.stripe_product, row.plan),
        "until": _day(row.cancel_at),
        "another": any(one.status in PAID_STATUSES for one in others),
    }
    asked_at = _fetched(facts, stripe_id).get("canceled_at")  # of a cancellation taken back and made again, a new one
    key = f"cancelled:{stripe_id}:{row.cancel_at:%Y%m%d%H%M}:{asked_at}"
    return _Draft("membership_cancelled", row.user_id, key, context)


def _payment_failed(session: Session, stripe_id: str, _facts: Facts, now: datetime) -> _Draft | None:
    invoice = session.scalars(select(Invoice).where(Invoice.stripe_id == stripe_id)).one_or_none()
    row = _find_subscription(session, invoice.stripe_subscription) if invoice is not None else None
    if invoice is None or row is None or invoice.status != "open" or row.status not in UNPAID_STATUSES:
        return None
    until = grace_end(SubscriptionFacts(row.status, row.past_due_since), current_settings().grace_days)
    context = {
        "plan": _plan_name(session, row.stripe_product, row.plan),
        "amount": money.format_amount(invoice.amount_remaining, invoice.currency),
        "until": _day(until) if until is not None and now < until else "",
    }
    template = "invoice_open" if row.collection_method == "send_invoice" else "payment_failed"
    return _Draft(template, row.user_id, f"unpaid:{stripe_id}", context)


def _fetched(facts: Facts, subscription: str) -> Mapping[str, Any]:
    """Return the subscription as Stripe has it; empty where the change did not come from there."""
    return facts.subscriptions[subscription][0] if subscription in facts.subscriptions else {}


def _trial_ending(session: Session, stripe_id: str, _facts: Facts, now: datetime) -> _Draft | None:
    row = _find_subscription(session, stripe_id)
    if row is None or row.status != "trialing" or row.trial_end is None or row.trial_end <= now:
        return None
    if row.cancel_at is not None:
        return None  # it ends with the trial, and nothing is charged
    plan = _plan_name(session, row.stripe_product, row.plan)
    context = {"plan": plan, "day": _day(row.trial_end), "price": _next_payment(row)}
    return _Draft("trial_ending", row.user_id, f"trial_ending:{stripe_id}:{row.trial_end:%Y%m%d}", context)


def _ended(session: Session, stripe_id: str, _facts: Facts, now: datetime) -> _Draft | None:
    row = _find_subscription(session, stripe_id)
    if row is None or row.status != "canceled" or list_current_subscriptions(session, row.user_id):
        return None
    plan = _plan_name(session, row.stripe_product, row.plan)
    context = {"plan": plan, "premium": member_has_premium(session, row.user_id, now)}
    return _Draft("membership_ended", row.user_id, f"ended:{stripe_id}", context)


def _renewal_ahead(session: Session, row: Subscription) -> _Draft | None:
    if row.current_period_end is None:
        return None
    plan, price = _plan_name(session, row.stripe_product, row.plan), _next_payment(row)
    if row.next_price is not None and row.next_price_at is not None and row.next_price_at <= row.current_period_end:
        plan, list_price = _next_plan(session, row)
        price = price if row.renewal_at == row.next_price_at else list_price
    by_hand = row.collection_method == "send_invoice"
    context = {"plan": plan, "day": _day(row.current_period_end), "price": price, "by_hand": by_hand}
    key = f"renewal:{row.stripe_id}:{row.current_period_end:%Y%m%d}"
    return _Draft("renewal_ahead", row.user_id, key, context)


_WRITERS = {
    "invoice.payment_failed": _payment_failed,
    "customer.subscription.trial_will_end": _trial_ending,
    "customer.subscription.deleted": _ended,
}
EVENTS = frozenset(_WRITERS)
"""Types of the events that send an email by themselves, even if nothing of the subscription changed."""


def _lasts_beyond(session: Session, grant: Grant) -> bool:
    """Whether the member has premium after the end of a grant, as things stand."""
    longer = select(Grant.id).where(
        Grant.user_id == grant.user_id, Grant.revoked_at.is_(None), Grant.until > grant.until, Grant.id != grant.id
    )
    return session.scalars(longer.limit(1)).first() is not None or any(
        row.status in PAID_STATUSES and (row.cancel_at is None or row.cancel_at > grant.until)
        for row in list_current_subscriptions(session, grant.user_id)
    )


def _find_subscription(session: Session, stripe_id: str | None) -> Subscription | None:
    query = select(Subscription).where(Subscription.stripe_id == stripe_id)
    return session.scalars(query.execution_options(populate_existing=True)).one_or_none()


def _plan_name(session: Session, stripe_product: str | None, plan: str) -> str:
    name = session.scalars(select(Product.name).where(Product.stripe_id == stripe_product)).first()
    return name or plan.capitalize()


def _next_plan(session: Session, row: Subscription) -> tuple[str, str]:
    """Name of the plan that the renewal changes to, and its price before discounts and tax."""
    price = session.scalars(select(Price).where(Price.stripe_id == row.next_price)).first()
    if price is None:
        return "another plan", ""
    amount = None if price.amount is None else price.amount * row.quantity
    plan = _plan_name(session, price.stripe_product, "another plan")
    return plan, _format_amount(amount, price.currency)


def _next_payment(row: Subscription) -> str:
    """What the next invoice takes, with tax and discounts; empty where nothing is taken, or that is unknown.

    A discount may be for one payment only, so this is no price "a month".
    """
    return _format_amount(row.renewal_amount, row.currency)


def _format_amount(amount: int | None, currency: str) -> str:
    return "" if amount is None else money.format_amount(amount, currency)


def _day(at: datetime) -> str:
    """A day in UTC with its year, because an email may be read late."""
    return f"{at.day} {at:%B %Y}"
