"""Passwords: kept as bcrypt hashes, compared off the hub, and refused where they are guessed first.

A hash takes a quarter of a second of one core by design, so it has threads of its own, with a queue that ends.
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

import bcrypt

from church.config import current_settings
from church.lib.threads import BoundedPool
from church.services.accounts import password_strength
from church.services.accounts.password_strength import LONGEST, problem

__all__ = ["COST", "LONGEST", "check_password", "hash_password", "needs_rehash", "weakness"]

COST = 12
"""bcrypt's: 2 to the power of it rounds. OWASP's password storage sheet asks for 10 or more."""

# Ties the pre-hash to its use here: a plain SHA-384 that leaked elsewhere could be tried against ours without its
# password being known (OWASP's "password shucking").
_LABEL = b"church password v1"
_QUEUE = 16
_NICE = 10


def _threads() -> int:
    """The cores that this process may use, shared among the workers; one at least."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return max(1, cores // current_settings().workers)


_pool = BoundedPool(_threads, queue=_QUEUE, nice=_NICE)


def hash_password(text: str) -> str:
    """What is kept of a password. Raises ValueError beyond 256 characters, and BusyError where the queue is full."""
    if len(text) > LONGEST:
        raise ValueError(f"a password has at most {LONGEST} characters: show weakness() first what was typed")
    return _pool.run(bcrypt.hashpw, _prepared(text), bcrypt.gensalt(COST)).decode()


def check_password(text: str, stored: str | None) -> bool:
    """Whether ``text`` is the password behind ``stored``.

    Without one, or with one that is no hash, the same work is done for the answer no. Raises BusyError.
    """
    possible = len(text) <= LONGEST and stored is not None and _cost(stored) is not None
    known = stored if possible and stored is not None else _nobody()
    matches = _pool.run(bcrypt.checkpw, _prepared(text[:LONGEST]), known.encode())
    return matches and possible


def needs_rehash(stored: str) -> bool:
    """Whether ``stored`` was made at another cost than today's."""
    return _cost(stored) != COST


def weakness(text: str, *, minimum: int, personal: Sequence[str]) -> str | None:
    """Why ``text`` is not taken as a new password, in words for whoever typed it; None when it is.

    ``personal`` are the name and the address of its owner; the name of the site is added here.
    """
    return problem(
        text, password_strength.common(), minimum=minimum, personal=[current_settings().site_name, *personal]
    )


def _prepared(text: str) -> bytes:
    """64 bytes that stand for the whole password: bcrypt takes 72 at most and stops at a NUL.

    One form of each character (NFC), so that another keyboard gives the same bytes (NIST SP 800-63B, 3.1.1.2).
    """
    typed = unicodedata.normalize("NFC", text).encode("utf-8", "surrogatepass")
    return base64.b64encode(hmac.digest(_LABEL, typed, hashlib.sha384))


def _nobody() -> str:
    """A hash that no password has, at today's cost: checking against it takes as long as against a real one."""
    return f"$2b${COST:02}$" + "." * 53


def _cost(stored: str) -> int | None:
    found = re.fullmatch(r"\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}", stored)
    return int(found[1]) if found else None
