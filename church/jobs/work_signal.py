"""Wake the job threads of this process: when a job is queued here, when one is due, and when the process stops."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy.orm import Session

from church.database import after_commit

_wakes: list[Callable[[], None]] = []  # of the workers that run in this process


class WorkSignal:
    """Tells all waiting threads to look for work. A thread that was busy meanwhile learns of it at its next wait."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.count = 0
        """How often it was sent; read it before looking for work."""

    def send(self) -> None:
        """Wake the waiting threads."""
        with self._changed:
            self.count += 1
            self._changed.notify_all()

    def wait(self, seen: int) -> None:
        """Wait until it was sent more often than ``seen`` times."""
        with self._changed:
            self._changed.wait_for(lambda: self.count != seen)


@contextmanager
def woken_by(wake: Callable[[], None]) -> Iterator[None]:
    """Call ``wake`` whenever this process has queued a job, for as long as the block runs."""
    _wakes.append(wake)
    try:
        yield
    finally:
        _wakes.remove(wake)


def wake_after(session: Session) -> None:
    """Wake the workers of this process, if there are any, once the caller's transaction has been committed."""
    if _wakes:
        after_commit(session, _wake)


def _wake() -> None:
    for wake in tuple(_wakes):
        wake()
