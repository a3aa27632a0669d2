"""Hash and check passwords with bcrypt in threads, and refuse weak new passwords.

A hash takes a quarter of a second of one core by design, so it runs in threads of its own, with a bounded queue in
which each client and each account has a share (``Sender``).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import sys
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import bcrypt

from church import telemetry
from church.config import current_settings
from church.lib.fair_pool import FairPool, Share
from church.lib.network.addresses import SITE_PREFIX, network_of
from church.services.accounts import password_strength
from church.services.accounts.password_strength import MAX_PASSWORD_LENGTH, find_problem
from church.services.sessions import Device

__all__ = ["COST", "MAX_PASSWORD_LENGTH", "Sender", "check_password", "find_weakness", "hash_password", "needs_rehash"]

COST = 12
"""bcrypt's cost: 2 to the power of it rounds. OWASP's password storage sheet asks for 10 or more."""

# Ties the pre-hash to this site: otherwise a plain SHA-384 that leaked elsewhere could be tried against our hashes
# without knowing the password (OWASP's "password shucking").
_LABEL = b"church password v1"
_QUEUE = 16
_MOST_OF_CLIENT = 8
_MOST_OF_ACCOUNT = 2
_NICE = 10


@dataclass(frozen=True)
class Sender:
    """Who waits for a password to be hashed. Without an ``account``, only the client has a share of the queue."""

    device: Device
    account: str = ""

    @property
    def client(self) -> str:
        """The client's IPv4 address, or the IPv6 network around it."""
        return network_of(self.device.address, SITE_PREFIX)

    def shares(self) -> tuple[Share, ...]:
        """The sender's shares of the queue."""
        client = Share(f"client:{self.client}", _MOST_OF_CLIENT)
        return (client, Share(f"account:{self.account}", _MOST_OF_ACCOUNT)) if self.account else (client,)


def _threads() -> int:
    """The number of threads: this process's cores shared among the workers, at least one."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return max(1, cores // current_settings().workers)


_pool = FairPool(_threads, queue=_QUEUE, nice=_NICE)


def hash_password(text: str, sender: Sender) -> str:
    """Hash a password for the database. Raises ValueError beyond 256 characters, BusyError without a place to wait."""
    if len(text) > MAX_PASSWORD_LENGTH:
        raise ValueError(f"a password has at most {MAX_PASSWORD_LENGTH} characters: call weakness() first")
    with telemetry.span("password.hash"):
        hashed = _pool.run(sender.client, sender.shares(), bcrypt.hashpw, to_bcrypt_input(text), bcrypt.gensalt(COST))
    return hashed.decode()


def check_password(text: str, stored: str | None, sender: Sender) -> bool:
    """Whether ``text`` is the password of the hash ``stored``.

    Without a valid hash the result is False after the same work, so that the time reveals nothing. Raises BusyError.
    """
    possible = len(text) <= MAX_PASSWORD_LENGTH and stored is not None and _cost(stored) is not None
    hashed = stored if possible and stored is not None else _unmatchable()
    typed = to_bcrypt_input(text[:MAX_PASSWORD_LENGTH])
    with telemetry.span("password.hash"):
        matches = _pool.run(sender.client, sender.shares(), bcrypt.checkpw, typed, hashed.encode())
    return matches and possible


def needs_rehash(stored: str) -> bool:
    """Whether ``stored`` was made with another cost than today's."""
    return _cost(stored) != COST


def find_weakness(text: str, *, minimum: int, personal: Sequence[str]) -> str | None:
    """Return why ``text`` is refused as a new password, as text for the member; None if it is accepted.

    ``personal`` are the name and the address of its owner; the name of the site is added here.
    """
    return find_problem(
        text, password_strength.common_passwords(), minimum=minimum, personal=[current_settings().site_name, *personal]
    )


def to_bcrypt_input(text: str) -> bytes:
    """Hash the whole password to 64 bytes first: bcrypt takes 72 at most and stops at a NUL.

    Characters are normalised (NFC), so that another keyboard gives the same bytes (NIST SP 800-63B, 3.1.1.2).
    """
    typed = unicodedata.normalize("NFC", text).encode("utf-8", "surrogatepass")
    return base64.b64encode(hmac.digest(_LABEL, typed, hashlib.sha384))


def _unmatchable() -> str:
    """A hash that no password has, at today's cost: checking it takes as long as a real one."""
    return f"$2b${COST:02}$" + "." * 53


def _cost(stored: str) -> int | None:
    match = re.fullmatch(r"\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}", stored)
    return int(match[1]) if match else None
