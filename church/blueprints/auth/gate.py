"""What slows down guessing at one account, whoever guesses, without locking its owner out.

Wrong passwords are counted per account, also for addresses that have none. Once they are used up, each client has
one try in the window: the owner gets in with the right password, a guesser with many clients has a guess for each.
"""

from __future__ import annotations

from dataclasses import dataclass

from church.limits import client, count, spent
from church.services.account_fields import key_hash, parsed_address

_LIMIT = "login_account"


@dataclass(frozen=True)
class LoginGate:
    """See ``church.services.account_attempts.Gate``. ``account`` and ``client`` name whom it counts."""

    account: str
    client: str

    def refused(self) -> int | None:
        """Seconds to wait, or None where this try may be made; a try that is let through here is taken."""
        if spent(_LIMIT, "account", self.account) is None:
            return None
        if count(_LIMIT, "try", self.account, self.client) <= 1:
            return None
        return spent(_LIMIT, "try", self.account, self.client, most=1)

    def failed(self) -> bool:
        """Count a wrong password; whether they were used up before it."""
        used_up = spent(_LIMIT, "account", self.account) is not None
        count(_LIMIT, "account", self.account)
        return used_up


def gate_of(email: str) -> LoginGate:
    """The gate of what was typed as an address, for the client of the request under way."""
    found = parsed_address(email)
    return LoginGate(account=key_hash(found.key if found else email.strip().casefold()), client=client())
