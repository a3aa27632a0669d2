"""Start a session on a device, and end sessions. All of it runs in the caller's write transaction."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from church.config import current_settings
from church.database import after_commit
from church.models.accounts import SignIn, User
from church.models.base import utc_now
from church.services.sessions.cache import current_cache
from church.services.sessions.devices import Device, clean_user_agent
from church.services.sessions.lookup import hash_token

MAX_DEVICES = 50


def start_session(session: Session, user: User, device: Device) -> str:
    """Sign ``user`` in on ``device`` and return the raw token, which is stored nowhere else.

    Beyond 50 devices, those that were unused for longest are signed out.
    """
    token = secrets.token_urlsafe(32)
    now = utc_now()
    session.add(
        SignIn(
            ref=secrets.token_hex(8),
            token_hash=hash_token(token),
            user_id=user.id,
            created_at=now,
            last_seen_at=now,
            expires_at=now + timedelta(seconds=current_settings().session_lifetime),
            user_agent=clean_user_agent(device.user_agent),
            address=device.address[:64],
        )
    )
    session.flush()
    newest = select(SignIn.id).where(SignIn.user_id == user.id).order_by(SignIn.last_seen_at.desc(), SignIn.id.desc())
    surplus = list(session.scalars(newest.offset(MAX_DEVICES)))
    if surplus:
        _end_where(session, SignIn.id.in_(surplus))
    return token


def end(session: Session, ref: str) -> bool:
    """End one session; False if it does not exist."""
    return bool(_end_where(session, SignIn.ref == ref))


def end_all(session: Session, user_id: int, except_id: int | None = None) -> int:
    """End a member's sessions, all but ``except_id``, and return how many there were."""
    others = SignIn.id != except_id if except_id is not None else True
    return _end_where(session, SignIn.user_id == user_id, others)


def end_device(session: Session, user_id: int, ref: str) -> bool:
    """End a member's session by its ref; False if they have none with that ref."""
    return bool(_end_where(session, SignIn.user_id == user_id, SignIn.ref == ref))


def _end_where(session: Session, *conditions: Any) -> int:
    """Delete rows. This process treats them as ended at once, other processes after the commit."""
    ended = session.execute(delete(SignIn).where(*conditions).returning(SignIn.token_hash, SignIn.ref)).all()
    cache = current_cache()
    cache.end(name for token_hash, ref in ended for name in (token_hash, ref))
    after_commit(session, cache.tell)
    return len(ended)
