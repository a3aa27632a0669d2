"""How often a member may say something, and come into a room; counted over all of their connections and forms."""

from __future__ import annotations

from church import telemetry
from church.services.chat.errors import RateLimitedError
from church.services.sessions import SignedIn
from church.web import rate_limits

_SAYING = "chat"
_COMING = "history"


def keep_pace(signed_in: SignedIn) -> None:
    """Count one more of what the member says, by whichever way. Raises RateLimitedError."""
    _count(_SAYING, signed_in)


def keep_entry_pace(signed_in: SignedIn) -> None:
    """Count once more that the member enters a room, and may have to be given all of it. Raises RateLimitedError."""
    _count(_COMING, signed_in)


def _count(limit: str, signed_in: SignedIn) -> None:
    seconds = rate_limits.take(limit, signed_in.ref)
    if seconds is not None:
        telemetry.track_rate_limit(limit)
        raise RateLimitedError(seconds)
