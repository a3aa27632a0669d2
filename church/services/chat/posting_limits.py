"""Rate limits for sending messages and joining rooms, counted per member over all connections and forms.

The limiter belongs to a higher layer (``church.web.rate_limits``); the live blueprint sets it when it is imported.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from church import telemetry
from church.services.chat.errors import RateLimitedError
from church.services.sessions import SignedIn

Limiter = Callable[[str, str], int | None]
"""Counts once against a named limit for a key; returns None, or the seconds to wait if that is too many."""
GiveBack = Callable[[str, str], None]
"""Takes back what a limiter has counted."""

_POSTING = "chat"
_JOINING = "history"
_limiter: list[Limiter] = []  # one, once it is set
_give_back: list[GiveBack] = []


def set_limiter(limiter: Limiter, give_back: GiveBack) -> None:
    """Set the limiter that counts messages and joins."""
    _limiter[:] = [limiter]
    _give_back[:] = [give_back]


def count_post(signed_in: SignedIn) -> None:
    """Count a message, edit or report of the member. Raises RateLimitedError."""
    _refuse(_POSTING, try_to_count_post(signed_in))


def try_to_count_post(signed_in: SignedIn) -> int | None:
    """Like ``count_post``, but returns the seconds to wait; None if the member need not wait."""
    return _count(_POSTING, signed_in)


def refuse_post(seconds: int) -> NoReturn:
    """Refuse a message of a member who has to wait. Raises RateLimitedError."""
    telemetry.track_rate_limit(_POSTING)
    raise RateLimitedError(seconds)


def give_back_post(signed_in: SignedIn) -> None:
    """Take back the count of a message that was stored before."""
    for give_back in _give_back:
        give_back(_POSTING, signed_in.ref)


def count_join(signed_in: SignedIn) -> None:
    """Count a member's join of a room, which may load its history. Raises RateLimitedError."""
    _refuse(_JOINING, _count(_JOINING, signed_in))


def _count(limit: str, signed_in: SignedIn) -> int | None:
    if not _limiter:
        raise RuntimeError("Chat has no rate limiter: call chat.set_limiter first.")
    return _limiter[0](limit, signed_in.ref)


def _refuse(limit: str, seconds: int | None) -> None:
    if seconds is not None:
        telemetry.track_rate_limit(limit)
        raise RateLimitedError(seconds)
