"""Rows of sessions for tests, changed as time or another host would change them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select, update

from church.extensions import db
from church.models.accounts import SignIn
from church.services import sessions
from church.services.sessions import lookup


def change(token: str, **values: Any) -> None:
    """Set columns of the session of ``token``."""
    with db.write() as session:
        session.execute(update(SignIn).where(SignIn.token_hash == lookup.hash_token(token)).values(**values))
    sessions.forget_cached()


def row_of(token: str) -> SignIn:
    """Load the row of the session of ``token``."""
    with db.read() as session:
        return session.scalars(select(SignIn).where(SignIn.token_hash == lookup.hash_token(token))).one()


def ended(token: str) -> bool:
    """Whether the session of ``token`` is not live."""
    return sessions.load(token) is None
