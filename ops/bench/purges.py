"""Show the purges on a large site: ``python -m ops.bench.purges`` on SQLite, ``--url postgresql://…`` on PostgreSQL.

The database of ``--url`` must be empty. Every purge runs to its end while another process writes; printed are the
longest statement and transaction of the purge (with its checkpoint on SQLite, when others write already) and how long
that other writer waited.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any

from flask import Flask
from sqlalchemy import CTE, ColumnElement, Engine, String, case, cast, event, func, literal, select

from church import create_app
from church.config import Settings, load_settings
from church.database.engines import make_upkeep_engine
from church.database.migrations import migrate
from church.extensions import db
from church.jobs.registry import find_handler
from church.models import ChatMessage, ChatRoom, Job, Link, Mail, Schedule, SignIn, User
from church.models.base import UtcDateTime, utc_now

PURGES = ("accounts.purge", "mails.tidy", "jobs.purge", "chat.purge", "videos.sweep")
_TABLES = (SignIn, Link, Mail, Job, ChatMessage)
_WRITER_PAUSE = 0.01  # seconds between two transactions of the other writer
_OLD, _RECENT = timedelta(days=400), timedelta(days=1)


def main() -> None:
    """Fill a database, run every purge beside another writer, and print a line for each."""
    parser = argparse.ArgumentParser(prog="python -m ops.bench.purges")
    parser.add_argument("--members", type=int, default=300_000)
    parser.add_argument("--emails", type=int, default=500_000, help="as many as links, sign-ins and finished jobs")
    parser.add_argument("--url", help="an empty database on PostgreSQL; default: SQLite in a temporary folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        places = {"CHURCH_INSTANCE": Path(folder), "CHURCH_LOG_DIR": Path(folder) / "logs"}
        settings = load_settings(_env_file=None, DATABASE_URL=options.url, **places)
        migrate(settings)
        app = create_app(settings)
        with app.app_context():
            started = time.monotonic()
            _fill(settings, options.members, options.emails)
            print(f"filled in {time.monotonic() - started:.0f} s: {_describe(_count_rows())}")
            for kind in PURGES:
                _measure(app, settings, kind)
            db.dispose()


def _measure(app: Flask, settings: Settings, kind: str) -> None:
    """Run one purge beside another writer, and print its figures."""
    before = _count_rows()
    with _other_writer(settings) as waits, _timed(app) as longest:
        started = time.monotonic()
        find_handler(kind)({})
        seconds = time.monotonic() - started
    after = _count_rows()
    removed = {name: before[name] - after[name] for name in before if before[name] != after[name]}
    print(
        f"{kind:15} {seconds:6.1f} s, longest statement {longest['statement'] * 1e3:4.0f} ms, "
        f"transaction {longest['transaction'] * 1e3:4.0f} ms; other writer: {len(waits):5} writes, "
        f"p99 {_share(waits, 0.99) * 1e3:4.0f} ms, longest {_share(waits, 1) * 1e3:4.0f} ms; "
        f"removed: {_describe(removed)}"
    )


def _share(waits: list[float], share: float) -> float:
    """The wait that ``share`` of all waits do not exceed."""
    return sorted(waits)[max(0, round(len(waits) * share) - 1)] if waits else 0.0


def _describe(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items()) or "nothing"


def _count_rows() -> dict[str, int]:
    with db.read() as session:
        return {model.__tablename__: session.scalar(select(func.count()).select_from(model)) or 0 for model in _TABLES}


# -- the other writer and the clock -----------------------------------------------------------------------------------


@contextmanager
def _other_writer(settings: Settings) -> Iterator[list[float]]:
    """Run a process that writes all the time; give how long each of its transactions took, after the block."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_keep_writing, args=(settings, theirs))
    process.start()
    ours.recv()
    waits: list[float] = []
    try:
        yield waits
        ours.send("stop")
        waits.extend(ours.recv())
    finally:
        process.join(30)


