"""Reset a forgotten password: email a link, and set a new password with it."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from church import jobs
from church.errors import FieldErrors
from church.extensions import db
from church.models import User
from church.models.accounts import Purpose
from church.models.base import utc_now
from church.services import audit, email_links, sessions
from church.services import email as email_service
from church.services.accounts import data_registry, find_account, passwords, validation
from church.services.accounts.failed_sign_ins import record_attempt
from church.services.accounts.passwords import Sender
from church.services.audit import Actor
from church.services.sessions import Device

_JOB = "accounts.forgot"


def request_reset(email: str) -> None:
    """Queue an email with a link if the address has an account. Raises FieldErrors for an invalid address.

    Either way it costs one read and one job, so neither the answer nor the time reveals whether there is an account.
    The job contains the account's number or nothing, never the address. An address that the mail server can't send to
    is refused as well, with an account or without.
    """
    address = validation.require_reachable(validation.parse_address(email))
    with db.read() as session:
        user = find_account.find_by_address(session, address)
    with db.write() as session:
        jobs.enqueue(session, _JOB, {"user_id": user.id if user is not None else None})


@jobs.handler(_JOB)
def email_reset_link(payload: dict[str, Any]) -> None:
    """Email the link, if there is an account and it is still active."""
    with db.write() as session:
        user = find_account.lock_account(session, payload["user_id"])
        if user is not None:
            find_account.email_new_link(session, "reset", Purpose.RESET, user)


def email_for_reset(token: str) -> str | None:
    """Return the address of the account whose password ``token`` can reset; None if the link is not valid."""
    try:
        return _owner(token).email
    except email_links.LinkError:
        return None


def reset_password(token: str, password: str, device: Device) -> str:
    """Set a new password: signs out all devices, voids open links, and notifies the owner by email.

    Returns the account's address, so that the caller can reset the count of wrong passwords. The link came by email,
    so the address counts as verified. Raises LinkError, FieldErrors for password (the link stays valid), BusyError.
    """
    with record_attempt("reset") as current:
        user = _owner(token)
        current.user_ref = user.ref
        problem = validation.find_password_problem(password, name=user.name, email=user.email or "")
        if problem:
            raise FieldErrors({"password": problem})
        hashed = passwords.hash_password(password, Sender(device))
        with db.write() as session:
            _, user = find_account.redeem_and_lock(session, token, Purpose.RESET)
            user.verified_at = user.verified_at or utc_now()
            ended = set_password(session, user, hashed)
            email_links.void(session, user.id, Purpose.VERIFY)
            actor = Actor(user_id=user.id, address=device.address)
            audit.record_by(session, "account.password_reset", actor, user.id, sessions=ended)
            data_registry.tell_confirmed(session, user)
    sessions.forget_cached()
    return user.email or ""


def set_password(session: Session, user: User, hashed: str) -> int:
    """Set the password of a locked account, void its links, and return how many devices were signed out."""
    user.password_hash, user.password_changed_at = hashed, utc_now()
    email_links.void(session, user.id, Purpose.RESET, Purpose.CHANGE_EMAIL)
    if user.email is not None:
        email_service.queue_email(session, "password_changed", recipient=user.email, user=user)
    return sessions.end_all(session, user.id)


def _owner(token: str) -> User:
    with db.read() as session:
        link = email_links.find(session, token, Purpose.RESET)
        user = session.get(User, link.user_id) if link is not None else None
    if user is None or not user.active:
        raise email_links.LinkError
    return user
