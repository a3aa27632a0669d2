"""Rows that are inserted or updated without conflicts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from church.database import Database
from church.database.upsert import add_once, insert_or_ignore, insert_or_update
from church.models import Schedule, StripeEvent

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def values(every: float, kind: str | None = "a") -> dict[str, Any]:
    """Values of a schedule."""
    return {"kind": kind, "every_seconds": every, "next_at": NOON}


def schedules(db: Database) -> dict[str, float]:
    """The period of each schedule."""
    with db.read() as session:
        return {row.kind: row.every_seconds for row in session.scalars(select(Schedule))}


def test_insert_or_ignore_keeps_the_first_row(db: Database) -> None:
    with db.write() as session:
        assert insert_or_ignore(session, Schedule, values(1), unique=["kind"])
        assert not insert_or_ignore(session, Schedule, values(2), unique=["kind"])
        assert not insert_or_ignore(session, Schedule, values(3))
    assert schedules(db) == {"a": 1}


def test_insert_or_ignore_still_raises_for_another_constraint(db: Database) -> None:
    with pytest.raises(IntegrityError), db.write() as session:
        insert_or_ignore(session, Schedule, values(1, kind=None), unique=["kind"])


def test_insert_or_update_inserts_and_then_updates(db: Database) -> None:
    with db.write() as session:
        for every in (1, 2):
            insert_or_update(session, Schedule, {"kind": "a"}, {"every_seconds": every, "next_at": NOON})
        insert_or_update(session, Schedule, {"kind": "b"}, {"every_seconds": 9, "next_at": NOON})
    assert schedules(db) == {"a": 2, "b": 9}


def test_add_once_returns_the_id_of_a_new_row_only(db: Database) -> None:
    def an_event(stripe_id: str, kind: str) -> dict[str, Any]:
        times = {"created_at": NOON, "received_at": NOON}
        return {"stripe_id": stripe_id, "type": kind, "payload": {}, "state": "received", "attempts": 0, **times}

    with db.write() as session:
        first = add_once(session, StripeEvent, "stripe_id", an_event("evt_1", "first"))
        assert add_once(session, StripeEvent, "stripe_id", an_event("evt_1", "again")) is None
        other = add_once(session, StripeEvent, "stripe_id", an_event("evt_2", "other"))
        rows = session.execute(select(StripeEvent.id, StripeEvent.type).order_by(StripeEvent.id)).all()
    assert rows == [(first, "first"), (other, "other")]
