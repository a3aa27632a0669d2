"""API tokens for machines: create, list, revoke and check them. A token's scopes say what it may access.

A token is ``church_``, a public ref, and a secret of 256 bits. The database stores the secret's SHA-256; a slow hash is
not needed, because the secret can't be guessed.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from church.errors import ConflictError, InvalidError
from church.extensions import db
from church.models import ApiToken
from church.models.base import utc_now
from church.services import audit
from church.services.audit import Actor

SCOPES = ("metrics:read", "delivery:write", "dora:read")
"""The scopes that exist; ``METRICS_TOKEN`` has all three."""
PREFIX = "church_"
_REF_BYTES = 6
_LONGEST = 100  # characters of a token, and of a name
_NO_DIGEST = "0" * 64


@dataclass(frozen=True)
class NewToken:
    """A new token, shown once."""

    ref: str
    token: str


@dataclass(frozen=True)
class TokenView:
    """A token in the list; its secret is not known."""

    ref: str
    name: str
    scopes: tuple[str, ...]
    created_at: datetime
    revoked_at: datetime | None


def create(name: str, scopes: Sequence[str], actor: Actor) -> NewToken:
    """Create a token for ``scopes``. Raises InvalidError."""
    unique = tuple(dict.fromkeys(scopes))
    if unknown := [scope for scope in unique if scope not in SCOPES]:
        raise InvalidError(f"There is no scope {', '.join(unknown)}. The scopes are {', '.join(SCOPES)}.")
    if not unique:
        raise InvalidError(f"Choose one or more of the scopes {', '.join(SCOPES)}.")
    ref, secret = secrets.token_hex(_REF_BYTES), secrets.token_urlsafe(32)
    if not name.strip() or not name.isprintable() or len(name) > _LONGEST:
        raise InvalidError(f"Name the token after its use, on one line of at most {_LONGEST} characters.")
    with db.write() as session:
        session.add(ApiToken(ref=ref, name=name, scopes=" ".join(unique), digest=_digest(secret), created_at=utc_now()))
        audit.record_by(session, "token.created", actor, token=ref, scopes=list(unique))
    return NewToken(ref, f"{PREFIX}{ref}_{secret}")


def revoke(ref: str, actor: Actor) -> None:
    """Revoke a token at once. Raises ConflictError if it does not exist or is revoked."""
    with db.write() as session:
        row = session.scalar(select(ApiToken).where(ApiToken.ref == ref).with_for_update())
        if row is None or row.revoked_at is not None:
            raise ConflictError(f"There is no valid token {ref}.")
        row.revoked_at = utc_now()
        audit.record_by(session, "token.revoked", actor, token=ref)


def list_tokens() -> list[TokenView]:
    """List all tokens, revoked ones included, the newest first."""
    with db.read() as session:
        rows = session.scalars(select(ApiToken).order_by(ApiToken.id.desc())).all()
    return [TokenView(row.ref, row.name, tuple(row.scopes.split()), row.created_at, row.revoked_at) for row in rows]


def find_scopes(token: str) -> frozenset[str] | None:
    """Return the scopes of ``token``; None if it is unknown or revoked.

    Raises DatabaseDownError, DatabaseBusyError.
    """
    ref, _, secret = token.removeprefix(PREFIX).partition("_")
    if not token.startswith(PREFIX) or len(token) > _LONGEST or not token.isascii():
        return None
    with db.read() as session:
        row = session.scalar(select(ApiToken).where(ApiToken.ref == ref, ApiToken.revoked_at.is_(None)))
    matches = hmac.compare_digest(_digest(secret), row.digest if row is not None else _NO_DIGEST)
    return frozenset(row.scopes.split()) if row is not None and matches else None


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
