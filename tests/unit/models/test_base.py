"""Column types that work alike on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite

from church.extensions import db
from church.models import User
from church.models.base import MARK_END, MARK_START, NameText, PlainText, UtcDateTime, plain, utc_now

NOON = datetime(2026, 5, 3, 12, tzinfo=UTC)
PARIS = timezone(timedelta(hours=2))
DIALECTS = [sqlite.dialect(), postgresql.dialect()]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Zoë 💙\n\t", "Zoë 💙\n\t"),
        ("a\x00b", "ab"),
        ("\ud800x\udfff", "x"),
        (f"{MARK_START}forged{MARK_END}", "forged"),
        ("\x00", ""),
    ],
)
def test_plain_removes_what_a_database_refuses_and_search_marks(text: str, kept: str) -> None:
    assert plain(text) == kept
    assert PlainText().process_bind_param(text, DIALECTS[0]) == kept


def test_name_text_replaces_what_a_database_refuses_and_keeps_marks() -> None:
    assert NameText().process_bind_param("ad\x00min", DIALECTS[0]) == "ad\ufffdmin"
    assert NameText().process_bind_param("\udc80", DIALECTS[0]) == "\ufffd"
    assert NameText().process_bind_param(MARK_START, DIALECTS[0]) == MARK_START


@pytest.mark.parametrize("kind", [PlainText(), NameText(), UtcDateTime()], ids=["plain", "name", "time"])
def test_column_without_a_value_stays_empty(kind: PlainText | NameText | UtcDateTime) -> None:
    assert kind.process_bind_param(None, DIALECTS[0]) is None


@pytest.mark.parametrize("dialect", DIALECTS, ids=["sqlite", "postgresql"])
def test_time_of_any_zone_is_stored_and_read_as_utc(dialect: sqlite.dialect) -> None:
    kind = UtcDateTime()
    stored = kind.process_bind_param(NOON.astimezone(PARIS), dialect)
    assert stored is not None
    assert stored.replace(tzinfo=UTC) == NOON
    assert (stored.tzinfo is None) is (dialect.name == "sqlite")
    for value in (stored, NOON.astimezone(PARIS)):
        found = kind.process_result_value(value, dialect)
        assert found == NOON
        assert found.tzinfo is UTC


def test_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="has no time zone"):
        UtcDateTime().process_bind_param(datetime(2026, 5, 3), DIALECTS[0])


def test_name_with_a_nul_finds_no_row_of_the_name_without_it(at_work: Flask) -> None:
    with db.write() as session:
        session.add(User(ref="abcd", name="A\x00da", source="web", created_at=utc_now()))
    with db.read() as session:
        assert session.scalars(select(User.name).where(User.ref == "abcd")).all() == ["Ada"]
        assert session.scalars(select(User.name).where(User.ref == "ab\x00cd")).all() == []
