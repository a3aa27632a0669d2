"""Processes: their titles and signals, how they end with their parent, how their end is described, their memory."""

from __future__ import annotations

import ctypes
import gc
import os
import select
import signal
import socket
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

_PR_SET_PDEATHSIG = 1  # prctl(2), Linux only
_M_ARENA_MAX = -8  # mallopt(3), of the GNU C library


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


@contextmanager
def receive_signals(numbers: Iterable[signal.Signals]) -> Iterator[socket.socket]:
    """A socket that receives the number of each of these signals, so that one wait serves signals and timeouts.

    Only in the main thread.
    """

    def ignore(number: int, frame: FrameType | None) -> None:
        """Do nothing: the signal's number is in the socket."""

    inbox, outbox = socket.socketpair()
    with inbox, outbox:
        inbox.setblocking(False)
        outbox.setblocking(False)
        before = signal.set_wakeup_fd(outbox.fileno(), warn_on_full_buffer=False)
        handlers = {number: signal.signal(number, ignore) for number in numbers}
        try:
            yield inbox
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(before)


def wait_for_signals(inbox: socket.socket, seconds: float | None) -> bytes:
    """The numbers of the signals that arrived in ``receive_signals``; waits for ``seconds`` at most."""
    ready, _, _ = select.select([inbox], [], [], seconds)
    return inbox.recv(512) if ready else b""


def use_one_arena() -> None:
    """Let all threads of this process take memory from one place; those that are forked from it do so, too.

    The C library of Linux makes an arena for each thread, up to eight for each core, and all keep what is free between
    blocks in use: 10 MiB a worker. Threads rarely want memory at the same time, since they wait for Python's lock.
    ``MALLOC_ARENA_MAX`` in the environment is left as it is. Only before the first thread.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None and "MALLOC_ARENA_MAX" not in os.environ:
        mallopt(_M_ARENA_MAX, 1)


def give_back_free_memory() -> None:
    """Return freed memory to the system: the C library of Linux keeps what lies between blocks that are in use.

    Takes a few milliseconds. Where the library has no such function, this does nothing.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def free_memory() -> None:
    """Give back what is free after much work, garbage in cycles too, which would wait there for more work."""
    gc.collect()
    give_back_free_memory()
