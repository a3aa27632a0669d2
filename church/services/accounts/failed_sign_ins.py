"""Limit and record attempts to sign in: errors of a refused attempt, and telemetry for the result of each."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from church import telemetry
from church.errors import ChurchError, InvalidError, UnauthorizedError
from church.services.email_links import LinkError


class CredentialsError(UnauthorizedError):
    """Address and password do not match; the same error for an address without an account."""

    def __init__(self) -> None:
        super().__init__("Wrong email address or password.")


class ThrottledError(ChurchError):
    """Too many passwords were checked. ``advice`` is what to do, for a sentence that begins with how long to wait."""

    status = 429

    def __init__(self, seconds: int, reason: str, advice: str) -> None:
        minutes = math.ceil(seconds / 60)
        wait = "a minute" if minutes == 1 else f"{minutes} minutes"
        super().__init__(f"{reason} Wait {wait}, {advice}.", retry_after=seconds)


class WrongPasswordError(CredentialsError):
    """A password was checked and is wrong; callers see it as CredentialsError."""


class Gate(Protocol):
    """Slows down guessing at the password of one account; made by the caller, who knows the request.

    ``guarded`` calls ``refused`` first, and exactly one of the other three after each try that was let through.
    """

    def refused(self) -> int | None:
        """Return the seconds to wait, or None if this try is allowed; called before a password is checked."""

    def failed(self) -> int | None:
        """Count a wrong password; return the seconds to wait if the account had no tries left before, else None."""

    def succeeded(self) -> None:
        """Note that the password was right."""

    def released(self) -> None:
        """Take the try back: an error came before the password was found right or wrong."""


@dataclass
class Attempt:
    """What is recorded when the attempt ends."""

    outcome: str = "success"
    """The result if the block raises nothing."""
    user_ref: str | None = None


_OUTCOMES: tuple[tuple[type[Exception], str], ...] = (
    (LinkError, "failed_credentials"),
    (CredentialsError, "failed_credentials"),
    (ThrottledError, "failed_throttled"),
    (InvalidError, "failed_validation"),
    (Exception, "failed_error"),
)


@contextmanager
def limit_guesses(gate: Gate) -> Iterator[None]:
    """Run one try at a password, if ``gate`` allows it. The block raises WrongPasswordError for a wrong one.

    Raises ThrottledError instead of that error if no tries are left, and before the block if even the right password
    would be refused now.
    """
    seconds = gate.refused()
    if seconds is not None:
        raise make_throttled_error(seconds)
    try:
        yield
    except WrongPasswordError:
        seconds = gate.failed()
        if seconds is not None:
            raise make_throttled_error(seconds) from None
        raise
    except BaseException:  # also when the greenlet of the request is killed: no password was tried
        gate.released()
        raise
    gate.succeeded()


def make_throttled_error(seconds: int) -> ThrottledError:
    """Count a refusal by the limit of wrong passwords, and return its error. A new password lifts the limit."""
    telemetry.track_rate_limit("login_account")
    return ThrottledError(seconds, "Too many wrong passwords.", "or reset your password by email")


def make_confirmations_error(seconds: int) -> ThrottledError:
    """Count a refusal by the limit of confirmations with the password, and return its error."""
    telemetry.track_rate_limit("confirmation")
    return ThrottledError(seconds, "Too many changes at once.", "then try again")


@contextmanager
def record_attempt(kind: str) -> Iterator[Attempt]:
    """Record an attempt of ``kind`` (registration, login, …) with its result when the block ends."""
    current = Attempt()
    outcome = "failed_error"  # stays so if the greenlet is killed, which raises no Exception
    try:
        yield current
        outcome = current.outcome
    except Exception as error:
        outcome = next(outcome for error_type, outcome in _OUTCOMES if isinstance(error, error_type))
        raise
    finally:
        fields = {"user_ref": current.user_ref} if current.user_ref else {}
        telemetry.track_auth_attempt(kind, outcome, **fields)
