"""A clock that moves only when a test sets it."""

from __future__ import annotations


class Clock:
    """In the place of ``time.monotonic`` or ``time.time``."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """Return the time in seconds."""
        return self.now
