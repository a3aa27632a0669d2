"""Read a member's own profile, and export everything that the site stores about them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import bindparam, or_, select
from sqlalchemy.orm import Session

from church.database.direct import DirectStatement
from church.errors import UnauthorizedError
from church.extensions import db
from church.models import AuditEntry, Mail, SignIn, User
from church.services import audit
from church.services.accounts import data_registry
from church.services.accounts.profile import actor_of
from church.services.sessions import Device, SignedIn

_MOST = 10_000  # the newest entries of each list in an export


@dataclass(frozen=True)
class Profile:
    """The data of the account page; ``name`` may be empty."""

    ref: str
    name: str
    email: str
    role: str
    verified: bool
    created_at: datetime
    password_changed_at: datetime | None


def read_profile(user_id: int) -> Profile:
    """Load the profile of a member. Raises UnauthorizedError if the account was disabled or deleted meanwhile."""
    with db.read_connection() as connection:
        rows = _profile_query().run(connection, {"user_id": user_id}).rows
    if not rows:
        raise UnauthorizedError
    ref, name, email, role, verified_at, created_at, password_changed_at = rows[0]
    return Profile(ref, name, email or "", role, verified_at is not None, created_at, password_changed_at)


@cache
def _profile_query() -> DirectStatement:
    columns = (User.ref, User.name, User.email, User.role, User.verified_at, User.created_at, User.password_changed_at)
    query = select(*columns).where(User.id == bindparam("user_id"))
    return DirectStatement(query.where(User.disabled_at.is_(None), User.deleted_at.is_(None)))


def export_account(signed_in: SignedIn, device: Device) -> dict[str, Any]:
    """Return all data about the member, by parts, as JSON values, and write an audit entry."""
    with db.read() as session:
        data = data_registry.collect_data(session, _active(session.get(User, signed_in.user_id)))
    with db.write() as session:
        audit.record_by(session, "account.exported", actor_of(signed_in, device), signed_in.user_id)
    return data


def _active(user: User | None) -> User:
    if user is None or not user.active:
        raise UnauthorizedError
    return user


@data_registry.register_export("account")
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


@data_registry.register_export("devices")
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


@data_registry.register_export("mails")
def _mails(session: Session, user: User) -> list[dict[str, Any]]:
    """Emails to the member's own address. One to another address would reveal whether that one has an account."""
    own = select(Mail).where(Mail.user_id == user.id, Mail.recipient == user.email)
    rows = session.scalars(own.order_by(Mail.id.desc()).limit(_MOST))
    return [
        {"template": row.template, "created_at": _text(row.created_at), "sent_at": _text(row.sent_at)} for row in rows
    ]


@data_registry.register_export("activity")
def _activity(session: Session, user: User) -> list[dict[str, Any]]:
    """Audit entries about the member. The IP address of an admin who acted is left out."""
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
