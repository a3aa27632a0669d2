"""One-time links, sent by email or printed on the console: make, check, use and void them.

A link's token is its row's number and an HMAC over purpose, number and nonce of the row, with a key derived from the
site's secret. So tokens can't be guessed, nor made from the database or a backup. A link that was used, has expired, or
was made for another purpose is refused with the same error.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import CursorResult, update
from sqlalchemy.orm import Session

from church.config import current_settings
from church.errors import InvalidError
from church.extensions import db
from church.models import Link, User
from church.models.accounts import Purpose
from church.models.base import utc_now

__all__ = ["LIFETIMES", "LinkError", "Purpose", "find", "link_address", "link_token", "make", "peek", "redeem", "void"]

LIFETIMES = {
    Purpose.VERIFY: timedelta(days=3),
    Purpose.RESET: timedelta(hours=1),
    Purpose.CHANGE_EMAIL: timedelta(days=1),
    Purpose.FIRST_ADMIN: timedelta(days=1),
}
INVITATION = timedelta(days=7)
"""Lifetime of the link to choose a first password: longer, because there is no used account to take over yet."""
_PATHS = {
    Purpose.VERIFY: "/auth/verify",
    Purpose.RESET: "/auth/reset",
    Purpose.CHANGE_EMAIL: "/auth/email",
    Purpose.FIRST_ADMIN: "/auth/first-admin",
}
_LONGEST_NUMBER = 18  # digits; all such numbers fit the column
_NONCE_BYTES = 16


class LinkError(InvalidError):
    """The link was used, has expired or is not ours: one text for all, so that it reveals nothing."""

    def __init__(self) -> None:
        super().__init__("This link has been used, has expired or is incomplete. Request a new one.")


def make(session: Session, purpose: Purpose, user: User | None = None, email: str | None = None) -> Link:
    """Make a link for ``user`` in the caller's write transaction, and void older ones of the same purpose.

    ``email`` is the address that the link verifies, or changes to.
    """
    void(session, user.id if user is not None else None, purpose)
    now = utc_now()
    link = Link(
        nonce=secrets.token_hex(_NONCE_BYTES),
        purpose=purpose.value,
        user_id=user.id if user is not None else None,
        email=email,
        created_at=now,
        expires_at=now + _lifetime(purpose, user),
    )
    session.add(link)
    session.flush()
    return link


def _lifetime(purpose: Purpose, user: User | None) -> timedelta:
    invited = purpose is Purpose.RESET and user is not None and user.password_hash is None
    return INVITATION if invited else LIFETIMES[purpose]


def link_token(link: Link, keys: Sequence[str]) -> str:
    """Return the token of ``link``, made with the first of the site's secret ``keys``."""
    return f"{link.id}.{_mac(link, keys[0])}"


def link_address(link: Link) -> str:
    """Return the absolute address of ``link``, for an email or the console; never log it."""
    site = current_settings()
    return f"{site.origin}{_PATHS[Purpose(link.purpose)]}/{link_token(link, site.secret_keys)}"


def peek(token: str, purpose: Purpose) -> Link | None:
    """Find the link of ``token`` if it is valid for ``purpose``, without using it."""
    with db.read() as session:
        return find(session, token, purpose)


def find(session: Session, token: str, purpose: Purpose) -> Link | None:
    """Like ``peek``, with the caller's database session."""
    number, _, mac = token.partition(".")
    if not (number.isascii() and number.isdigit() and len(number) <= _LONGEST_NUMBER):
        return None
    link = session.get(Link, int(number), populate_existing=True)
    if link is None or link.purpose != purpose or link.used_at is not None or link.expires_at <= utc_now():
        return None
    valid = [_mac(link, key) for key in current_settings().secret_keys]
    given = mac.encode("utf-8", "replace")
    return link if any(hmac.compare_digest(given, other.encode()) for other in valid) else None


def redeem(session: Session, token: str, purpose: Purpose) -> Link:
    """Use the link, in the caller's write transaction; of several calls at once, one succeeds. Raises LinkError."""
    link = find(session, token, purpose)
    if link is None:
        raise LinkError
    unused = update(Link).where(Link.id == link.id, Link.used_at.is_(None)).values(used_at=utc_now())
    if _count(session.execute(unused)) != 1:
        raise LinkError
    return link


def void(session: Session, user_id: int | None, *purposes: Purpose) -> None:
    """Void a user's unused links, of ``purposes`` or of all. ``None`` means links that belong to no user."""
    owner = Link.user_id.is_(None) if user_id is None else Link.user_id == user_id
    unused = update(Link).where(owner, Link.used_at.is_(None)).values(used_at=utc_now())
    if purposes:
        unused = unused.where(Link.purpose.in_([purpose.value for purpose in purposes]))
    session.execute(unused)


def _mac(link: Link, secret: str) -> str:
    key = hmac.digest(secret.encode(), b"church links", hashlib.sha256)
    mac = hmac.digest(key, f"{link.purpose}|{link.id}|{link.nonce}".encode(), hashlib.sha256)
    return urlsafe_b64encode(mac).decode().rstrip("=")


def _count(result: Any) -> int:
    return result.rowcount if isinstance(result, CursorResult) else 0
