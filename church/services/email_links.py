"""One-time links that are mailed or printed: made, shown, looked at, used once.

A link's token is its row's number and an HMAC over purpose, number and nonce of the row, by a key derived from the
site's secret. Who reads the database or a backup of it can't make one, and nobody can guess one; a link that was used,
has expired, or was made for something else is refused in the same words.
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

__all__ = ["LIFETIMES", "LinkError", "Purpose", "address_of", "find", "make", "peek", "redeem", "token_of", "void"]

LIFETIMES = {
    Purpose.VERIFY: timedelta(days=3),
    Purpose.RESET: timedelta(hours=1),
    Purpose.CHANGE_EMAIL: timedelta(days=1),
    Purpose.FIRST_ADMIN: timedelta(days=1),
}
INVITATION = timedelta(days=7)
"""Life of the link that gives an account its first password: there is nothing to take over yet, and no hurry."""
_PATHS = {
    Purpose.VERIFY: "/auth/verify",
    Purpose.RESET: "/auth/reset",
    Purpose.CHANGE_EMAIL: "/auth/email",
    Purpose.FIRST_ADMIN: "/auth/first-admin",
}
_LONGEST_NUMBER = 18  # digits; every number of so many fits the column
_NONCE_BYTES = 16


class LinkError(InvalidError):
    """The link is used up, too old, or none of ours: one wording for all, so that nothing can be tried out."""

    def __init__(self) -> None:
        super().__init__("This link has been used, has expired or is incomplete. Request a new one.")


def make(session: Session, purpose: Purpose, user: User | None = None, email: str | None = None) -> Link:
    """A new link for ``user`` in the caller's write transaction; older ones of the purpose open nothing any more.

    ``email`` is the address that the link proves or brings.
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


def token_of(link: Link, keys: Sequence[str]) -> str:
    """What opens ``link``, made with the first of the site's secret ``keys``."""
    return f"{link.id}.{_mac(link, keys[0])}"


def address_of(link: Link) -> str:
    """The absolute address of ``link``, for a mail or the console; never for a log."""
    site = current_settings()
    return f"{site.origin}{_PATHS[Purpose(link.purpose)]}/{token_of(link, site.secret_keys)}"


def peek(token: str, purpose: Purpose) -> Link | None:
    """The link of ``token`` while it is good for ``purpose``, without using it."""
    with db.read() as session:
        return find(session, token, purpose)


def find(session: Session, token: str, purpose: Purpose) -> Link | None:
    """As ``peek``, in a session of the caller."""
    number, _, shown = token.partition(".")
    if not (number.isascii() and number.isdigit() and len(number) <= _LONGEST_NUMBER):
        return None
    link = session.get(Link, int(number), populate_existing=True)
    if link is None or link.purpose != purpose or link.used_at is not None or link.expires_at <= utc_now():
        return None
    known = [_mac(link, key) for key in current_settings().secret_keys]
    given = shown.encode("utf-8", "replace")
    return link if any(hmac.compare_digest(given, mac.encode()) for mac in known) else None


def redeem(session: Session, token: str, purpose: Purpose) -> Link:
    """Use the link up, in the caller's write transaction; of many who try at once one gets it. Raises LinkError."""
    link = find(session, token, purpose)
    if link is None:
        raise LinkError
    unused = update(Link).where(Link.id == link.id, Link.used_at.is_(None)).values(used_at=utc_now())
    if _count(session.execute(unused)) != 1:
        raise LinkError
    return link


def void(session: Session, user_id: int | None, *purposes: Purpose) -> None:
    """Close what is open of ``purposes``, or of every purpose without one; ``None`` is the links of nobody."""
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
