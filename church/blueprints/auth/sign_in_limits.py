"""Slow down guessing at the password of one account, without locking its owner out.

Wrong passwords are counted per account, also for addresses that have none. Once they are used up, each client has one
wrong try in the window: the owner gets in with the right password, an attacker gets one guess for each client. A try is
taken before its password is checked, so that parallel requests share the tries, and given back if it was right.

Password checks of signed-in members are counted separately, by session: strangers can't use those up, and a stolen
session uses up only its own. Right ones are limited too, by account and by client, because each costs a hash.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from flask import current_app, request

from church.errors import FieldErrors
from church.lib.email_addresses import make_key
from church.services.accounts import (
    WRONG_PASSWORD,
    make_confirmations_error,
    make_throttled_error,
    try_parse_address,
)
from church.services.email import hash_address
from church.services.sessions import SignedIn
from church.web.rate_limits import (
    client_keys,
    count,
    count_client,
    count_or_wait,
    give_back,
    reset_count,
    seconds_until_free,
)

_LIMIT = "login_account"
_CONFIRMATIONS = "confirmation"


@dataclass
class LoginGate:
    """Counts wrong passwords of an account and a client; see ``church.services.accounts.failed_sign_ins.Gate``."""

    account: str
    client: str
    is_last: bool = False
    """Whether the try that was let through is the client's one try of the window."""

    def refused(self) -> int | None:
        """Return the seconds to wait, or None if this try is allowed; an allowed try is taken."""
        if count_or_wait(*self._account) is None:
            return None
        self.is_last = count(*self._try) <= 1
        return None if self.is_last else seconds_until_free(*self._try, most=1) or 1

    def failed(self) -> int | None:
        """Keep the try counted; return the seconds to wait if it was the client's last, else None."""
        return seconds_until_free(*self._try, most=1) if self.is_last else None

    def succeeded(self) -> None:
        """Give the try back, and the client's one try too: it knows the password."""
        if not self.is_last:
            give_back(*self._account)
        reset_count(*self._try)

    def released(self) -> None:
        """Give back the try that ``refused`` took."""
        if self.is_last:
            reset_count(*self._try)
        else:
            give_back(*self._account)

    def forgive(self) -> None:
        """Reset the counts, after the account got a new password."""
        reset_count(*self._account)
        reset_count(*self._try)

    @property
    def _account(self) -> tuple[str, str, str]:
        return (_LIMIT, "account", self.account)

    @property
    def _try(self) -> tuple[str, str, str, str]:
        return (_LIMIT, "try", self.account, self.client)


def login_gate_for(email: str) -> LoginGate:
    """Make the gate for a typed address and the client of the current request: an IPv4 address or an IPv6 /48.

    A customer who has a whole /48 would have 65,536 tries by its /64s.
    """
    address = try_parse_address(email)
    account = hash_address(address.key if address else make_key(email.strip()))
    return LoginGate(account, client_keys()[-1].key)


@contextmanager
def limit_password_checks(member: SignedIn) -> Iterator[None]:
    """Count the check of a signed-in member's password in the block, so that a stolen session can't be used to guess.

    Raises ThrottledError if the tries are used up, or if too many passwords were checked, right or wrong.
    """
    _limit_confirmations(member)
    tries = (_LIMIT, "again", member.session_ref)
    seconds = count_or_wait(*tries)
    if seconds is not None:
        raise make_throttled_error(seconds)
    wrong = False
    try:
        yield
    except FieldErrors as error:
        wrong = WRONG_PASSWORD in error.errors.values()
        raise
    finally:
        if not wrong:
            give_back(*tries)


def _limit_confirmations(member: SignedIn) -> None:
    seconds = count_or_wait(_CONFIRMATIONS, "account", member.ref)
    if seconds is None:
        seconds = count_client(current_app, _CONFIRMATIONS, request.remote_addr or "")
    if seconds is not None:
        raise make_confirmations_error(seconds)
