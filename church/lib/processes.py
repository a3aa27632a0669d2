"""Child processes: how they end with their parent, how they are called, and how their end is described."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

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


def rename_process(title: str) -> None:
    """Show this process as ``title`` in lists of processes, where its parent's command line stands otherwise.

    Linux only; elsewhere, or where the command line is too short for it, the function does nothing.
    """
    with suppress(OSError, ValueError, IndexError):
        begin, end = map(int, Path("/proc/self/stat").read_text().rpartition(")")[2].split()[45:47])
        text = b"\0".join(os.fsencode(title).split(b" ")) + b"\0"
        if len(text) <= end - begin:
            ctypes.memmove(begin, text.ljust(end - begin, b"\0"), end - begin)


def describe_exit(code: int) -> str:
    """Describe a return code: ``exit code 3`` or ``killed by SIGKILL``."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
