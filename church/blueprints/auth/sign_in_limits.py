"""Slow down guessing at the password of one account, without locking its owner out.

Wrong passwords are counted per account, also for addresses that have none. Once they are used up, each client has one
wrong try in the window: the owner gets in with the right password, an attacker gets one guess for each client. The try
is taken before the password is checked, so that parallel requests share it, and given back if the password was right.

Password checks of signed-in members are counted separately, by session: strangers can't use those up, and a stolen
session uses up only its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from church.errors import FieldErrors
from church.services.accounts import WRONG_PASSWORD, make_throttled_error, try_parse_address
from church.services.email import hash_address
from church.services.sessions import SignedIn
from church.web.rate_limits import client_key, count, reset_count, seconds_until_free

_LIMIT = "login_account"


@dataclass
class LoginGate:
    """Counts wrong passwords of an account and a client; see ``church.services.accounts.failed_sign_ins.Gate``."""

    account: str
    client: str
    taken: bool = False
    """Whether this is the client's one try of the window."""

    def refused(self) -> int | None:
        """Return the seconds to wait, or None if this try is allowed; an allowed try is taken."""
        if seconds_until_free(_LIMIT, "account", self.account) is None:
            return None
        self.taken = count(*self._try) <= 1
        return None if self.taken else seconds_until_free(*self._try, most=1)

    def failed(self) -> int | None:
        """Count a wrong password; return the seconds to wait if the tries were used up before, else None."""
        seconds = seconds_until_free(_LIMIT, "account", self.account)
        count(_LIMIT, "account", self.account)
        if seconds is None:
            return None
        if not self.taken:
            count(*self._try)
        return seconds_until_free(*self._try, most=1) or seconds

    def succeeded(self) -> None:
        """Give this client its try back: it knows the password."""
        reset_count(*self._try)

    def released(self) -> None:
        """Give back the try that ``refused`` took."""
        if self.taken:
            reset_count(*self._try)

    def forgive(self) -> None:
        """Reset the counts, after the account got a new password."""
        reset_count(_LIMIT, "account", self.account)
        reset_count(*self._try)

    @property
    def _try(self) -> tuple[str, str, str, str]:
        return (_LIMIT, "try", self.account, self.client)


def login_gate_for(email: str) -> LoginGate:
    """Make the gate for a typed address and the client of the current request."""
    address = try_parse_address(email)
    return LoginGate(account=hash_address(address.key if address else email.strip().casefold()), client=client_key())


@contextmanager
def limit_password_checks(member: SignedIn) -> Iterator[None]:
    """Count wrong passwords of a signed-in member, so that a stolen session can't be used to guess.

    Raises ThrottledError if the tries are used up.
    """
    seconds = seconds_until_free(_LIMIT, "again", member.session_ref)
    if seconds is not None:
        raise make_throttled_error(seconds)
    try:
        yield
    except FieldErrors as error:
        if WRONG_PASSWORD in error.errors.values():
            count(_LIMIT, "again", member.session_ref)
        raise
