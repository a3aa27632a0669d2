"""Rate limits for sending messages and joining rooms, counted per member over all connections and forms.

The limiter belongs to a higher layer (``church.web.rate_limits``); the live blueprint sets it when it is imported.
"""

from __future__ import annotations

from collections.abc import Callable

from church import telemetry
from church.services.chat.errors import RateLimitedError
from church.services.sessions import SignedIn

Limiter = Callable[[str, str], int | None]
"""Counts once against a named limit for a key; returns None, or the seconds to wait if that is too many."""

_POSTING = "chat"
_JOINING = "history"
_limiter: list[Limiter] = []  # one, once it is set


def set_limiter(limiter: Limiter) -> None:
    """Set the limiter that counts messages and joins."""
    _limiter[:] = [limiter]


def count_post(signed_in: SignedIn) -> None:
    """Count a message, edit or report of the member. Raises RateLimitedError."""
    _count(_POSTING, signed_in)


def count_join(signed_in: SignedIn) -> None:
    """Count a member's join of a room, which may load its history. Raises RateLimitedError."""
    _count(_JOINING, signed_in)


def _count(limit: str, signed_in: SignedIn) -> None:
    if not _limiter:
        raise RuntimeError("Chat has no rate limiter: call chat.set_limiter first.")
    seconds = _limiter[0](limit, signed_in.ref)
    if seconds is not None:
        telemetry.track_rate_limit(limit)
        raise RateLimitedError(seconds)
