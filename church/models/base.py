"""What every model shares: base class, names of constraints, column types that mean the same everywhere."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, DateTime, Dialect, Integer, MetaData, String, Text
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.types import TypeDecorator

# Private-use characters around a found word: no page may contain them (PlainText), so they can't be forged.
MARK_START = "\ue000"
MARK_END = "\ue001"

# PostgreSQL takes no NUL, no database takes a lone surrogate.
_REFUSED = "\x00\ud800-\udfff"
_UNNAMEABLE = re.compile(f"[{_REFUSED}]")
_UNSTORABLE = re.compile(f"[{_REFUSED}{MARK_START}{MARK_END}]")

# SQLite gives a row its own number only for the type INTEGER.
BigId = BigInteger().with_variant(Integer, "sqlite")


def utc_now() -> datetime:
    """The time of this host, aware and in UTC."""
    return datetime.now(UTC)


def plain(text: str) -> str:
    """``text`` without the characters that a database refuses or that mark a found word."""
    return _UNSTORABLE.sub("", text)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware datetime in UTC on every database; SQLite keeps it as ISO text of one width, which sorts by time."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To the database; a naive time is a mistake and raises ValueError."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone: use church.models.base.utc_now()")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        """From the database."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class PlainText(TypeDecorator[str]):
    """Text that any database stores: NUL, lone surrogates and the marks of a search are dropped on the way in."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, _dialect: Dialect) -> Any:
        """To the database."""
        return plain(value) if isinstance(value, str) else value


class NameText(TypeDecorator[str]):
    """Text by which rows are found. What no database takes is U+FFFD here, and who asks for such a name finds nothing.

    Dropped as by ``PlainText``, it would be another name, and perhaps somebody's.
    """

    impl = String
    cache_ok = True

    def process_bind_param(self, value: Any, _dialect: Dialect) -> Any:
        """To the database."""
        return _UNNAMEABLE.sub("\ufffd", value) if isinstance(value, str) else value


class Base(DeclarativeBase):
    """The declarative base; its metadata is what the migrations are held to."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {datetime: UtcDateTime(), str: NameText()}  # noqa: RUF012 (SQLAlchemy reads it so)
