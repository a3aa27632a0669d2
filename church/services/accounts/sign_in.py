"""Sign in and out. A wrong password, an unknown address and a disabled account all give the same error."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from church import telemetry
from church.errors import BusyError
from church.extensions import db
from church.models import User
from church.services import audit, sessions
from church.services.accounts import find_account, passwords
from church.services.accounts.failed_sign_ins import (
    CredentialsError,
    Gate,
    WrongPasswordError,
    limit_guesses,
    record_attempt,
)
from church.services.accounts.passwords import Sender
from church.services.accounts.validation import Address, try_parse_address
from church.services.audit import Actor
from church.services.sessions import Device, SignedIn


@dataclass(frozen=True)
class SignInResult:
    """A new session; ``token`` is for the cookie of the device only."""

    token: str
    user_ref: str


def sign_in_with_password(email: str, password: str, device: Device, gate: Gate) -> SignInResult:
    """Check the password and start a session; the caller puts its token in a new cookie.

    Raises CredentialsError, ThrottledError, BusyError. Every result costs one bcrypt check, so that the time reveals
    nothing, except a refusal by ``gate``, which does not depend on whether there is an account.
    """
    with telemetry.span("auth.login"), record_attempt("login") as current, limit_guesses(gate):
        address = try_parse_address(email)
        user = _find(address)
        current.user_ref = user.ref if user is not None else None
        open_hash = user.password_hash if user is not None and user.active else None
        sender = Sender(device, f"sign-in {address.key}" if address is not None else "")
        if not passwords.check_password(password, open_hash, sender) or user is None:
            raise WrongPasswordError
        token = _start(user, _rehashed(user, password, sender), device)
    telemetry.set_user_ref(user.ref)
    return SignInResult(token, user.ref)


def _find(address: Address | None) -> User | None:
    """Find the account; an invalid address is looked up too, so that it takes the same time."""
    with db.read() as session:
        return find_account.find_by_address(session, address)


def _rehashed(user: User, password: str, sender: Sender) -> str | None:
    """Hash the password again if the stored hash has another cost; skipped while the hashing queue is full."""
    if user.password_hash is not None and passwords.needs_rehash(user.password_hash):
        with suppress(BusyError):
            return passwords.hash_password(password, sender)
    return None


def _start(user: User, rehashed: str | None, device: Device) -> str:
    with db.write() as session:
        locked = find_account.lock_account(session, user.id)
        if locked is None or locked.password_hash != user.password_hash:
            raise CredentialsError  # disabled, or the password was changed, since the check
        if rehashed is not None:
            locked.password_hash = rehashed
        token = sessions.start_session(session, locked, device)
        actor = Actor(user_id=locked.id, address=device.address)
        audit.record_by(session, "account.signed_in", actor, locked.id)
    return token


def sign_out(signed_in: SignedIn, device: Device) -> None:
    """End this session: copies of its cookie stop working too."""
    with record_attempt("logout") as current:
        current.user_ref = signed_in.ref
        with db.write() as session:
            if sessions.end(session, signed_in.session_ref):
                actor = Actor(user_id=signed_in.user_id, address=device.address)
                audit.record_by(session, "account.signed_out", actor, signed_in.user_id)
    sessions.forget_cached()
