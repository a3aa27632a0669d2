"""An attempt to get in, told once with what came of it, after the commit; and the ways in which it is refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from church import telemetry
from church.errors import ChurchError, InvalidError, UnauthorizedError
from church.services.links import LinkError


class CredentialsError(UnauthorizedError):
    """Address and password do not go together; the same for an address without an account."""

    def __init__(self) -> None:
        super().__init__("The address or the password is not right.")


class ThrottledError(ChurchError):
    """Too many wrong passwords for one account; ``retry_after`` says in how many seconds the next is heard."""

    status = 429


class Gate(Protocol):
    """What slows down guessing at one account; made by whoever knows the request."""

    def refused(self) -> int | None:
        """Asked before a password is looked at: seconds to wait, or None where this try may be made."""

    def failed(self) -> bool:
        """Told of a wrong password; whether the account's wrong tries are used up."""


@dataclass
class Attempt:
    """What is told of it at the end."""

    outcome: str = "success"
    user_ref: str | None = None


_OUTCOMES: tuple[tuple[type[Exception], str], ...] = (
    (LinkError, "failed_credentials"),
    (CredentialsError, "failed_credentials"),
    (ThrottledError, "failed_throttled"),
    (InvalidError, "failed_validation"),
    (Exception, "failed_error"),
)


@contextmanager
def attempt(kind: str) -> Iterator[Attempt]:
    """Tell that somebody tried ``kind`` (registration, login, …), when the block ends and by how it ends."""
    told = Attempt()
    try:
        yield told
    except Exception as error:
        told.outcome = next(outcome for kind_of, outcome in _OUTCOMES if isinstance(error, kind_of))
        raise
    finally:
        fields = {"user_ref": told.user_ref} if told.user_ref else {}
        telemetry.track_auth_attempt(kind, told.outcome, **fields)
