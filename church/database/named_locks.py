"""Let transactions that read and then write the same things run one after another."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session


def take_named_lock(session: Session, name: str) -> None:
    """Wait for other transactions with the lock ``name``, and keep it to the end of this one.

    Only on PostgreSQL, where writers run in parallel: on SQLite there is one at a time.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(name, 0))))
