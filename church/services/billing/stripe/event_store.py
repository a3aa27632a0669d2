"""Store each webhook event once, and let one delivery at a time process it under a lease.

A delivery that finds another one at work waits for it, so that Stripe gets a 2xx only for a finished event. When the
lease ends, because a process died, the waiting delivery takes over.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from random import uniform
from typing import Any
from uuid import uuid4

from sqlalchemy import ColumnElement, bindparam, or_, select, update
from sqlalchemy.orm import Session

from church import jobs, telemetry
from church.database import batches, database_now
from church.database.batches import find_in_batches
from church.database.upsert import add_once
from church.extensions import db
from church.models import Checkout, Customer, StripeEvent, User
from church.models.billing import EventState
from church.services.accounts import register_deletion
from church.services.billing.stripe.event_types import IncomingEvent, shorten_payload
from church.services.billing.stripe.fetch import find_owner

log = logging.getLogger("church.stripe")

LEASE = 10.0  # seconds
WAIT = 12.0  # seconds that a delivery waits for another: slightly longer than a lease
KEEP_PAYLOADS = timedelta(days=90)  # Stripe itself gives events for 30
_FIRST_PAUSE = 0.025
_LONGEST_PAUSE = 0.2
_LONGEST_REASON = 500
_DONE = frozenset({EventState.PROCESSED.value, EventState.IGNORED.value})
_OPEN = (EventState.RECEIVED.value, EventState.FAILED.value)

_EVENTS: Any = StripeEvent.__table__
# Built once and of the table, because the ORM's way takes several times as long for each event.
_FINISH = (
    update(_EVENTS)
    .where(_EVENTS.c.id == bindparam("claimed_id"), _EVENTS.c.lease == bindparam("claimed_token"))
    .returning(_EVENTS.c.id)
)


class LeaseLostError(Exception):
    """Another delivery took the event over; this one's transaction is rolled back."""


class EventProgress(Enum):
    """State of an event that a delivery cannot claim."""

    DONE = "done"
    FAILED = "failed"
    BUSY = "busy"


@dataclass(frozen=True)
class Claim:
    """A claimed event and when it was claimed (database clock); everything is fetched after that."""

    event_id: int
    token: str
    started_at: datetime
    owner_id: int | None = None
    """Account of the customer that the event names, if stored."""


def claim_event(event: IncomingEvent) -> Claim | EventProgress:
    """Store the event if it is new, and claim it. DONE or BUSY where it cannot be claimed.

    Raises DatabaseDownError, DatabaseBusyError.
    """
    with db.write() as session:
        now = database_now(session)
        row = _row(event, now) | {"attempts": 1} | _lease(now)
        made = add_once(session, StripeEvent, "stripe_id", row)
        if made is not None:
            owner_id = find_owner(session, event.customer) if event.customer else None
            return Claim(made, row["lease"], now, owner_id)
        return _take(session, event.stripe_id, now)


def wait_for_claim(stripe_id: str, clock: Callable[[], float] = time.monotonic) -> Claim | EventProgress:
    """Wait for the delivery that holds the event.

    Returns DONE or FAILED as that one ends, a claim if its lease runs out, BUSY after 12 s.
    """
    deadline = clock() + WAIT
    pause = _FIRST_PAUSE
    while clock() < deadline:
        time.sleep(pause * uniform(0.5, 1.0))  # noqa: S311 (a pause, no secret)
        pause = min(pause * 1.5, _LONGEST_PAUSE)
        with db.read() as session:
            standing, free = _standing(session, stripe_id), _is_free(session, stripe_id)
        if standing in (EventProgress.DONE, EventProgress.FAILED):
            return standing
        if free:
            with db.write() as session:
                claimed = _take(session, stripe_id, database_now(session))
            if isinstance(claimed, Claim):
                return claimed
    return EventProgress.BUSY


def reclaim_event(event_id: int) -> Claim | None:
    """Claim a stored event in any state, to process it again; None while a delivery holds it."""
    with db.write() as session:
        now = database_now(session)
        return _update(session, now, StripeEvent.id == event_id)


def store_ignored_event(event: IncomingEvent, reason: str) -> bool:
    """Store the outline of an event that is not processed; False if it is stored already."""
    with db.write() as session:
        now = database_now(session)
        row = _row(event, now) | {"state": EventState.IGNORED.value, "reason": reason, "processed_at": now}
        row["payload"] = shorten_payload(event.payload)
        return add_once(session, StripeEvent, "stripe_id", row) is not None


def finish_event(
    session: Session,
    claimed: Claim,
    state: EventState,
    now: datetime,
    reason: str | None = None,
    payload: dict[str, Any] | None = None,
) -> None:
    """Store the result of processing in the caller's transaction. Raises LeaseLostError, which rolls it back.

    ``payload`` replaces the stored payload where not all of it may stay.
    """
    values: dict[str, Any] = {"state": state.value, "reason": reason[:_LONGEST_REASON] if reason else None}
    if payload is not None:
        values["payload"] = payload
    if state.value in _DONE:
        values["processed_at"] = now
    where = {"claimed_id": claimed.event_id, "claimed_token": claimed.token}
    if session.scalars(_FINISH, {**where, **values, "lease": None, "leased_until": None}).one_or_none() is None:
        raise LeaseLostError


def is_unprocessed(session: Session, claimed: Claim) -> bool:
    """Whether the claimed event was never processed before."""
    return session.scalars(select(StripeEvent.processed_at).where(StripeEvent.id == claimed.event_id)).one() is None


