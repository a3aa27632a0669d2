"""Sign-ins: who a token belongs to, on which devices a member is signed in, and how that ends.

A token is 256 random bits that its browser holds; the database has its SHA-256 alone. What a token stands for is
remembered for a second and a half in each process (``session_cache``): all workers of a host see the end of a sign-in
at once, those of another host within two seconds.
"""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from flask import Flask, current_app
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from church import jobs
from church.config import Settings, current_settings
from church.database import after_commit
from church.extensions import db
from church.lib.files import HostMark
from church.models.accounts import Link, SignIn, User
from church.models.base import utc_now
from church.services.sessions.cache import SessionCache
from church.services.sessions.devices import Device, label_of, tidy
from church.services.sessions.last_used import Toucher
from church.services.sessions.lookup import Key, SignedIn, by_ref, by_token, find, hash_of, is_active, is_live

__all__ = [
    "Device",
    "DeviceView",
    "SignedIn",
    "active_count",
    "end",
    "end_all",
    "end_device",
    "forget_cached",
    "init_app",
    "list_devices",
    "load",
    "load_ref",
    "start",
]

MOST_DEVICES = 50

log = logging.getLogger("church.auth")


@dataclass(frozen=True)
class DeviceView:
    """One signed-in device as its owner sees it; ``ref`` names it."""

    ref: str
    label: str
    """Such as "Firefox on Linux"."""
    address: str
    created_at: datetime
    last_seen_at: datetime
    current: bool
    """Whether it is the one that asks."""


def init_app(app: Flask) -> None:
    """Give ``app`` its memory of sign-ins; nothing is read yet."""
    site: Settings = app.config["CHURCH"]
    app.extensions["sessions"] = SessionCache(HostMark(site.instance / "sign-ins.mark"))
    app.extensions["session_touch"] = Toucher(app)


def start(session: Session, user: User, device: Device) -> str:
    """Sign ``user`` in on ``device``; the raw token, which is nowhere else. Beyond 50 devices the idlest are ended."""
    token = secrets.token_urlsafe(32)
    now = utc_now()
    session.add(
        SignIn(
            ref=secrets.token_hex(8),
            token_hash=hash_of(token),
            user_id=user.id,
            created_at=now,
            last_seen_at=now,
            expires_at=now + timedelta(seconds=current_settings().session_lifetime),
            user_agent=tidy(device.user_agent),
            address=device.address[:64],
        )
    )
    session.flush()
    idlest = select(SignIn.id).where(SignIn.user_id == user.id).order_by(SignIn.last_seen_at.desc(), SignIn.id.desc())
    surplus = list(session.scalars(idlest.offset(MOST_DEVICES)))
    if surplus:
        _end_where(session, SignIn.id.in_(surplus))
    return token


def load(token: str, *, since: float = 0.0) -> SignedIn | None:
    """Whose token it is, of accounts that are active and sign-ins that have not ended; at most 1.5 s old.

    ``since`` (seconds since 1970) asks for an answer that was read after that. Raises DatabaseDownError and
    DatabaseBusyError.
    """
    return _load(by_token(token), since)


def load_ref(sid: str, user_ref: str) -> SignedIn | None:
    """The same for the public names of a sign-in and its account, as access tokens have them; without a raw token."""
    found = _load(by_ref(sid), 0.0)
    return found if found is not None and found.ref == user_ref else None


def end(session: Session, session_id: int) -> bool:
    """End one sign-in; whether there was one."""
    return bool(_end_where(session, SignIn.id == session_id))


def end_all(session: Session, user_id: int, except_id: int | None = None) -> int:
    """End a member's sign-ins, all but ``except_id``; how many there were."""
    others = SignIn.id != except_id if except_id is not None else True
    return _end_where(session, SignIn.user_id == user_id, others)


def end_device(session: Session, user_id: int, ref: str) -> bool:
    """End the sign-in that its owner calls ``ref``; whether it was theirs and there."""
    return bool(_end_where(session, SignIn.user_id == user_id, SignIn.ref == ref))


def list_devices(user_id: int, current_id: int | None) -> list[DeviceView]:
    """Where a member is signed in, the last used first. Raises DatabaseDownError, DatabaseBusyError."""
    query = select(SignIn).where(SignIn.user_id == user_id, *is_live(current_settings(), utc_now()))
    with db.read() as session:
        rows = session.scalars(query.order_by(SignIn.last_seen_at.desc(), SignIn.id.desc())).all()
    return [
        DeviceView(
            row.ref, label_of(row.user_agent), row.address, row.created_at, row.last_seen_at, row.id == current_id
        )
        for row in rows
    ]


def active_count() -> int:
    """How many sign-ins are good right now; for the scrape. Raises DatabaseDownError, DatabaseBusyError."""
    query = (
        select(func.count()).select_from(SignIn).join(User).where(*is_live(current_settings(), utc_now()), *is_active())
    )
    with db.read() as session:
        return session.scalar(query) or 0


def forget_cached() -> None:
    """Let every process of this host read the sign-ins anew; to be called after the commit."""
    _cache().clear()
    _cache().tell()


def _cache() -> SessionCache:
    found: SessionCache = current_app.extensions["sessions"]
    return found


def _load(key: Key, since: float) -> SignedIn | None:
    cache = _cache()
    known, found = cache.get(key.name, since)
    if known:
        return found
    reading = cache.reading()
    with db.read() as session:
        row = find(session, key, current_settings(), utc_now())
    found = row.signed_in if row is not None else None
    cache.put(key.name, found, reading)
    if row is not None and row.is_stale:
        toucher: Toucher = current_app.extensions["session_touch"]
        toucher.touch(row.signed_in.session_id)
    return found


def _end_where(session: Session, *conditions: Any) -> int:
    """Delete rows, and let this process take them for ended now: its own transaction is not seen by others yet."""
    ended = session.execute(delete(SignIn).where(*conditions).returning(SignIn.token_hash, SignIn.ref)).all()
    _cache().end(name for token_hash, ref in ended for name in (token_hash, ref))
    after_commit(session, _cache().tell)
    return len(ended)


@jobs.every(timedelta(hours=1), "accounts.purge")
def purge(_payload: dict[str, Any]) -> None:
    """Remove the sign-ins and links that ended by themselves."""
    now = utc_now()
    with db.write() as session:
        live = select(SignIn.id).join(User).where(*is_live(current_settings(), now), *is_active())
        count = len(session.execute(delete(SignIn).where(SignIn.id.not_in(live)).returning(SignIn.id)).all())
        links = len(session.execute(delete(Link).where(Link.expires_at <= now).returning(Link.id)).all())
    log.info("ended sign-ins purged", extra={"event": "auth.purged", "sign_ins": count, "links": links})
