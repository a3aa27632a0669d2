"""How many frames a client may send: a budget that refills steadily, up to what may come at once."""

from __future__ import annotations

import time


class FrameBudget:
    """``rate`` frames a second on average, and ``burst`` at once."""

    __slots__ = ("_at", "_burst", "_left", "_rate")

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._left = burst
        self._at = time.monotonic()

    def spend(self, cost: float) -> bool:
        """Take ``cost`` out; False, and nothing is taken, if there is not so much left."""
        self._refill()
        if self._left < cost:
            return False
        self._left -= cost
        return True

    @property
    def is_full(self) -> bool:
        """Whether it has refilled, so that a new budget would be the same."""
        self._refill()
        return self._left >= self._burst

    def _refill(self) -> None:
        now = time.monotonic()
        self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