def _keep_writing(settings: Settings, pipe: Pipe) -> None:
    app, waits = create_app(settings), []
    with app.app_context():
        pipe.send("ready")
        while not pipe.poll(_WRITER_PAUSE):
            started = time.monotonic()
            with db.write() as session:
                session.merge(Schedule(kind="bench", every_seconds=len(waits), next_at=utc_now() + timedelta(days=1)))
            waits.append(time.monotonic() - started)
        pipe.send(waits)
        db.dispose()


@contextmanager
def _timed(app: Flask) -> Iterator[dict[str, float]]:
    """Time each statement, and each transaction from its begin to the return of its connection."""
    longest = {"statement": 0.0, "transaction": 0.0}

    def start(connection: Any, *_: Any) -> None:
        connection.info["statement"] = time.monotonic()

    def end(connection: Any, *_: Any) -> None:
        longest["statement"] = max(longest["statement"], time.monotonic() - connection.info["statement"])

    def begin(connection: Any) -> None:
        connection.info["transaction"] = time.monotonic()

    def give_back(_driver: Any, record: Any) -> None:
        if (since := record.info.pop("transaction", None)) is not None:
            longest["transaction"] = max(longest["transaction"], time.monotonic() - since)

    listeners = (("before_cursor_execute", start), ("after_cursor_execute", end), ("begin", begin))
    engines: set[Engine] = app.extensions["database"]().open().distinct
    hooks = [(engine, *listener) for engine in engines for listener in listeners]
    hooks += [(engine.pool, "checkin", give_back) for engine in engines]
    for hook in hooks:
        event.listen(*hook)
    yield longest
    for hook in hooks:
        event.remove(*hook)


# -- rows -------------------------------------------------------------------------------------------------------------


def _fill(settings: Settings, members: int, emails: int) -> None:
    """Add members, and for each email a link, a sign-in, a done job and a message; nine of ten are to be removed."""
    now = utc_now()
    old, recent, later = (literal(now + age, UtcDateTime()) for age in (-_OLD, -_RECENT, _RECENT))
    people, each = _numbers(members), _numbers(emails)
    number, is_old = each.c.number, each.c.number % 10 > 0
    at, ends, owner = case((is_old, old), else_=recent), case((is_old, old), else_=later), number % members + 1
    name, address = cast(number, String), cast(people.c.number, String) + "@church.example"
    empty, state = literal({}, Mail.__table__.c.context.type), case((number % 100 == 0, "pending"), else_="sent")
    room = select(func.min(ChatRoom.id)).scalar_subquery()
    rows: list[tuple[Any, CTE, dict[str, Any]]] = [
        (User, people, {"ref": address, "email": address, "email_key": address, "name": "Ada", "role": "member",
                        "source": "web", "created_at": old, "verified_at": old}),
        (Link, each, {"nonce": "n", "purpose": "verify", "user_id": owner, "created_at": at, "expires_at": ends}),
        (Mail, each, {"template": "verify", "recipient": "ada@church.example", "user_id": owner, "link_id": number,
                      "context": empty, "state": state, "attempts": 1, "created_at": at}),
        (SignIn, each, {"ref": name, "token_hash": name, "user_id": owner, "created_at": at, "last_seen_at": at,
                        "expires_at": ends, "user_agent": "Firefox", "address": "192.0.2.1"}),
        (Job, each, {"kind": "mails.send", "payload": empty, "state": "done", "attempts": 1, "max_attempts": 5,
                     "run_at": at, "created_at": at, "finished_at": at}),
        (ChatMessage, each, {"room_id": room, "number": number, "changed": number, "user_id": owner, "text": "Hello",
                             "created_at": at}),
    ]  # fmt: skip
    engine = make_upkeep_engine(settings)
    with engine.begin() as connection:
        for model, numbers, columns in rows:
            values = [value if isinstance(value, ColumnElement) else literal(value) for value in columns.values()]
            table = model.__table__
            connection.execute(table.insert().from_select(list(columns), select(*values).select_from(numbers)))
    engine.dispose()


def _numbers(count: int) -> CTE:
    first = select(literal(1).label("number")).cte("numbers", recursive=True)
    return first.union_all(select(first.c.number + 1).where(first.c.number < count))


if __name__ == "__main__":
    main()
