"""When a process that is kept running starts: first after some seconds, and again, with a back-off, when it ended."""

from __future__ import annotations

import time
from collections.abc import Callable

_FIRST_DELAY = 0.2  # seconds before a restart; doubles with each exit in a row
_MAX_DELAY = 10.0
_STABLE_AFTER = 30.0  # seconds of running after which the delay starts over


class RestartTimes:
    """``due`` is the clock's time of the next start, None while the process runs."""

    def __init__(self, after: float = 0.0, clock: Callable[[], float] = time.monotonic) -> None:
        self.due: float | None = clock() + after
        self._clock = clock
        self._delay = _FIRST_DELAY
        self._started = 0.0

    def start(self) -> None:
        """Note that the process starts now."""
        self._started = self._clock()
        self.due = None

    def end(self) -> None:
        """Note that the process has ended, or could not start."""
        now = self._clock()
        if now - self._started >= _STABLE_AFTER:
            self._delay = _FIRST_DELAY
        self.due = now + self._delay
        self._delay = min(self._delay * 2, _MAX_DELAY)
