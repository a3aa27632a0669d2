"""What an account is to its owner: the profile, and everything that the site keeps about them, to take along."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from church.errors import UnauthorizedError
from church.extensions import db
from church.models import AuditEntry, Mail, SignIn, User
from church.services import audit
from church.services.accounts import data_registry
from church.services.accounts.profile import acting
from church.services.sessions import Device, SignedIn

_MOST = 10_000  # entries of a list in an export, the newest


@dataclass(frozen=True)
class Profile:
    """What the account page shows; ``name`` may be empty."""

    ref: str
    name: str
    email: str
    role: str
    verified: bool
    created_at: datetime
    password_changed_at: datetime | None


def read_profile(user_id: int) -> Profile:
    """The account as its owner sees it. Raises UnauthorizedError where it is gone since it was asked for."""
    with db.read() as session:
        user = _present(session.get(User, user_id))
    return Profile(
        ref=user.ref,
        name=user.name,
        email=user.email or "",
        role=user.role,
        verified=user.verified_at is not None,
        created_at=user.created_at,
        password_changed_at=user.password_changed_at,
    )


def export_account(signed_in: SignedIn, device: Device) -> dict[str, Any]:
    """All that the site keeps about the member, by parts, as JSON can hold it; written down in the audit log."""
    with db.read() as session:
        found = data_registry.collect(session, _present(session.get(User, signed_in.user_id)))
    with db.write() as session:
        audit.record_by(session, "account.exported", acting(signed_in, device), signed_in.user_id)
    return found


def _present(user: User | None) -> User:
    if user is None or not user.active:
        raise UnauthorizedError
    return user


@data_registry.exports("account")
def _account(_session: Session, user: User) -> dict[str, Any]:
    return {
        "ref": user.ref,
        "email": user.email,
        "name": user.name,
        "role": user.role,
        "source": user.source,
        "created_at": _text(user.created_at),
        "verified_at": _text(user.verified_at),
        "password_changed_at": _text(user.password_changed_at),
    }


@data_registry.exports("devices")
def _devices(session: Session, user: User) -> list[dict[str, Any]]:
    rows = session.scalars(select(SignIn).where(SignIn.user_id == user.id).order_by(SignIn.id))
    return [
        {
            "ref": row.ref,
            "user_agent": row.user_agent,
            "address": row.address,
            "created_at": _text(row.created_at),
            "last_seen_at": _text(row.last_seen_at),
            "expires_at": _text(row.expires_at),
        }
        for row in rows
    ]


@data_registry.exports("mails")
def _mails(session: Session, user: User) -> list[dict[str, Any]]:
    """Those to the own address: whether one went to another would tell whether that has an account."""
    mine = select(Mail).where(Mail.user_id == user.id, Mail.recipient == user.email)
    rows = session.scalars(mine.order_by(Mail.id.desc()).limit(_MOST))
    return [
        {"template": row.template, "created_at": _text(row.created_at), "sent_at": _text(row.sent_at)} for row in rows
    ]


@data_registry.exports("activity")
def _activity(session: Session, user: User) -> list[dict[str, Any]]:
    """What the audit log has about the member; from where an admin acted is the admin's."""
    about = select(AuditEntry).where(or_(AuditEntry.subject_id == user.id, AuditEntry.actor_id == user.id))
    rows = session.scalars(about.order_by(AuditEntry.id.desc()).limit(_MOST))
    return [
        {
            "at": _text(row.at),
            "action": row.action,
            "by": "you" if row.actor_id == user.id else "the site",
            "address": row.address if row.actor_id == user.id else None,
        }
        for row in rows
    ]


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment is not None else None
