"""Sessions, locks, outages and probes of the database, on SQLite."""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace

import pytest
from flask import Flask, current_app
from sqlalchemy import Engine, event, select, text
from sqlalchemy.exc import IntegrityError, OperationalError

from church import database
from church.config import Settings
from church.database import Database, DatabaseBusyError, DatabaseDownError, ProbeResult, after_commit
from church.database.engines import make_probe_engine, sqlite_path
from church.database.migrations import head_revision
from church.models import PageText, Schedule
from tests.support.services_fixture import wait_until


def a_text(slug: str, body: str = "words") -> PageText:
    return PageText(slug=slug, scope="full", title=slug, summary="", tags="", body=body, access="public")


def slugs(db: Database) -> list[str]:
    with db.read() as session:
        return list(session.scalars(select(PageText.slug).order_by(PageText.slug)))


def outside(site: Settings) -> closing[sqlite3.Connection]:
    """A connection of another program, which holds the lock."""
    connection = sqlite3.connect(sqlite_path(site), isolation_level=None, timeout=0, check_same_thread=False)
    return closing(connection)


def test_write_is_committed(db: Database) -> None:
    with db.write() as session:
        session.add(a_text("kept"))
    assert slugs(db) == ["kept"]


def test_integrity_error_does_not_show_the_values(db: Database) -> None:
    with pytest.raises(IntegrityError) as raised, db.write() as session:  # noqa: PT012 (the block is the transaction)
        session.add_all([a_text("twice", "confidential"), a_text("twice", "confidential")])
        session.flush()
    assert "confidential" not in str(raised.value)


def test_write_that_raises_is_rolled_back_and_the_next_one_works(db: Database) -> None:
    with pytest.raises(ZeroDivisionError), db.write() as session:  # noqa: PT012 (the block is the transaction)
        session.add(a_text("lost"))
        session.flush()
        raise ZeroDivisionError
    with db.write() as session:
        session.add(a_text("next"))
    assert slugs(db) == ["next"]


def test_after_commit_runs_after_the_commit_and_never_after_a_rollback(db: Database) -> None:
    seen: list[list[str]] = []
    with db.write() as session:
        session.add(a_text("kept"))
        after_commit(session, lambda: seen.append(slugs(db)))
    with pytest.raises(ZeroDivisionError), db.write() as session:  # noqa: PT012 (the block is the transaction)
        after_commit(session, lambda: seen.append(["never"]))
        raise ZeroDivisionError
    assert seen == [["kept"]]


def test_write_inside_a_write_raises_with_advice(db: Database) -> None:
    with db.write() as session, pytest.raises(RuntimeError, match="pass the outer session on"), db.write():
        pass
    with db.write() as session:
        session.add(a_text("after"))
    assert slugs(db) == ["after"]


def test_read_that_writes_is_a_bug_and_not_an_outage(db: Database) -> None:
    with pytest.raises(OperationalError, match="readonly"), db.read() as session:
        session.execute(text("DELETE FROM page_texts"))


def test_read_sees_one_snapshot_while_others_write(db: Database) -> None:
    with db.read() as session:
        with db.write() as other:
            other.add(a_text("later"))
        assert session.scalars(select(PageText.slug)).all() == []
    assert slugs(db) == ["later"]


def test_wrong_statement_keeps_its_error(db: Database) -> None:
    with pytest.raises(OperationalError, match="no such table"), db.read() as session:
        session.execute(text("SELECT 1 FROM nowhere"))


def test_violated_constraint_stays_an_integrity_error(db: Database) -> None:
    with pytest.raises(IntegrityError), db.write() as session:
        session.add_all([a_text("same"), a_text("same")])


def test_write_while_another_program_holds_the_lock_is_busy_and_reads_work(
    db: Database, site: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "WRITE_WAIT", 0.2)
    with outside(site) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseBusyError) as caught, db.write():
            pass
        assert (caught.value.status, caught.value.retry_after) == (503, 1)
        assert slugs(db) == []


