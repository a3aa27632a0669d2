"""Statements sent to the driver itself: the same rows, values and errors as SQLAlchemy's, on both databases."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from select import select as select_sockets
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import Connection, bindparam, delete, event, insert, literal, select, update
from sqlalchemy.exc import IntegrityError

from church.database import DatabaseDownError
from church.database.direct import DirectStatement
from church.extensions import db
from church.models import ChatRoom, ChatSanction, User
from church.models.base import utc_now
from tests.support.people import add_user
from tests.support.services_fixture import wait_until

_BY_NAME = (
    select(User.id, User.created_at, User.verified_at, literal("a constant").label("constant"))
    .where(User.name == bindparam("name"), User.created_at < bindparam("before"), User.deleted_at.is_(None))
    .with_for_update(read=True, key_share=True)
)
_FACTS = ("user_id", "kind", "reason", "until", "created_at")
_ADD = DirectStatement(insert(ChatSanction).values({name: bindparam(name) for name in _FACTS}))


def sanction(user: User, kind: str = "mute") -> dict[str, Any]:
    until = datetime(2031, 5, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    return {"user_id": user.id, "kind": kind, "reason": "a\x00b", "until": until, "created_at": until}


def add(*rows: dict[str, Any], before: Callable[[Connection], object] = lambda _connection: None) -> int:
    """Add sanctions in one transaction, in which ``before`` comes first; how many were written."""
    with db.write_connection() as connection:
        before(connection)
        return sum(_ADD.run(connection, row).written for row in rows)


def kinds() -> list[str]:
    with db.read() as session:
        return list(session.scalars(select(ChatSanction.kind)))


def test_rows_are_those_of_sqlalchemy(on_both: Flask) -> None:
    add_user(on_both, "ada@church.example", name="Ada")
    add_user(on_both, "eve@church.example", name="Ada", verified=False)
    values = {"name": "Ada", "before": utc_now() + timedelta(hours=1)}
    statement = DirectStatement(_BY_NAME)
    with db.write_connection() as connection:
        expected = [tuple(row) for row in connection.execute(_BY_NAME, values)]
        assert statement.run(connection, values).rows == statement.run(connection, values).rows == expected
        assert statement.run(connection, {**values, "before": utc_now() - timedelta(days=9)}).rows == []
    assert len(expected) == 2
    assert expected[0][1].tzinfo is UTC


def test_values_are_stored_as_sqlalchemy_stores_them(on_both: Flask) -> None:
    row = sanction(add_user(on_both))
    assert add(row) == 1
    with db.read() as session:
        one = session.scalars(select(ChatSanction)).one()
    assert (one.until, one.reason) == (row["until"], "ab")


def test_update_returns_its_rows_and_how_many(on_both: Flask) -> None:
    statement = DirectStatement(
        update(ChatRoom)
        .where(ChatRoom.name == bindparam("room"))
        .values(last_number=ChatRoom.last_number + bindparam("more"))
        .returning(ChatRoom.name, ChatRoom.last_number)
    )
    with db.write_connection() as connection:
        assert statement.run(connection, {"room": "public", "more": 3}).rows == [("public", 3)]
        assert statement.run(connection, {"room": "nowhere", "more": 3}).rows == []
        assert DirectStatement(delete(ChatRoom).where(ChatRoom.name == "nowhere")).run(connection, {}).written == 0
        connection.rollback()


def test_broken_rule_is_sqlalchemys_error_and_stores_nothing(on_both: Flask) -> None:
    user = add_user(on_both)
    with pytest.raises(IntegrityError):
        add(sanction(user), sanction(user, "no such kind"))
    assert kinds() == []


def _is_closed(connection: Connection) -> bool:
    """Whether the server has closed the connection: what it said last, and the end, can be read."""
    readable, _, _ = select_sockets([connection.connection.dbapi_connection.fileno()], [], [], 0)  # type: ignore[union-attr]
    return bool(readable)


def _lose(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA query_only=ON")  # as on a disk that became read-only
    else:
        connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 1")
        wait_until(lambda: _is_closed(connection), "the server has closed the connection")


def test_lost_connection_is_an_outage_and_the_next_one_works(on_both: Flask) -> None:
    user = add_user(on_both)
    with pytest.raises(DatabaseDownError):
        add(sanction(user), before=_lose)
    if on_both.config["CHURCH"].database_url is None:
        db.dispose()  # SQLite keeps what was set
    assert add(sanction(user)) == 1
    assert kinds() == ["mute"]


def test_statement_on_a_watched_engine_is_seen(on_both: Flask) -> None:
    user, sent = add_user(on_both), list[str]()

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        sent.append(statement)

    add(sanction(user))
    engine = on_both.extensions["database"]().open().writer
    event.listen(engine, "before_cursor_execute", note)
    assert add(sanction(user, "ban")) == 1
    event.remove(engine, "before_cursor_execute", note)
    assert [statement.split()[0] for statement in sent] == ["INSERT"]
    assert kinds() == ["mute", "ban"]
