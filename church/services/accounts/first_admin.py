"""The first admin: made by a one-time link that the console prints, never by a password that somebody else chose."""

from __future__ import annotations

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from church import telemetry
from church.errors import FieldErrors
from church.extensions import db
from church.lib.admin_sql import ACTIVE_ADMIN
from church.models import Link, User
from church.models.link import Purpose
from church.models.user import Role
from church.services import audit, email_links
from church.services.accounts import find_account, passwords, validation
from church.services.accounts.failed_sign_ins import attempt
from church.services.audit import Actor
from church.services.sessions import Device

TAKEN = "This address already has an account. Use another, or make it an admin with: flask church user promote."


def has_admin() -> bool:
    """Whether there is an admin whom somebody may sign in as."""
    with db.read() as session:
        return _has_admin(session)


def _has_admin(session: Session) -> bool:
    return session.scalars(select(User.id).where(text(ACTIVE_ADMIN)).limit(1)).first() is not None


def _take_turn(session: Session) -> None:
    """Wait for whoever uses such a link at this moment, be it another one: two hosts may each have made theirs."""
    every = select(Link.id).where(Link.purpose == Purpose.FIRST_ADMIN.value)
    session.scalars(every.order_by(Link.id).with_for_update()).all()


def first_admin_address() -> str | None:
    """The absolute address of a fresh link, which closes the one before; None where there is an admin."""
    with db.write() as session:
        if _has_admin(session):
            return None
        return email_links.address_of(email_links.make(session, Purpose.FIRST_ADMIN))


def become_admin(token: str, email: str, password: str, name: str, device: Device) -> None:
    """Make the first admin, verified; of many who use links at once one becomes it.

    Raises LinkError, also where there is an admin by now; FieldErrors for email, password and name; BusyError.
    """
    with attempt("registration") as told:
        if email_links.peek(token, Purpose.FIRST_ADMIN) is None:
            raise email_links.LinkError
        address, name = validation.new_account(email, password, name)
        hashed = passwords.hash_password(password)
        with db.write() as session:
            _take_turn(session)
            email_links.redeem(session, token, Purpose.FIRST_ADMIN)
            if _has_admin(session):
                raise email_links.LinkError
            user = find_account.add(
                session,
                address,
                name=name,
                source="first_admin",
                password_hash=hashed,
                role=Role.ADMIN,
                verified=True,
            )
            if user is None:
                raise FieldErrors({"email": TAKEN})
            actor = Actor(user_id=user.id, address=device.address)
            audit.record_by(session, "account.registered", actor, user.id, role=Role.ADMIN.value)
        told.user_ref = user.ref
    telemetry.track_registration("first_admin")
