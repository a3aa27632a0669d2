"""What each process makes for itself, although its parent has made the rest of the app.

gunicorn's master makes the app, and its children take it over by a fork. Names, counts, caches, locks and connections
must not come along: all children would have the same name, or go on with what was true when the master started.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Generic, TypeVar

_T = TypeVar("_T")

_started = time.monotonic()
_forks = 0  # from the process that was started as a program to this one


def _note_fork() -> None:
    global _started, _forks  # noqa: PLW0603 - facts of the process
    _started = time.monotonic()
    _forks += 1


os.register_at_fork(after_in_child=_note_fork)


def started_at() -> float:
    """Return when this process was started or forked, by the monotonic clock."""
    return _started


class PerProcess(Generic[_T]):
    """A value that ``make`` makes at its first use, and anew in each forked child. Call it to get the value.

    Two threads may make one at the same time: all then get the first. A child leaves the value of its parent as it is,
    since closing what that has open could end it for the parent.
    """

    def __init__(self, make: Callable[[], _T]) -> None:
        self._make = make
        self._made: dict[int, _T] = {}  # by _forks: asking for the process id is a system call

    def __call__(self) -> _T:
        """Return the value of this process."""
        found = self._made.get(_forks)
        return self._made.setdefault(_forks, self._make()) if found is None else found

    @property
    def is_made(self) -> bool:
        """Whether this process has made its value."""
        return _forks in self._made
