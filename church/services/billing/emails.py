"""What members are told of their membership by mail, in the transaction that does the webhook: once of each thing.

Once of an invoice that failed, however often Stripe tries it again; once of a trial, once of an end. A redelivery and
a replay tell nothing; the nightly comparison tells what it found changed and no webhook has told.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from church.config import current_settings
from church.models import Invoice, Product, StripeEvent, Subscription, User
from church.models.billing import CURRENT_STATUSES, UNPAID_STATUSES, EventState
from church.models.jobs import Mail
from church.services import money
from church.services.billing.membership import living_of
from church.services.billing.stripe.event_types import Incoming
from church.services.email import queue
from church.services.entitlements import Subscribed, grace_end, premium_of

_LENGTHS = {"day": "a day", "week": "a week", "month": "a month", "year": "a year"}
Words = dict[str, Any]


def is_news(session: Session, event: Incoming, event_id: int) -> bool:
    """Whether the event is of a kind that is told and was never done; asked before it is marked as done."""
    if event.type not in _WRITERS:
        return False
    return session.scalars(select(StripeEvent.processed_at).where(StripeEvent.id == event_id)).one() is None


def tell(session: Session, event: Incoming, event_id: int, now: datetime) -> None:
    """Queue the event's mail, if there is something to tell; asked when its rows are written, their customer locked."""
    if not _was_said(session, event.type, event.object_id, but=event_id):
        _queue(session, event.type, event.object_id or "", now)


def statuses(session: Session, stripe_ids: Iterable[str]) -> dict[str, str]:
    """How subscriptions stand that are known, for ``tell_unheard`` to compare with."""
    query = select(Subscription.stripe_id, Subscription.status).where(Subscription.stripe_id.in_(list(stripe_ids)))
    return {row.stripe_id: row.status for row in session.execute(query)}


def tell_unheard(session: Session, before: dict[str, str], now: datetime) -> None:
    """Queue the mails of what became otherwise since ``before``, whose webhooks have not come, and may yet come."""
    for stripe_id, status in before.items():
        row = _subscription(session, stripe_id)
        if row is None or status not in CURRENT_STATUSES:
            continue
        if row.status == "canceled":
            what, about = "customer.subscription.deleted", stripe_id
        elif row.status in UNPAID_STATUSES and status not in UNPAID_STATUSES and row.latest_invoice is not None:
            what, about = "invoice.payment_failed", row.latest_invoice
        else:
            continue
        if not _was_said(session, what, about):
            _queue(session, what, about, now, about=about)


def _queue(session: Session, what: str, stripe_id: str, now: datetime, **more: str) -> None:
    """Write the mail of an event of kind ``what``; of one that has not come, ``more`` says what it is about."""
    found = _WRITERS[what](session, stripe_id, now)
    if found is None or (not more and _is_told(session, stripe_id, *found[:2])):
        return
    template, user_id, words = found
    user = session.get(User, user_id)
    if user is not None and user.deleted_at is None and user.email is not None:
        queue.queue(session, template, recipient=user.email, user=user, **{**words, **more})


def _was_said(session: Session, what: str, stripe_id: str | None, but: int | None = None) -> bool:
    """Whether an event other than ``but`` has said the same of the same object."""
    other = select(StripeEvent.id).where(
        StripeEvent.object_id == stripe_id,
        StripeEvent.type == what,
        StripeEvent.id.is_distinct_from(but),
        StripeEvent.processed_at.is_not(None),
        StripeEvent.state != EventState.IGNORED.value,
    )
    return session.scalars(other.limit(1)).first() is not None


def _is_told(session: Session, stripe_id: str, template: str, user_id: int) -> bool:
    """Whether the comparison has told it before its event came."""
    same = (Mail.user_id == user_id, Mail.template == template, Mail.context["about"].as_string() == stripe_id)
    return session.scalars(select(Mail.id).where(*same).limit(1)).first() is not None


def _payment_failed(session: Session, stripe_id: str, now: datetime) -> tuple[str, int, Words] | None:
    invoice = session.scalars(select(Invoice).where(Invoice.stripe_id == stripe_id)).one_or_none()
    row = _subscription(session, invoice.stripe_subscription) if invoice is not None else None
    if invoice is None or row is None or invoice.status != "open" or row.status not in UNPAID_STATUSES:
        return None
    until = grace_end(Subscribed(row.status, row.past_due_since), current_settings().grace_days)
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
