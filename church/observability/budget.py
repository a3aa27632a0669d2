"""How much a process may write of one kind: a flood is counted in full and written in part."""

from __future__ import annotations

from church.lib import threads


class Budget:
    """A bucket of ``per_second`` tokens, refilled by the clock that only goes forward."""

    def __init__(self, per_second: float) -> None:
        self._rate = per_second
        self._tokens = per_second
        self._at = threads.clock()
        self.withheld = 0

    def spend(self) -> int | None:
        """Take a token: how many were withheld since the last one, or None when there is none to take."""
        now = threads.clock()
        self._tokens = min(self._rate, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < 1:
            self.withheld += 1
            return None
        self._tokens -= 1
        withheld, self.withheld = self.withheld, 0
        return withheld
