"""Webhook events in the database: stored once, processed by one delivery at a time, and shortened later."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, update
from sqlalchemy.event import listen

from church.database import batches
from church.extensions import db
from church.models import StripeEvent, User
from church.models.base import utc_now
from church.models.billing import EventState
from church.services.billing.stripe import event_store
from church.services.billing.stripe.event_store import Claim, EventProgress, LeaseLostError
from church.services.billing.stripe.event_types import IncomingEvent, read_event
from tests.support.accounts_fixture import do_jobs
from tests.support.billing_rows import add_customer, stored

PAYLOAD = {
    "id": "evt_1", "type": "invoice.paid", "created": 1_800_000_000,
    "data": {"object": {"id": "in_1", "object": "invoice", "customer": "cus_1", "customer_email": "ann@example.org"}},
}  # fmt: skip


def event(**changes: Any) -> IncomingEvent:
    return read_event({**PAYLOAD, **changes}, kept={**PAYLOAD, **changes})


def claim() -> Claim:
    """Claim the event, which no delivery holds."""
    found = event_store.claim_event(event())
    assert isinstance(found, Claim)
    return found


def finish(held: Claim, state: EventState = EventState.PROCESSED, **values: Any) -> None:
    with db.write() as session:
        event_store.finish_event(session, held, state, utc_now(), **values)


def change_event(**values: Any) -> None:
    """Set columns of the event, as another process or an earlier day would."""
    with db.write() as session:
        session.execute(update(StripeEvent).values(**values))


def let_lease_end() -> None:
    change_event(leased_until=utc_now() - timedelta(seconds=1))


# -- claims ---------------------------------------------------------------------------------------------------------


def test_event_is_stored_once_and_claimed_by_one_delivery(ada: User) -> None:
    """A further delivery finds it busy, and done once it is finished."""
    add_customer(ada.id, "cus_1")
    held = claim()
    assert held.owner_id == ada.id
    assert event_store.claim_event(event()) is EventProgress.BUSY
    finish(held)
    assert event_store.claim_event(event()) is EventProgress.DONE
    [row] = stored(StripeEvent)
    assert (row.state, row.attempts, row.lease, row.object_id) == ("processed", 1, None, "in_1")
    assert row.processed_at is not None


def test_event_that_failed_is_claimed_again(at_work: Flask) -> None:
    """The reason of the failure is stored, at most 500 characters of it."""
    finish(claim(), EventState.FAILED, reason="x" * 600)
    [row] = stored(StripeEvent)
    assert (row.state, len(row.reason or ""), row.processed_at) == ("failed", 500, None)
    claim()
    [row] = stored(StripeEvent)
    assert (row.state, row.attempts) == ("received", 2)


def test_lease_that_ended_passes_to_the_next_delivery(at_work: Flask) -> None:
    """The slow one can no longer finish the event."""
    slow = claim()
    let_lease_end()
    quick = claim()
    with pytest.raises(LeaseLostError):
        finish(slow)
    finish(quick)
    with pytest.raises(LeaseLostError):
        finish(quick)


def test_lease_from_before_the_clock_was_set_back_is_free(at_work: Flask) -> None:
    """It would block the event for as long as the clock was ahead."""
    claim()
    change_event(leased_until=utc_now() + timedelta(hours=1))
    claim()


def test_reclaim_takes_a_finished_event_but_none_under_way(at_work: Flask) -> None:
    """An admin may replay an event in any state."""
    held = claim()
    assert event_store.reclaim_event(held.event_id) is None
    with db.read() as session:
        assert event_store.is_unprocessed(session, held)
    finish(held)
    again = event_store.reclaim_event(held.event_id)
    assert again is not None
    with db.read() as session:
        assert not event_store.is_unprocessed(session, again)
    assert event_store.reclaim_event(held.event_id + 1) is None


@pytest.mark.parametrize(
    ("state", "progress"),
    [
        (EventState.PROCESSED, EventProgress.DONE),
        (EventState.IGNORED, EventProgress.DONE),
        (EventState.FAILED, EventProgress.FAILED),
    ],
)
def test_wait_ends_as_the_other_delivery_does(
    at_work: Flask, monkeypatch: pytest.MonkeyPatch, state: EventState, progress: EventProgress
) -> None:
    """The other delivery finishes during the second pause."""
    held, pauses = claim(), []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            finish(held, state)

    monkeypatch.setattr(time, "sleep", pause)
    assert event_store.wait_for_claim("evt_1", _ticks(1.0)) is progress
    assert len(pauses) == 2


def test_wait_takes_the_event_over_when_the_lease_ends(at_work: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process of the other delivery died."""
    dead = claim()
    monkeypatch.setattr(time, "sleep", lambda _seconds: let_lease_end())
    taken = event_store.wait_for_claim("evt_1", _ticks(1.0))
    assert isinstance(taken, Claim)
    assert taken.event_id == dead.event_id
    assert taken.token != dead.token


