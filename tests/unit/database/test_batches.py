"""Changes in batches: bounded, each committed by itself, with a turn for other writers after each."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event, func, select, update

from church.database import batches
from church.database.batches import delete_in_batches, find_in_batches
from church.extensions import db
from church.models import Job
from church.models.base import utc_now

NOW = utc_now()


@pytest.fixture(autouse=True)
def _small_batches(on_both: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "BATCH", 2)
    monkeypatch.setattr(batches, "PAUSE", 0)


def add_jobs(*kinds: str, minutes: int = 0) -> None:
    """Add a row for each of ``kinds``, all due at the same time."""
    at = NOW + timedelta(minutes=minutes)
    with db.write() as session:
        session.add_all(Job(kind=kind, payload={}, max_attempts=1, run_at=at, created_at=NOW) for kind in kinds)


def kinds() -> list[str]:
    """The rows that are left, in their order."""
    with db.read() as session:
        return list(session.scalars(select(Job.kind).order_by(Job.id)))


def test_delete_removes_all_matching_rows_over_many_batches() -> None:
    add_jobs("old", "new", "old", "old", "new", "new", "new", "old")
    assert delete_in_batches(db, Job.id, Job.kind == "old") == 4
    assert kinds() == ["new"] * 4


def test_delete_of_rows_with_the_same_time_skips_none() -> None:
    add_jobs("old", "new", "old", "old", "old", minutes=1)
    add_jobs("older", "older", "older")
    add_jobs("later", minutes=5)
    due = [Job.run_at < NOW + timedelta(minutes=2)]
    assert delete_in_batches(db, Job.id, Job.kind != "new", along=Job.run_at, within=due) == 7
    assert kinds() == ["new", "later"]


def test_no_statement_reads_or_deletes_more_than_a_batch(on_both: Flask) -> None:
    add_jobs(*["old"] * 5)
    counts: list[int] = []
    engines = on_both.extensions["database"]().open().distinct

    def note(_connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("DELETE"):
            counts.append(cursor.rowcount)
        elif statement.startswith("SELECT jobs"):
            assert "LIMIT" in statement

    for engine in engines:
        event.listen(engine, "after_cursor_execute", note)
    assert delete_in_batches(db, Job.id) == 5
    assert counts == [2, 2, 1]


def test_other_writer_gets_its_turn_after_each_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    add_jobs(*["old"] * 6)
    left: list[int] = []

    def write(_seconds: float) -> None:
        with db.write() as session:  # refused while the batch's own transaction is open
            session.execute(update(Job).values(attempts=Job.attempts + 1))
            left.append(session.scalar(select(func.count()).select_from(Job)) or 0)

    monkeypatch.setattr(batches.time, "sleep", write)
    delete_in_batches(db, Job.id)
    assert left == [4, 2, 0]


def test_delete_that_fails_keeps_its_batches_and_goes_on_later(monkeypatch: pytest.MonkeyPatch) -> None:
    add_jobs(*["old"] * 5)

    def fail(_seconds: float) -> None:
        raise ConnectionError

    with monkeypatch.context() as patch:
        patch.setattr(batches.time, "sleep", fail)
        with pytest.raises(ConnectionError):
            delete_in_batches(db, Job.id)
    assert len(kinds()) == 3
    assert delete_in_batches(db, Job.id) == 3


def test_row_that_changed_since_it_was_found_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    add_jobs("old", "old")
    found = find_in_batches

    def find_late(*args: Any, **options: Any) -> Any:
        for ids in found(*args, **options):
            with db.write() as session:
                session.execute(update(Job).where(Job.id == ids[0]).values(kind="new"))
            yield ids

    monkeypatch.setattr(batches, "find_in_batches", find_late)
    assert delete_in_batches(db, Job.id, Job.kind == "old") == 1
    assert kinds() == ["new"]
