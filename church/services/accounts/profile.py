"""Change one's own account: name, password, email address, devices. The first needs no password; the next two do."""

from __future__ import annotations

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from church.errors import FieldErrors
from church.extensions import db
from church.models import User
from church.models.accounts import Purpose
from church.models.base import utc_now
from church.services import audit, email_links, sessions
from church.services import email as email_service
from church.services.accounts import data_registry, find_account, passwords, validation
from church.services.accounts.passwords import Sender
from church.services.accounts.recovery import set_password
from church.services.accounts.validation import Address
from church.services.audit import Actor
from church.services.sessions import Device, SignedIn

WRONG_PASSWORD = "This is not your current password."  # noqa: S105 - an error text
SAME_PASSWORD = "This is already your password. Choose a different one."  # noqa: S105 - an error text
SAME_ADDRESS = "This is already your email address."


def actor_of(signed_in: SignedIn, device: Device) -> Actor:
    """The member as the actor of an audit entry."""
    return Actor(user_id=signed_in.user_id, address=device.address)


def sender_of(signed_in: SignedIn, device: Device) -> Sender:
    """The member as a sender to the queue of passwords. Strangers who sign in to the account have another share."""
    return Sender(device, f"member {signed_in.ref}")


def check_current_password(signed_in: SignedIn, password: str, field: str, device: Device) -> User:
    """Check the password and load the account. Raises FieldErrors for ``field``, BusyError."""
    with db.read() as session:
        user = session.get(User, signed_in.user_id)
    stored = user.password_hash if user is not None and user.active else None
    if not passwords.check_password(password, stored, sender_of(signed_in, device)) or user is None:
        raise FieldErrors({field: WRONG_PASSWORD})
    return user


def rename(signed_in: SignedIn, name: str, device: Device) -> None:
    """Change the name. Raises FieldErrors for name."""
    name = validation.parse_name(name)
    with db.write() as session:
        user = find_account.lock_account(session, signed_in.user_id)
        if user is not None and user.name != name:
            user.name = name
            audit.record_by(session, "account.renamed", actor_of(signed_in, device), user.id)
    sessions.forget_cached()


def change_password(signed_in: SignedIn, current: str, new: str, device: Device) -> str:
    """Change the password and sign out the other devices; returns a new session token for this one.

    Raises FieldErrors for current and password, ConflictError if the account was changed meanwhile, BusyError.
    """
    user = check_current_password(signed_in, current, "current", device)
    problem = SAME_PASSWORD if new == current else _problem(user, new)
    if problem:
        raise FieldErrors({"password": problem})
    hashed = passwords.hash_password(new, sender_of(signed_in, device))
    with db.write() as session:
        user = find_account.lock_unchanged(session, user)
        ended = set_password(session, user, hashed)
        token = sessions.start_session(session, user, device)
        audit.record_by(session, "account.password_changed", actor_of(signed_in, device), user.id, sessions=ended)
    sessions.forget_cached()
    return token


def _problem(user: User, new: str) -> str | None:
    return validation.find_password_problem(new, name=user.name, email=user.email or "")


def request_email_change(signed_in: SignedIn, current: str, email: str, device: Device) -> None:
    """Email a link to the new address, and a notice to the old one if that is verified.

    If the new address has an account, its owner gets an email instead, and the caller does not learn it. Raises
    FieldErrors for current and email, ConflictError, BusyError.
    """
    address = validation.require_reachable(validation.parse_address(email))
    user = check_current_password(signed_in, current, "current", device)
    if address.email == user.email:
        raise FieldErrors({"email": SAME_ADDRESS})
    with db.write() as session:
        user = find_account.lock_unchanged(session, user)
        _email_new_address(session, user, address)
        if user.email is not None and user.verified_at is not None:
            email_service.queue_email(session, "email_changing", recipient=user.email, user=user)
        audit.record_by(session, "account.email_change_asked", actor_of(signed_in, device), user.id)


def _email_new_address(session: Session, user: User, address: Address) -> None:
    owner = find_account.find_by_address(session, address)
    if owner is None or owner.id == user.id:
        find_account.email_new_link(session, "change_email", Purpose.CHANGE_EMAIL, user, address.email)
    elif owner.email is not None:
        email_service.queue_email(session, "already_registered", recipient=owner.email, user=owner)


def confirm_email(token: str, device: Device) -> None:
    """Replace the address by the new one, verified, and void all open links of the account.

    Raises LinkError, also if another account has taken the address meanwhile.
    """
    try:
        with db.write() as session:
            link, user = find_account.redeem_and_lock(session, token, Purpose.CHANGE_EMAIL)
            address = validation.parse_address(link.email or "")
            owner = find_account.find_by_address(session, address)
            if owner is not None and owner.id != user.id:
                raise email_links.LinkError
            user.email, user.email_key, user.verified_at = address.email, address.key, utc_now()
            session.flush()
            email_links.void(session, user.id)
            actor = Actor(user_id=user.id, address=device.address)
            audit.record_by(session, "account.email_changed", actor, user.id)
            data_registry.tell_confirmed(session, user)
    except IntegrityError:
        raise email_links.LinkError from None
    sessions.forget_cached()


def end_device(signed_in: SignedIn, ref: str, device: Device) -> bool:
    """Sign out one of the member's devices by its ref; False if they have none with that ref."""
    with db.write() as session:
        ended = sessions.end_device(session, signed_in.user_id, ref)
        if ended:
            _audit_ended(session, signed_in, device, 1)
    sessions.forget_cached()
    return ended


def end_devices(signed_in: SignedIn, device: Device, *, this_too: bool = False) -> int:
    """Sign out the member's other devices, or all of them, and return the number."""
    with db.write() as session:
        ended = sessions.end_all(session, signed_in.user_id, None if this_too else signed_in.session_id)
        if ended:
            _audit_ended(session, signed_in, device, ended)
    sessions.forget_cached()
    return ended


def _audit_ended(session: Session, signed_in: SignedIn, device: Device, count: int) -> None:
    actor = actor_of(signed_in, device)
    audit.record_by(session, "account.sessions_ended", actor, signed_in.user_id, sessions=count)
