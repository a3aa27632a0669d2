"""A forked child that runs a function, and is forked again when it ends."""

from __future__ import annotations

import gc
import logging
import os
import random
import signal
import sys
from collections.abc import Callable

from church.lib.processes import die_with_parent, rename_process
from church.server.restarts import RestartTimes


class ForkedProcess:
    """A process that is first forked ``after`` some seconds, and again whenever it ends.

    ``run`` ends with the process. It gets SIGTERM when its parent dies.
    """

    def __init__(self, name: str, title: str, run: Callable[[], None], *, after: float = 0.0) -> None:
        self.name = name
        self.pid: int | None = None
        self._title = title
        self._run = run
        self._times = RestartTimes(after)

    @property
    def due(self) -> float | None:
        """The monotonic time of the next start, None while the process runs."""
        return self._times.due

    def start(self) -> None:
        """Fork the process. Raises OSError if that fails; the next start is then due after the back-off."""
        self._times.start()
        follow_parent = die_with_parent(os.getpid(), signal.SIGTERM)
        try:
            self.pid = os.fork()
        except OSError:
            self._times.end()
            raise
        if self.pid == 0:
            self._live(follow_parent)

    def _live(self, follow_parent: Callable[[], None]) -> None:
        """Run in the child, which never returns into the code of its parent."""
        code = 1
        try:
            follow_parent()
            rename_process(self._title)
            random.seed()
            gc.enable()
            self._run()
            code = 0
        except BaseException:
            logging.getLogger("church").critical("%s failed", self.name, exc_info=True)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def reap(self) -> int | None:
        """Return the exit code if the process has just ended; the next start is then due after the back-off."""
        if self.pid is None:
            return None
        try:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:  # its exit code was taken already
            pid, status = self.pid, 0
        if pid == 0:
            return None
        self.pid = None
        self._times.end()
        return os.waitstatus_to_exitcode(status)
