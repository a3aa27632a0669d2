"""Queue the emails about a membership, in the transaction that processes the webhook.

A member gets one email for each failed invoice, however often Stripe retries it, one before a trial ends, and one when
the membership ends. Redeliveries and replays send nothing. The nightly comparison sends what no webhook has reported.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from church.config import current_settings
from church.models import Invoice, Product, StripeEvent, Subscription, User
from church.models.billing import CURRENT_STATUSES, UNPAID_STATUSES, EventState
from church.models.jobs import Mail
from church.services import email, money
from church.services.billing.membership import list_current_subscriptions
from church.services.billing.stripe.event_types import IncomingEvent
from church.services.entitlements import SubscriptionFacts, grace_end, member_has_premium

_LENGTHS = {"day": "a day", "week": "a week", "month": "a month", "year": "a year"}


@dataclass(frozen=True)
class _Draft:
    """An email to queue."""

    template: str
    user_id: int
    context: dict[str, Any]


def queue_email(session: Session, event: IncomingEvent, event_id: int, now: datetime) -> None:
    """Queue the event's email, if it calls for one, in the transaction that has written the event's rows."""
    if not _was_reported(session, event.type, event.object_id, except_event=event_id):
        _queue(session, event.type, event.object_id or "", now)


def read_statuses(session: Session, stripe_ids: Iterable[str]) -> dict[str, str]:
    """Read the stored statuses of subscriptions, to compare with after a repair."""
    query = select(Subscription.stripe_id, Subscription.status).where(Subscription.stripe_id.in_(list(stripe_ids)))
    return {row.stripe_id: row.status for row in session.execute(query)}


def queue_missed_emails(session: Session, before: dict[str, str], now: datetime) -> None:
    """Queue the emails for subscriptions that changed since ``before`` and whose webhooks have not arrived (yet)."""
    for stripe_id, status in before.items():
        row = _find_subscription(session, stripe_id)
        if row is None or status not in CURRENT_STATUSES:
            continue
        if row.status == "canceled":
            event_type, object_id = "customer.subscription.deleted", stripe_id
        elif row.status in UNPAID_STATUSES and status not in UNPAID_STATUSES and row.latest_invoice is not None:
            event_type, object_id = "invoice.payment_failed", row.latest_invoice
        else:
            continue
        if not _was_reported(session, event_type, object_id):
            _queue(session, event_type, object_id, now, about=object_id)


def _queue(session: Session, event_type: str, stripe_id: str, now: datetime, **more: str) -> None:
    """Queue the email for an event; where no event has arrived, ``more`` records the object it is ``about``."""
    draft = _WRITERS[event_type](session, stripe_id, now)
    if draft is None or (not more and _is_queued(session, stripe_id, draft)):
        return
    user = session.get(User, draft.user_id)
    if user is not None and user.deleted_at is None and user.email is not None:
        context = {**draft.context, **more}
        email.queue_email(session, draft.template, recipient=user.email, user=user, **context)


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


def _is_queued(session: Session, stripe_id: str, draft: _Draft) -> bool:
    """Whether the nightly comparison queued the same email before the event arrived."""
    same = (
        Mail.user_id == draft.user_id,
        Mail.template == draft.template,
        Mail.context["about"].as_string() == stripe_id,
    )
    return session.scalars(select(Mail.id).where(*same).limit(1)).first() is not None


# -- texts ------------------------------------------------------------------------------------------------------------


def _payment_failed(session: Session, stripe_id: str, now: datetime) -> _Draft | None:
    invoice = session.scalars(select(Invoice).where(Invoice.stripe_id == stripe_id)).one_or_none()
    row = _find_subscription(session, invoice.stripe_subscription) if invoice is not None else None
    if invoice is None or row is None or invoice.status != "open" or row.status not in UNPAID_STATUSES:
        return None
    until = grace_end(SubscriptionFacts(row.status, row.past_due_since), current_settings().grace_days)
    context = {
        "plan": _plan_name(session, row),
        "amount": money.format_amount(invoice.amount_remaining, invoice.currency),
        "until": _day(until) if until is not None and now < until else "",
    }
    return _Draft("payment_failed", row.user_id, context)


def _trial_ending(session: Session, stripe_id: str, now: datetime) -> _Draft | None:
    row = _find_subscription(session, stripe_id)
    if row is None or row.status != "trialing" or row.trial_end is None or row.trial_end <= now:
        return None
    if row.cancel_at is not None:
        return None  # it ends with the trial, and nothing is charged
    context = {"plan": _plan_name(session, row), "day": _day(row.trial_end), "price": _price(row)}
    return _Draft("trial_ending", row.user_id, context)


def _ended(session: Session, stripe_id: str, now: datetime) -> _Draft | None:
    row = _find_subscription(session, stripe_id)
    if row is None or row.status != "canceled" or list_current_subscriptions(session, row.user_id):
        return None
    context = {"plan": _plan_name(session, row), "premium": member_has_premium(session, row.user_id, now)}
    return _Draft("membership_ended", row.user_id, context)


_WRITERS = {
    "invoice.payment_failed": _payment_failed,
    "customer.subscription.trial_will_end": _trial_ending,
    "customer.subscription.deleted": _ended,
}
EVENTS = frozenset(_WRITERS)
"""Types of the events that send an email."""


def _find_subscription(session: Session, stripe_id: str | None) -> Subscription | None:
    return session.scalars(select(Subscription).where(Subscription.stripe_id == stripe_id)).one_or_none()


def _plan_name(session: Session, row: Subscription) -> str:
    name = session.scalars(select(Product.name).where(Product.stripe_id == row.stripe_product)).first()
    return name or row.plan.capitalize()


def _price(row: Subscription) -> str:
    """The price of the next period, such as "$12.00 a month"; empty where it is unknown."""
    amount = row.renewal_amount if row.renewal_amount is not None else row.amount
    if amount is None:
        return ""
    count, unit = row.interval_count, row.interval or ""
    length = _LENGTHS.get(unit, "") if count == 1 else f"every {count} {unit}s"
    return f"{money.format_amount(amount, row.currency)} {length}".rstrip()


def _day(at: datetime) -> str:
    """A day in UTC with its year, because an email may be read late."""
    return f"{at.day} {at:%B %Y}"
