"""Child processes: how they end with their parent, and how their end is described."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable

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


def describe_exit(code: int) -> str:
    """Describe a return code: ``exit code 3`` or ``killed by SIGKILL``."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
