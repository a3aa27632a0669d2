"""Shared by all models: the base class, names of constraints, and column types that work on both databases."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, DateTime, Dialect, Integer, MetaData, String, Text
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.types import TypeDecorator

# Private-use characters around a search match. PlainText removes them from all text, so they can't be forged.
MARK_START = "\ue000"
MARK_END = "\ue001"

# PostgreSQL does not accept NUL, and neither database accepts lone surrogates.
_REFUSED = "\x00\ud800-\udfff"
_UNNAMEABLE = re.compile(f"[{_REFUSED}]")
_UNSTORABLE = re.compile(f"[{_REFUSED}{MARK_START}{MARK_END}]")

# SQLite numbers rows automatically only for the type INTEGER.
BigId = BigInteger().with_variant(Integer, "sqlite")


def utc_now() -> datetime:
    """Return the time of this host, with UTC as its zone."""
    return datetime.now(UTC)


def plain(text: str) -> str:
    """Remove the characters that a database refuses, and those that mark search matches."""
    return _UNSTORABLE.sub("", text)


class UtcDateTime(TypeDecorator[datetime]):
    """A datetime in UTC on both databases. SQLite stores it as ISO text of fixed width, which sorts by time."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Convert for the database. Raises ValueError for a datetime without time zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone: use church.models.base.utc_now()")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        """Convert from the database."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class PlainText(TypeDecorator[str]):
    """Text for both databases: NUL, lone surrogates and search marks are removed when it is stored."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, _dialect: Dialect) -> Any:
        """Convert for the database."""
        return plain(value) if isinstance(value, str) else value


class NameText(TypeDecorator[str]):
    """Text that rows are looked up by. Characters that a database refuses become U+FFFD, so that nothing is found.

    Removing them, as ``PlainText`` does, would look up another name, which may exist.
    """

    impl = String
    cache_ok = True

    def process_bind_param(self, value: Any, _dialect: Dialect) -> Any:
        """Convert for the database."""
        return _UNNAMEABLE.sub("\ufffd", value) if isinstance(value, str) else value


class Base(DeclarativeBase):
    """The declarative base. Its metadata is compared with the migrations."""

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
