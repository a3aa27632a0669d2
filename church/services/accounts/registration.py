"""New accounts: registered by whoever has the address, proved by a link that is mailed there."""

from __future__ import annotations

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from church import telemetry
from church.errors import FieldErrors
from church.extensions import db
from church.lib.admin_sql import ACTIVE_ADMIN
from church.models import Link, User
from church.models.accounts import Purpose, Role
from church.models.base import utc_now
from church.services import audit, email_links, sessions
from church.services.accounts import find_account, passwords, validation
from church.services.accounts.failed_sign_ins import attempt
from church.services.accounts.validation import Address
from church.services.audit import Actor
from church.services.email import queue
from church.services.email.address_hash import hash_address
from church.services.sessions import Device


def register(email: str, password: str, name: str, device: Device) -> str:
    """Make an account, or tell the owner of the address by mail that there is one: the caller can't see which.

    The answer is the new account's ref, or one that is nobody's. Both ways hash the password and write a mail.
    Raises FieldErrors for email, password and name; BusyError.
    """
    with attempt("registration") as told:
        address, name = validation.new_account(email, password, name)
        hashed = passwords.hash_password(password)
        with db.write() as session:
            user = find_account.add(session, address, name=name, source="web", password_hash=hashed)
            if user is not None:
                _welcome(session, user, device)
            else:
                _remind(session, address)
        if user is None:
            told.outcome = "failed_exists"
        else:
            told.user_ref = user.ref
    if user is None:
        hashed_key = hash_address(address.key)
        telemetry.track_security_event("duplicate_registration_attempt", "medium", address_hash=hashed_key)
        return find_account.new_ref()
    telemetry.track_registration("web")
    return user.ref


def _welcome(session: Session, user: User, device: Device) -> None:
    find_account.mail_link(session, "verify", Purpose.VERIFY, user)
    audit.record_by(session, "account.registered", Actor(user_id=user.id, address=device.address), user.id)


def _remind(session: Session, address: Address) -> None:
    owner = find_account.by_key(session, address.key)
    if owner is not None and owner.email is not None:
        queue.queue(session, "already_registered", recipient=owner.email, user=owner)


def send_verification(user_id: int) -> None:
    """Mail the link once more; nothing happens for an account that is verified already."""
    with db.write() as session:
        user = find_account.locked(session, user_id)
        if user is not None and user.verified_at is None:
            find_account.mail_link(session, "verify", Purpose.VERIFY, user)


def awaiting(token: str) -> str | None:
    """The ref of the account whose address ``token`` would verify; None where it is good for none."""
    with db.read() as session:
        link = email_links.find(session, token, Purpose.VERIFY)
        user = session.get(User, link.user_id) if link is not None else None
        return user.ref if user is not None and user.active else None


def verify(token: str, actor: Actor) -> str:
    """The address is its owner's: the account is verified, and its ref given. Raises LinkError."""
    with db.write() as session:
        link, user = find_account.redeemed(session, token, Purpose.VERIFY)
        if user.email != link.email:
            raise email_links.LinkError
        user.verified_at = user.verified_at or utc_now()
        audit.record_by(session, "account.verified", actor, user.id)
    sessions.forget_cached()
    return user.ref


TAKEN = "This address already has an account. Use another, or make it an admin with: flask church user promote."


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
