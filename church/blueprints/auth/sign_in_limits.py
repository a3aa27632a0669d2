"""What slows down guessing at one account, whoever guesses, without locking its owner out.

Wrong passwords are counted per account, also for addresses that have none. Once they are used up, each client has
one wrong try in the window: the owner gets in with the right password, a guesser with many clients has a guess for
each. The try is taken before the password is looked at, so that many at once have one between them, and given back
where it was not wrong.
Whoever is signed in and is asked for the password once more is counted apart, by sign-in: no stranger can use that up,
and whoever has stolen one sign-in uses up that one alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from church.errors import FieldErrors
from church.services.accounts.failed_sign_ins import throttled
from church.services.accounts.profile import WRONG_PASSWORD
from church.services.accounts.validation import parsed_address
from church.services.email.address_hash import hash_address
from church.services.sessions import SignedIn
from church.web.rate_limits import client, count, forget, spent

_LIMIT = "login_account"


@dataclass
class LoginGate:
    """See ``church.services.accounts.failed_sign_ins.Gate``. ``account`` and ``client`` name whom it counts."""

    account: str
    client: str
    taken: bool = False
    """Whether this is the client's one try of the window."""

    def refused(self) -> int | None:
        """Seconds to wait, or None where this try may be made; a try that is let through here is taken."""
        if spent(_LIMIT, "account", self.account) is None:
            return None
        self.taken = count(*self._try) <= 1
        return None if self.taken else spent(*self._try, most=1)

    def failed(self) -> int | None:
        """Count a wrong password; seconds to wait where they were used up before it, as by others at this moment."""
        left = spent(_LIMIT, "account", self.account)
        count(_LIMIT, "account", self.account)
        if left is None:
            return None
        if not self.taken:
            count(*self._try)
        return spent(*self._try, most=1) or left

    def succeeded(self) -> None:
        """This client knows the password: it has its try again."""
        forget(*self._try)

    def released(self) -> None:
        """Give back what ``refused`` took."""
        if self.taken:
            forget(*self._try)

    def forgive(self) -> None:
        """The account has another password: what was guessed before counts no more."""
        forget(_LIMIT, "account", self.account)
        forget(*self._try)

    @property
    def _try(self) -> tuple[str, str, str, str]:
        return (_LIMIT, "try", self.account, self.client)


def gate_of(email: str) -> LoginGate:
    """The gate of what was typed as an address, for the client of the request under way."""
    found = parsed_address(email)
    return LoginGate(account=hash_address(found.key if found else email.strip().casefold()), client=client())


@contextmanager
def asked_again(member: SignedIn) -> Iterator[None]:
    """Count wrong passwords of who is signed in: a stolen session is no place to guess at leisure.

    Raises ThrottledError where they are used up.
    """
    left = spent(_LIMIT, "again", member.session_ref)
    if left is not None:
        raise throttled(left)
    try:
        yield
    except FieldErrors as error:
        if WRONG_PASSWORD in error.errors.values():
            count(_LIMIT, "again", member.session_ref)
        raise