def test_wait_for_a_delivery_that_does_not_end_is_busy(at_work: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits slightly longer than a lease; the pauses grow up to a limit."""
    claim()
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    assert event_store.wait_for_claim("evt_1", _ticks(1.0)) is EventProgress.BUSY
    assert len(pauses) == event_store.WAIT - 1
    assert max(pauses) <= 0.2


def _ticks(step: float) -> Callable[[], float]:
    """A clock that is later by ``step`` seconds each time it is read."""
    now = [0.0]

    def clock() -> float:
        now[0] += step
        return now[0]

    return clock


# -- payloads -------------------------------------------------------------------------------------------------------


def test_ignored_event_is_stored_once_as_an_outline(at_work: Flask) -> None:
    """It may be about people who are not members."""
    assert event_store.store_ignored_event(event(), "a type that this site does not handle")
    assert not event_store.store_ignored_event(event(), "again")
    [row] = stored(StripeEvent)
    assert (row.state, row.reason, row.attempts) == ("ignored", "a type that this site does not handle", 0)
    assert "ann@example.org" not in str(row.payload)
    assert event_store.claim_event(event()) is EventProgress.DONE


def test_payload_is_kept_for_ninety_days(at_work: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """After that an outline stays, in as many batches as it takes."""
    monkeypatch.setattr(batches, "BATCH", 1)
    for name in ("evt_1", "evt_2", "evt_3"):
        event_store.claim_event(event(id=name))
    old = utc_now() - event_store.KEEP_PAYLOADS - timedelta(minutes=1)
    with db.write() as session:
        session.execute(update(StripeEvent).where(StripeEvent.stripe_id != "evt_3").values(received_at=old))
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    event_store.forget_payloads({})
    assert len(pauses) == 2  # other writers get in after each batch
    assert ["ann@example.org" in str(row.payload) for row in stored(StripeEvent)] == [False, False, True]
    assert stored(StripeEvent)[0].payload["data"]["object"] == {
        "id": "in_1", "object": "invoice", "customer": "cus_1",
    }  # fmt: skip


def test_outlines_of_former_days_are_not_read_again(at_work: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """They stay forever: the job reads one batch of them, and sees that everything older was done before."""
    monkeypatch.setattr(batches, "BATCH", 2)
    for number in range(12):
        event_store.claim_event(event(id=f"evt_{number}"))
    old = utc_now() - event_store.KEEP_PAYLOADS - timedelta(days=1)
    with db.write() as session:
        for number, row in enumerate(session.scalars(select(StripeEvent).order_by(StripeEvent.id))):
            row.received_at = old + timedelta(minutes=number)
    event_store.forget_payloads({})
    assert not any("ann@example.org" in str(row.payload) for row in stored(StripeEvent))
    parameters: list[Any] = []
    with db.read() as session:
        listen(session.get_bind().engine, "before_cursor_execute", lambda *given: parameters.append(given[3]))
    event_store.forget_payloads({})
    assert len([one for one in parameters if batches.BATCH in one]) == 3  # the newest, the same again, and the end


@pytest.mark.parametrize("left", [1, 3, 4, 5])
def test_payloads_that_a_failed_job_left_are_found(at_work: Flask, monkeypatch: pytest.MonkeyPatch, left: int) -> None:
    monkeypatch.setattr(batches, "BATCH", 2)
    for number in range(6):
        event_store.claim_event(event(id=f"evt_{number}"))
    old = utc_now() - event_store.KEEP_PAYLOADS - timedelta(days=1)
    with db.write() as session:
        for number, row in enumerate(session.scalars(select(StripeEvent).order_by(StripeEvent.id))):
            row.received_at = old + timedelta(minutes=number)
            if number < 6 - left:
                row.payload = {"truncated": True}
    event_store.forget_payloads({})
    assert all("truncated" in row.payload for row in stored(StripeEvent))


def test_deleted_account_without_a_payment_reads_no_event(ada: User) -> None:
    """A job deletes 200 accounts in one transaction, and a large site has hundreds of thousands of events."""
    with db.write() as session:
        statements: list[str] = []
        connection = session.connection()
        listen(connection, "before_cursor_execute", lambda *given: statements.append(given[2]))
        event_store.forget_member(session, session.get_one(User, ada.id))
    assert statements
    assert not [text for text in statements if "stripe_events" in text]


@pytest.mark.parametrize("customer", ["cus_1", {"id": "cus_1", "email": "ann@example.org"}])
def test_payloads_about_a_deleted_account_are_shortened(ada: User, customer: Any) -> None:
    """Those of other customers stay whole."""
    add_customer(ada.id, "cus_1")
    for name, owner in (("evt_1", customer), ("evt_2", "cus_2")):
        obj = {"id": "in_1", "object": "invoice", "customer": owner, "customer_email": "ann@example.org"}
        event_store.claim_event(event(id=name, data={"object": obj}))
    with db.write() as session:
        event_store.forget_member(session, session.get_one(User, ada.id))
    do_jobs("billing.forget_member")
    assert ["ann@example.org" in str(row.payload) for row in stored(StripeEvent)] == [False, True]
