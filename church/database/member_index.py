"""The index in which accounts are found by any part of a name or an address.

On SQLite it is the table ``users_search``, which a migration makes and triggers keep. On PostgreSQL it is an index of
the extension pg_trgm. An owner of a database may install that since PostgreSQL 13; where that is refused, the site runs
without the index, and finds accounts by the beginning of name or address.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, Text, func, literal_column, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

# Between two parts are two blanks, which no query has. The migration has the same text.
_WORDS = (
    "(coalesce(users.email, '') || '  ' || users.name || "
    "CASE WHEN users.email_key <> lower(users.email) THEN '  ' || users.email_key ELSE '' END)"
)
WORDS: ColumnElement[str] = literal_column(_WORDS, Text)
"""What an account is found by: its address as typed, its name, and its address as compared if that differs."""

NAME = "ix_users_words"
"""The index of PostgreSQL."""
_FIND_EXTENSION = text(
    "SELECT quote_ident(n.nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace "
    "WHERE e.extname = 'pg_trgm'"
)
_INSTALL = text("CREATE EXTENSION IF NOT EXISTS pg_trgm")
_MAY_INSTALL = text(
    "SELECT has_database_privilege(current_database(), 'CREATE') AND EXISTS "
    "(SELECT 1 FROM pg_available_extensions WHERE name = 'pg_trgm')"
)


class SearchKind(StrEnum):
    """How accounts are found."""

    TRIGRAMS_OF_SQLITE = "users_search"
    TRIGRAMS_OF_POSTGRESQL = "pg_trgm"
    BEGINNINGS = "beginnings"
    """By the beginning of name or address alone: pg_trgm is missing."""


def find_kind(session: Session | Connection) -> SearchKind:
    """Tell how accounts are found in this database."""
    bind: Any = session.get_bind() if isinstance(session, Session) else session
    if bind.dialect.name == "sqlite":
        return SearchKind.TRIGRAMS_OF_SQLITE
    made = session.scalar(select(func.to_regclass(NAME).is_not(None)))
    return SearchKind.TRIGRAMS_OF_POSTGRESQL if made else SearchKind.BEGINNINGS


def ensure_index(connection: Connection) -> None:
    """Make the index on PostgreSQL if it is missing and the extension is there or may be installed.

    Nothing happens if the database refuses: the doctor tells what to do.
    """
    if connection.dialect.name != "postgresql" or find_kind(connection) is SearchKind.TRIGRAMS_OF_POSTGRESQL:
        return
    schema = connection.scalar(_FIND_EXTENSION)
    if schema is None and connection.scalar(_MAY_INSTALL):
        try:
            with connection.begin_nested():
                connection.execute(_INSTALL)
        except DBAPIError:
            return
        schema = connection.scalar(_FIND_EXTENSION)
    if schema is not None:
        connection.execute(text(f"CREATE INDEX {NAME} ON users USING gin ({_WORDS} {schema}.gin_trgm_ops)"))
