"""A supervised process: runs in its own process group and is restarted with back-off when it ends."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

_FIRST_DELAY = 0.2  # seconds before a restart; doubles with each exit in a row
_MAX_DELAY = 10.0
_STABLE_AFTER = 30.0  # seconds of running after which the delay starts over
_PR_SET_PDEATHSIG = 1  # prctl(2), Linux only


def die_with_parent(parent: int, by: signal.Signals) -> Callable[[], None]:
    """Return a function for a child process: it has the kernel send the signal ``by`` when ``parent`` dies.

    That includes a parent killed with SIGKILL. Linux only; elsewhere the function does nothing. The libc is loaded
    here, so that a forked child only has to call it.
    """
    if sys.platform != "linux":
        return lambda: None
    libc = ctypes.CDLL(None)

    def ask_kernel() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, int(by), 0, 0, 0)
        if os.getppid() != parent:  # the parent died before the call
            os.kill(os.getpid(), by)

    return ask_kernel


class SupervisedProcess:
    """A process that is first started ``after`` some seconds, and again whenever it ends.

    ``due`` is the clock's time of the next start, None while the process runs. ``orphaned`` is the signal that it gets
    when its supervisor dies.
    """

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
        """Process ID, None while it does not run."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start the process, without standard input. Ctrl-C reaches only the supervisor, which passes it on.

        Raises OSError if it fails; the next start is then due after the back-off.
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
            self._schedule_restart()
            raise
        self.due = None

    def reap(self) -> int | None:
        """Return the exit code if the process has just ended; the next start is then due after the back-off."""
        code = self._process.poll() if self._process else None
        if code is None:
            return None
        self._process = None
        self._schedule_restart()
        return code

    def _schedule_restart(self) -> None:
        now = self._clock()
        if now - self._started >= _STABLE_AFTER:
            self._delay = _FIRST_DELAY
        self.due = now + self._delay
        self._delay = min(self._delay * 2, _MAX_DELAY)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process itself, if it runs."""
        if self._process:
            self._process.send_signal(number)

    def kill(self) -> None:
        """Kill the process and all it has started. It was not reaped yet, so the group can't be another's."""
        if self._process and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)


def describe_exit(code: int) -> str:
    """Describe a return code: ``exit code 3`` or ``killed by SIGKILL``."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
