"""One supervised process: started in a group of its own, its end explained, its next start paced."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

_FIRST_DELAY = 0.2  # seconds before a restart; doubles with each death in a row
_LONGEST_DELAY = 10.0
_SETTLED = 30.0  # seconds of life after which a death is the first of a new row
_PR_SET_PDEATHSIG = 1  # prctl(2), Linux alone


def die_with_parent(parent: int, by: signal.Signals) -> Callable[[], None]:
    """What a process calls so that the kernel sends it ``by`` when ``parent`` dies, a kill -9 included.

    The libc is loaded here, so that a forked child does nothing but call it. Does nothing but on Linux.
    """
    if sys.platform != "linux":
        return lambda: None
    libc = ctypes.CDLL(None)

    def ask_kernel() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, int(by), 0, 0, 0)
        if os.getppid() != parent:  # it died before it could be watched
            os.kill(os.getpid(), by)

    return ask_kernel


class Child:
    """A process that is started ``after`` some seconds, and again whenever it ends."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        orphaned: signal.Signals = signal.SIGTERM,
        after: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.due: float | None = clock() + after
        self._command = list(command)
        self._orphaned = orphaned
        self._clock = clock
        self._delay = _FIRST_DELAY
        self._started = 0.0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process while it runs."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start it: no standard input, and out of reach of the terminal's Ctrl-C, which the supervisor passes on.

        Raises OSError if it can't be; the next start is then due after the back-off.
        """
        self._started = self._clock()
        try:
            self._process = subprocess.Popen(  # noqa: S603 (our own command lines)
                self._command,
                stdin=subprocess.DEVNULL,
                process_group=0,
                preexec_fn=die_with_parent(os.getpid(), self._orphaned),  # noqa: PLW1509 (one C call)
            )
        except OSError:
            self._pace()
            raise
        self.due = None

    def reap(self) -> int | None:
        """Its return code if it has just ended; the next start is then due after the back-off."""
        code = self._process.poll() if self._process else None
        if code is None:
            return None
        self._process = None
        self._pace()
        return code

    def _pace(self) -> None:
        now = self._clock()
        if now - self._started >= _SETTLED:
            self._delay = _FIRST_DELAY
        self.due = now + self._delay
        self._delay = min(self._delay * 2, _LONGEST_DELAY)

    def send(self, number: signal.Signals) -> None:
        """Signal the process itself, if it runs."""
        if self._process:
            self._process.send_signal(number)

    def kill(self) -> None:
        """Kill it with all that it has started. It was not reaped yet, so the group is certainly its own."""
        if self._process and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)


def explain(code: int) -> str:
    """A return code in words: ``exit code 3`` or ``killed by SIGKILL``."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