def test_write_waits_for_a_lock_that_is_released(db: Database, site: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def sleep(_seconds: float) -> None:
        pauses.append(other.in_transaction)
        if len(pauses) == 3:
            other.execute("COMMIT")

    pauses: list[bool] = []
    monkeypatch.setattr(database, "time", SimpleNamespace(monotonic=lambda: 1000.0, sleep=sleep))
    with outside(site) as other:
        other.execute("BEGIN IMMEDIATE")
        with db.write() as session:
            session.add(a_text("patient"))
    assert pauses == [True] * 3
    assert slugs(db) == ["patient"]


def test_writers_of_one_process_queue_and_no_write_is_lost(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    from flask import current_app

    monkeypatch.setattr(database, "WRITE_WAIT", 120)
    app = current_app._get_current_object()  # type: ignore[attr-defined]

    def write(name: str) -> None:
        with app.app_context():
            for n in range(10):
                with db.write() as session:
                    session.add(a_text(f"{name}{n}"))

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(slugs(db)) == 40


def test_full_disk_refuses_writes_serves_reads_and_recovers(db: Database) -> None:
    with db.write() as session:
        session.add(a_text("before"))
        pages = session.scalar(text("PRAGMA page_count"))
        session.execute(text(f"PRAGMA max_page_count={pages}"))
    with pytest.raises(DatabaseDownError), db.write() as session:
        session.add(a_text("big", body="x" * 1_000_000))
    assert slugs(db) == ["before"]
    with db.write() as session:
        session.execute(text("PRAGMA max_page_count=100000"))
        session.add(a_text("big", body="x" * 1_000_000))
    assert slugs(db) == ["before", "big"]


def test_missing_file_is_an_outage_and_is_not_created(db: Database, site: Settings) -> None:
    sqlite_path(site).unlink()
    with pytest.raises(DatabaseDownError), db.read():
        pass
    with pytest.raises(DatabaseDownError), db.write():
        pass
    assert db.probe() == ProbeResult(answers=False, migrated=False)
    assert not sqlite_path(site).exists()


def test_damaged_file_is_an_outage(db: Database, site: Settings) -> None:
    sqlite_path(site).write_bytes(b"no database at all " * 1000)
    with pytest.raises(DatabaseDownError), db.read():
        pass


def test_database_without_init_app_raises_with_advice() -> None:
    with Flask("bare").app_context(), pytest.raises(RuntimeError, match="init_app"), Database().read():
        pass


def test_forked_child_has_its_own_engines(db: Database) -> None:
    with db.write() as session:
        session.add(a_text("parent"))
        parent = id(session.get_bind().engine)
    child = os.fork()
    if child == 0:
        with db.write() as session:  # the parent's lock and connection must not be shared
            session.add(a_text("child"))
            fresh = id(session.get_bind().engine) != parent
        os._exit(0 if fresh else 1)
    status: list[int] = []
    wait_until(lambda: _ended(child, status), "the child ends")
    assert status == [0]
    assert slugs(db) == ["child", "parent"]


def test_forked_child_leaves_the_snapshot_of_its_parent(db: Database) -> None:
    with db.snapshot():
        with db.read() as session:
            parent = id(session.get_bind().engine)
        child = os.fork()
        if child == 0:
            with db.read() as session:
                fresh = id(session.get_bind().engine) != parent
            os._exit(0 if fresh else 1)
        status: list[int] = []
        wait_until(lambda: _ended(child, status), "the child ends")
    assert status == [0]


def _ended(pid: int, status: list[int]) -> bool:
    found, code = os.waitpid(pid, os.WNOHANG)
    if found:
        status.append(os.waitstatus_to_exitcode(code))
    return bool(found)


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Record the connections that probes open, and the engines that are created."""
    seen: list[object] = []

    def observed(settings: Settings) -> Engine:
        engine = make_probe_engine(settings)
        seen.append(engine)
        event.listen(engine, "connect", lambda connection, _record: seen.append(connection))
        return engine

    monkeypatch.setattr(database, "make_probe_engine", observed)
    return seen


def test_probe_opens_one_connection_and_shares_its_result(db: Database, connected: list[object]) -> None:
    for _ in range(5):
        assert db.probe(max_age=60) == ProbeResult(answers=True, migrated=True)
    assert len(connected) == 2, "one engine, one connection"
    db.probe(max_age=0)
    assert len(connected) == 3, "the same engine, another connection"


def test_probes_at_once_share_one_connection(
    db: Database, connected: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, go = threading.Event(), threading.Event()

    def slow(_connection: object) -> str:
        entered.set()
        assert go.wait(60)
        return head_revision()

    monkeypatch.setattr("church.database.migrations.current_revision", slow)
    state = database._state()
    found: list[ProbeResult] = []
    threads = [threading.Thread(target=lambda: found.append(state.probe(60))) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert entered.wait(60)
    go.set()
    for thread in threads:
        thread.join(60)
    assert found == [ProbeResult(answers=True, migrated=True)] * 4
    assert len(connected) == 2


def test_probe_before_the_migrations_answers_but_is_not_migrated(db: Database, site: Settings) -> None:
    with outside(site) as connection:
        connection.execute("DROP TABLE alembic_version")
    assert db.probe() == ProbeResult(answers=True, migrated=False)


@pytest.mark.parametrize(("revision", "migrated"), [("0001", False), ("9999", True)])
def test_probe_of_a_schema_before_this_code_is_not_migrated_and_after_it_is(
    db: Database, site: Settings, revision: str, *, migrated: bool
) -> None:
    """Hosts are upgraded one after the other: the first migrates, and a balancer still needs the others."""
    with outside(site) as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
    assert db.probe() == ProbeResult(answers=True, migrated=migrated)


def test_time_is_aware_utc_and_sorts_as_text(db: Database) -> None:
    early = datetime(2026, 3, 1, 23, 30, tzinfo=timezone(timedelta(hours=2)))
    with db.write() as session:
        session.add(Schedule(kind="a", every_seconds=1, next_at=early))
        session.add(Schedule(kind="b", every_seconds=1, next_at=early + timedelta(microseconds=1)))
    with db.read() as session:
        found = session.scalars(select(Schedule).order_by(text("CAST(next_at AS TEXT)"))).all()
    assert [row.kind for row in found] == ["a", "b"]
    assert found[0].next_at == early
    assert found[0].next_at.tzinfo is UTC


def test_naive_time_is_refused(db: Database) -> None:
    with pytest.raises(Exception, match="has no time zone"), db.write() as session:
        session.add(Schedule(kind="a", every_seconds=1, next_at=datetime(2026, 3, 1)))


def test_read_begins_with_its_snapshot_and_sends_only_its_own_statements(db: Database) -> None:
    sent: list[str] = []
    with db.read() as session:
        event.listen(session.get_bind().engine, "before_cursor_execute", lambda *given: sent.append(given[2]))
    with db.read() as early:
        with db.write() as session:
            session.add(a_text("later"))
        assert early.scalars(select(PageText.slug)).all() == []  # its snapshot is older than the row
    assert slugs(db) == ["later"]
    assert len(sent) == 2


def test_reads_of_a_snapshot_share_one_transaction(db: Database) -> None:
    with db.snapshot():
        with db.read() as first:
            assert first.scalars(select(PageText.slug)).all() == []
        write_elsewhere(db, "later")
        with db.read() as second, db.read() as third:
            assert second is third is first
        assert slugs(db) == []
    assert slugs(db) == ["later"]


def test_connection_and_session_of_a_snapshot_share_one_transaction(db: Database) -> None:
    with db.snapshot():
        with db.read_connection() as connection:
            assert connection.execute(select(PageText.slug)).all() == []
        write_elsewhere(db, "later")
        with db.read() as session:
            assert session.connection() is connection
        assert slugs(db) == []
    with db.read_connection() as another:
        assert another.execute(select(PageText.slug)).scalars().all() == ["later"]
    assert another.closed


def test_connection_to_read_ends_with_an_error(db: Database) -> None:
    with db.snapshot():
        with pytest.raises(OperationalError), db.read_connection() as failed:
            failed.execute(text("SELECT nothing FROM nowhere"))
        assert failed.closed
        assert slugs(db) == []


def write_elsewhere(db: Database, slug: str) -> None:
    """Write as another request does."""
    context = current_app._get_current_object().app_context()  # type: ignore[attr-defined]

    def write() -> None:
        with context, db.write() as session:
            session.add(a_text(slug))

    thread = threading.Thread(target=write)
    thread.start()
    thread.join()


def test_snapshot_that_reads_nothing_opens_nothing(db: Database) -> None:
    opened: list[object] = []
    with db.read() as session:
        event.listen(session.get_bind().engine, "begin", opened.append)
    with db.snapshot(), db.snapshot():
        pass
    assert opened == []


def test_snapshot_ends_with_a_write_and_begins_anew(db: Database) -> None:
    with db.snapshot():
        assert slugs(db) == []
        with db.write() as session:
            session.add(a_text("own"))
        assert slugs(db) == ["own"]


def test_snapshot_begins_anew_after_a_failed_statement(db: Database) -> None:
    with db.snapshot():
        with pytest.raises(OperationalError), db.read() as failed:
            failed.execute(text("SELECT nothing FROM nowhere"))
        with db.read() as session:
            assert session is not failed
        assert slugs(db) == []


def test_snapshot_returns_its_connection_when_its_block_fails(db: Database) -> None:
    with pytest.raises(KeyError), db.snapshot(), db.read() as session:
        raise KeyError
    pool = session.get_bind().engine.pool  # type: ignore[union-attr]
    assert pool.checkedout() == 0
    assert slugs(db) == []
