"""Register accounts and verify their addresses, and create the first admin."""

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
from church.services import email as email_service
from church.services.accounts import data_registry, find_account, passwords, validation
from church.services.accounts.failed_sign_ins import record_attempt
from church.services.accounts.passwords import Sender
from church.services.accounts.sign_in import SignInResult
from church.services.accounts.validation import Address
from church.services.audit import Actor
from church.services.email import hash_address
from church.services.sessions import Device


def register(email: str, password: str, name: str, device: Device, then: str = "") -> str:
    """Create an account, or email the owner of the address that there is one; the caller can't see which.

    ``then`` is the page on this site to open once the address is confirmed; the link carries it. Returns the new
    account's ref, or a random one. Either way the password is hashed and an email is queued. Raises FieldErrors for
    email, password and name; BusyError.
    """
    with record_attempt("registration") as current:
        address, name = validation.validate_new_account(email, password, name)
        hashed = passwords.hash_password(password, Sender(device))
        with db.write() as session:
            user = find_account.create_account(session, address, name=name, source="web", password_hash=hashed)
            if user is not None:
                _email_verification(session, user, device, then)
            else:
                _email_existing_owner(session, address)
        if user is None:
            current.outcome = "failed_exists"
        else:
            current.user_ref = user.ref
    if user is None:
        hashed = hash_address(address.key)
        telemetry.track_security_event("duplicate_registration_attempt", "medium", address_hash=hashed)
        return find_account.new_ref()
    telemetry.track_registration("web")
    return user.ref


def _email_verification(session: Session, user: User, device: Device, then: str) -> None:
    find_account.email_new_link(session, "verify", Purpose.VERIFY, user, then=then)
    audit.record_by(session, "account.registered", Actor(user_id=user.id, address=device.address), user.id)


def _email_existing_owner(session: Session, address: Address) -> None:
    owner = find_account.find_by_address(session, address)
    if owner is not None and owner.email is not None:
        email_service.queue_email(session, "already_registered", recipient=owner.email, user=owner)


def send_verification(user_id: int, then: str = "") -> None:
    """Email the verification link again, unless the account is verified. ``then`` as in ``register``.

    Raises ConflictError if the mail server can't send to its address.
    """
    with db.read() as session:
        found = session.get(User, user_id)
    validation.require_reachable_account(found)
    with db.write() as session:
        user = find_account.lock_account(session, user_id)
        if user is not None and user.verified_at is None:
            find_account.email_new_link(session, "verify", Purpose.VERIFY, user, then=then)


def account_to_verify(token: str) -> str | None:
    """Return the ref of the account whose address ``token`` can verify; None if the link is not valid."""
    with db.read() as session:
        link = email_links.find(session, token, Purpose.VERIFY)
        user = session.get(User, link.user_id) if link is not None else None
        return user.ref if user is not None and user.active else None


def verify_address(token: str, actor: Actor) -> str:
    """Mark the account as verified and return its ref. Raises LinkError."""
    with db.write() as session:
        link, user = find_account.redeem_and_lock(session, token, Purpose.VERIFY)
        if user.email != link.email:
            raise email_links.LinkError
        user.verified_at = user.verified_at or utc_now()
        audit.record_by(session, "account.verified", actor, user.id)
        data_registry.tell_confirmed(session, user)
    sessions.forget_cached()
    return user.ref


# -- the first admin ----------------------------------------------------------------------------------------------

TAKEN = "This address already has an account. Use another, or make it an admin with: flask church user promote."


def _has_admin(session: Session) -> bool:
    return session.scalars(select(User.id).where(text(ACTIVE_ADMIN)).limit(1)).first() is not None


def _lock_admin_links(session: Session) -> None:
    """Let one transaction at a time use a link for the first admin: two hosts may each have made their own."""
    links = select(Link.id).where(Link.purpose == Purpose.FIRST_ADMIN.value)
    session.scalars(links.order_by(Link.id).with_for_update()).all()


def make_first_admin_link() -> str | None:
    """Make a new link for the first admin, which voids the one before; None if the site has an admin."""
    with db.write() as session:
        if _has_admin(session):
            return None
        return email_links.link_address(email_links.make(session, Purpose.FIRST_ADMIN))


def create_first_admin(token: str, email: str, password: str, name: str, device: Device) -> SignInResult:
    """Create the first admin, verified, and sign them in. Of several who use links at once, one succeeds.

    Raises LinkError, also if the site has an admin by now; FieldErrors for email, password and name; BusyError.
    """
    with record_attempt("registration") as current:
        if email_links.peek(token, Purpose.FIRST_ADMIN) is None:
            raise email_links.LinkError
        address, name = validation.validate_new_account(email, password, name)
        hashed = passwords.hash_password(password, Sender(device))
        with db.write() as session:
            _lock_admin_links(session)
            email_links.redeem(session, token, Purpose.FIRST_ADMIN)
            if _has_admin(session):
                raise email_links.LinkError
            user = find_account.create_account(
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
            data_registry.tell_confirmed(session, user)
            session_token = sessions.start_session(session, user, device)
        current.user_ref = user.ref
    telemetry.track_registration("first_admin")
    return SignInResult(session_token, user.ref)
