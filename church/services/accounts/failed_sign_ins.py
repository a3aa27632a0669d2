"""An attempt to get in, told once with what came of it, after the commit; and the ways in which it is refused."""

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
    """Address and password do not go together; the same for an address without an account."""

    def __init__(self) -> None:
        super().__init__("Wrong email address or password.")


class ThrottledError(ChurchError):
    """Too many wrong passwords for one account; the next is heard in ``seconds``, and a new one opens it before."""

    status = 429

    def __init__(self, seconds: int) -> None:
        minutes = math.ceil(seconds / 60)
        wait = "a minute" if minutes == 1 else f"{minutes} minutes"
        words = f"Too many wrong passwords. Wait {wait}, or reset your password by email."
        super().__init__(words, retry_after=seconds)


class WrongPasswordError(CredentialsError):
    """A password was looked at and is wrong; to the caller a CredentialsError like any other."""


class Gate(Protocol):
    """What slows down guessing at one account; made by whoever knows the request.

    ``guarded`` asks it first, and tells it exactly one of the other three of each try that it lets through.
    """

    def refused(self) -> int | None:
        """Asked before a password is looked at: seconds to wait, or None where this try may be made."""

    def failed(self) -> int | None:
        """Told of a wrong password: seconds to wait where the account's wrong tries were used up before, else None."""

    def succeeded(self) -> None:
        """Told of the right password."""

    def released(self) -> None:
        """Told that no password was found wrong or right: something else came in between."""


@dataclass
class Attempt:
    """What is told of it at the end."""

    outcome: str = "success"
    """Of a block that ends without an error."""
    user_ref: str | None = None


_OUTCOMES: tuple[tuple[type[Exception], str], ...] = (
    (LinkError, "failed_credentials"),
    (CredentialsError, "failed_credentials"),
    (ThrottledError, "failed_throttled"),
    (InvalidError, "failed_validation"),
    (Exception, "failed_error"),
)


@contextmanager
def guarded(gate: Gate) -> Iterator[None]:
    """One try at a password, if ``gate`` lets it through; a wrong one leaves the block as WrongPasswordError.

    Raises ThrottledError in place of it where the wrong ones are used up, and before the block where not even the
    right one is heard.
    """
    seconds = gate.refused()
    if seconds is not None:
        raise throttled(seconds)
    try:
        yield
    except WrongPasswordError:
        left = gate.failed()
        if left is not None:
            raise throttled(left) from None
        raise
    except BaseException:  # the end of this request's greenlet too: nobody has guessed
        gate.released()
        raise
    gate.succeeded()


def throttled(seconds: int) -> ThrottledError:
    """The refusal by an account's limit, which is told to telemetry with this."""
    telemetry.track_rate_limit("login_account")
    return ThrottledError(seconds)


@contextmanager
def attempt(kind: str) -> Iterator[Attempt]:
    """Tell that somebody tried ``kind`` (registration, login, …), when the block ends and by how it ends."""
    told = Attempt()
    outcome = "failed_error"  # what the end of its greenlet makes of it, which is no Exception
    try:
        yield told
        outcome = told.outcome
    except Exception as error:
        outcome = next(outcome for kind_of, outcome in _OUTCOMES if isinstance(error, kind_of))
        raise
    finally:
        fields = {"user_ref": told.user_ref} if told.user_ref else {}
        telemetry.track_auth_attempt(kind, outcome, **fields)