def _standing(session: Session, stripe_id: str) -> EventProgress | None:
    state = session.scalars(select(StripeEvent.state).where(StripeEvent.stripe_id == stripe_id)).one_or_none()
    if state is None:
        return None
    return (
        EventProgress.DONE
        if state in _DONE
        else EventProgress.FAILED
        if state == EventState.FAILED
        else EventProgress.BUSY
    )


def _is_free(session: Session, stripe_id: str) -> bool:
    free = _unleased(database_now(session))
    return session.scalars(select(StripeEvent.id).where(StripeEvent.stripe_id == stripe_id, free)).first() is not None


def _unleased(now: datetime) -> ColumnElement[bool]:
    """No delivery holds it. A lease that ends later than possible was taken before the clock was set back."""
    until = StripeEvent.leased_until
    return or_(until.is_(None), until <= now, until > now + timedelta(seconds=2 * LEASE))


def _take(session: Session, stripe_id: str, now: datetime) -> Claim | EventProgress:
    """Claim a stored event that no delivery holds and that is not done."""
    taken = _update(session, now, StripeEvent.stripe_id == stripe_id, StripeEvent.state.in_(_OPEN))
    if taken is not None:
        return taken
    return EventProgress.DONE if _standing(session, stripe_id) is EventProgress.DONE else EventProgress.BUSY


def _update(session: Session, now: datetime, *conditions: Any) -> Claim | None:
    lease = _lease(now)
    statement = (
        update(StripeEvent)
        .where(*conditions, _unleased(now))
        .values(**lease, state=EventState.RECEIVED.value, attempts=StripeEvent.attempts + 1)
        .returning(StripeEvent.id)
        .execution_options(synchronize_session=False)
    )
    found = session.scalars(statement).one_or_none()
    return None if found is None else Claim(found, lease["lease"], now)


def _lease(now: datetime) -> dict[str, Any]:
    return {"lease": uuid4().hex, "leased_until": now + timedelta(seconds=LEASE)}


def _row(event: IncomingEvent, now: datetime) -> dict[str, Any]:
    return {
        "stripe_id": event.stripe_id,
        "type": event.type,
        "object_id": event.object_id,
        "payload": event.payload,
        "state": EventState.RECEIVED.value,
        "attempts": 0,
        "created_at": event.created_at,
        "received_at": now,
        "request_id": telemetry.request_id(),
    }


# -- payloads ---------------------------------------------------------------------------------------------------------

_FORGET = "billing.forget_member"
_IS_WHOLE = StripeEvent.payload["truncated"].as_boolean().is_(None)


@jobs.every(timedelta(days=1), "billing.forget_payloads")
def forget_payloads(_payload: dict[str, Any]) -> None:
    """Replace old payloads by their outline, from which an event can still be replayed."""
    with db.read() as session:
        before = database_now(session) - KEEP_PAYLOADS
        old = [StripeEvent.received_at < before, StripeEvent.received_at >= _find_first_whole(session, before)]
    count = 0
    for ids in find_in_batches(db, StripeEvent.id, _IS_WHOLE, along=StripeEvent.received_at, within=old):
        count += _shorten_payloads(ids)
    log.info("old payloads removed", extra={"event": "stripe.forgotten", "count": count})


def _find_first_whole(session: Session, before: datetime) -> datetime:
    """Return the time from which on there may be whole payloads: before it is a batch that has none.

    The job goes from the oldest on, so that nothing older is left, and a job that failed halfway is noticed.
    """
    page = select(StripeEvent.received_at, _IS_WHOLE).order_by(StripeEvent.received_at.desc()).limit(batches.BATCH)
    while rows := session.execute(page.where(StripeEvent.received_at < before)).all():
        before = rows[-1][0]
        if not any(is_whole for _, is_whole in rows):
            break
    return before


@register_deletion
def forget_member(session: Session, user: User) -> None:
    """Queue the removal of the payloads about a deleted account: they hold email addresses and names."""
    if any(_names_at_stripe(session, user.id)):
        jobs.enqueue(session, _FORGET, {"user_id": user.id}, unique_key=f"{_FORGET}:{user.id}")


@jobs.handler(_FORGET)
def forget_payloads_of(payload: dict[str, Any]) -> None:
    """Replace the payloads about one account by their outline. No index leads to them: reads all events in pages."""
    with db.read() as session:
        customers, checkouts = _names_at_stripe(session, payload["user_id"])
    customer = StripeEvent.payload["data"]["object"]["customer"]
    theirs = or_(
        StripeEvent.object_id.in_([*customers, *checkouts]),
        customer.as_string().in_(customers),
        customer["id"].as_string().in_(customers),
    )
    for ids in find_in_batches(db, StripeEvent.id, theirs, _IS_WHOLE):
        _shorten_payloads(ids)


def _names_at_stripe(session: Session, user_id: int) -> tuple[list[str], list[str]]:
    """The customers and checkout sessions of an account, by their names at Stripe."""
    customers = session.scalars(select(Customer.stripe_id).where(Customer.user_id == user_id))
    checkouts = session.scalars(select(Checkout.stripe_session).where(Checkout.user_id == user_id))
    return list(customers), [name for name in checkouts if name]


def _shorten_payloads(ids: list[int]) -> int:
    query = select(StripeEvent).where(StripeEvent.id.in_(ids), _IS_WHOLE)
    with db.write() as session:
        rows = session.scalars(query.with_for_update()).all()
        for row in rows:
            row.payload = shorten_payload(row.payload)
        return len(rows)
