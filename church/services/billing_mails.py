"""What members are told of their membership by mail, in the transaction that does the webhook: once of each thing.

Once of an invoice that failed, however often Stripe tries it again; once of a trial, once of an end. A redelivery, a
replay and the nightly comparison tell nothing.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from church.config import settings
from church.models import Invoice, Product, StripeEvent, Subscription, User
from church.models.stripe_event import EventState
from church.services import mails, money
from church.services.billing_events import Incoming
from church.services.billing_membership import living_of
from church.services.entitlements import Subscribed, grace_end, premium_of

_UNPAID = frozenset({"past_due", "unpaid"})
_LENGTHS = {"day": "a day", "week": "a week", "month": "a month", "year": "a year"}
Words = dict[str, Any]


def is_news(session: Session, event: Incoming, event_id: int) -> bool:
    """Whether the event is of a kind that is told and was never done; asked before it is marked as done."""
    if event.type not in _WRITERS:
        return False
    return session.scalars(select(StripeEvent.processed_at).where(StripeEvent.id == event_id)).one() is None


def tell(session: Session, event: Incoming, event_id: int, now: datetime) -> None:
    """Queue the event's mail, if there is something to tell; asked when its rows are written, their customer locked."""
    found = _WRITERS[event.type](session, event.object_id or "", now) if _is_first(session, event, event_id) else None
    if found is None:
        return
    template, user_id, words = found
    user = session.get(User, user_id)
    if user is not None and user.deleted_at is None and user.email is not None:
        mails.queue(session, template, recipient=user.email, user=user, **words)


def _is_first(session: Session, event: Incoming, event_id: int) -> bool:
    """Whether no other event has said the same of the same object."""
    other = select(StripeEvent.id).where(
        StripeEvent.object_id == event.object_id,
        StripeEvent.type == event.type,
        StripeEvent.id != event_id,
        StripeEvent.processed_at.is_not(None),
        StripeEvent.state != EventState.IGNORED.value,
    )
    return session.scalars(other.limit(1)).first() is None


def _payment_failed(session: Session, stripe_id: str, now: datetime) -> tuple[str, int, Words] | None:
    invoice = session.scalars(select(Invoice).where(Invoice.stripe_id == stripe_id)).one_or_none()
    row = _subscription(session, invoice.stripe_subscription) if invoice is not None else None
    if invoice is None or row is None or invoice.status != "open" or row.status not in _UNPAID:
        return None
    until = grace_end(Subscribed(row.status, row.past_due_since), settings().grace_days)
    words = {
        "amount": money.display(invoice.amount_remaining, invoice.currency),
        "until": _day(until) if until is not None and now < until else "",
    }
    return "payment_failed", row.user_id, _plan(session, row) | words


def _trial_ending(session: Session, stripe_id: str, now: datetime) -> tuple[str, int, Words] | None:
    row = _subscription(session, stripe_id)
    if row is None or row.status != "trialing" or row.trial_end is None or row.trial_end <= now:
        return None
    if row.cancel_at is not None:
        return None  # it ends with the trial, and nothing is charged
    return "trial_ending", row.user_id, _plan(session, row) | {"day": _day(row.trial_end), "price": _price(row)}


def _ended(session: Session, stripe_id: str, now: datetime) -> tuple[str, int, Words] | None:
    row = _subscription(session, stripe_id)
    if row is None or row.status != "canceled" or living_of(session, row.user_id):
        return None
    return "membership_ended", row.user_id, _plan(session, row) | {"premium": premium_of(session, row.user_id, now)}


_WRITERS = {
    "invoice.payment_failed": _payment_failed,
    "customer.subscription.trial_will_end": _trial_ending,
    "customer.subscription.deleted": _ended,
}


def _subscription(session: Session, stripe_id: str | None) -> Subscription | None:
    return session.scalars(select(Subscription).where(Subscription.stripe_id == stripe_id)).one_or_none()


def _plan(session: Session, row: Subscription) -> Words:
    name = session.scalars(select(Product.name).where(Product.stripe_id == row.stripe_product)).first()
    return {"plan": name or row.plan.capitalize()}


def _price(row: Subscription) -> str:
    """What a period costs from now on; nothing where that is not known."""
    amount = row.renewal_amount if row.renewal_amount is not None else row.amount
    if amount is None:
        return ""
    count, unit = row.interval_count, row.interval or ""
    length = _LENGTHS.get(unit, "") if count == 1 else f"every {count} {unit}s"
    return f"{money.display(amount, row.currency)} {length}".rstrip()


def _day(at: datetime) -> str:
    """A day in UTC, with its year: a mail may be read late."""
    return f"{at.day} {at:%B %Y}"
