"""Run the processes of ``flask church run`` side by side: the embedded store, gunicorn, the test till.

In production systemd does this (ops/systemd); here one command starts all of them and one signal stops them. The
supervisor lives as long as the site, and loads neither the site nor its settings: ``church.server.launch`` plans what
it runs, and becomes it.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from church.lib.processes import describe_exit, die_with_parent, receive_signals, wait_for_signals
from church.server.direct_logs import LogPlan, install_logs
from church.server.end_of_start import EndOfStart
from church.server.restarts import RestartTimes

log = logging.getLogger("church.supervisor")

GRACE = 40.0  # seconds from the first signal to the kill; gunicorn gives its requests 30
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGCHLD)
WEB = "web"
STORE = "store"
OBSERVE = "observe"


class Child(NamedTuple):
    """A process to run: its name, command line, and the seconds after which it is first started."""

    name: str
    command: list[str]
    after: float = 0.0
    orphaned: int = signal.SIGTERM
    """The signal that it gets when its supervisor dies."""


class Plan(NamedTuple):
    """What the supervisor runs; plain values, so that it can be passed on to a new process."""

    instance: str
    bind: str
    logs: LogPlan
    children: list[Child]
    lines: list[str]
    """Printed again when the start is over, below its log lines."""

    def to_json(self) -> str:
        """The plan as text."""
        return json.dumps(self._asdict())

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """Read the text of ``to_json``."""
        fields: dict[str, Any] = json.loads(text)
        children = [Child(*child) for child in fields["children"]]
        return cls(**{**fields, "children": children, "logs": LogPlan(*fields["logs"])})


def run(plan: Plan) -> int:
    """Run the site until SIGTERM or SIGINT; a second one kills. SIGHUP reloads gunicorn, SIGUSR1 reopens its logs.

    Returns 0 after a clean stop, 1 if the address is taken or another supervisor runs this instance.
    """
    install_logs(plan.logs)
    lock = os.open(Path(plan.instance) / "run.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.read(lock, 32).decode().strip()
            log.error("%s is already run by process %s", plan.instance, pid)  # noqa: TRY400 (no traceback)
            return 1
        os.ftruncate(lock, 0)
        os.write(lock, f"{os.getpid()}\n".encode())
        if "MAKELEVEL" in os.environ:
            die_with_parent(os.getppid(), signal.SIGTERM)()  # if only make is ended
        end_of_start = EndOfStart(plan.lines, plan.bind, Path(plan.logs.folder) / "combined.log")
        return Supervisor([SupervisedProcess(*child) for child in plan.children], plan.bind, end_of_start).run()
    finally:
        os.close(lock)


class SupervisedProcess:
    """A process that is first started ``after`` some seconds, and again whenever it ends.

    ``orphaned`` is the signal that it gets when its supervisor dies.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        after: float = 0.0,
        orphaned: int = signal.SIGTERM,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._command = list(command)
        self._orphaned = orphaned
        self._times = RestartTimes(after, clock)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def due(self) -> float | None:
        """The clock's time of the next start, None while the process runs."""
        return self._times.due

    @property
    def pid(self) -> int | None:
        """Process ID, None while it does not run."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start the process, without standard input. Ctrl-C reaches only the supervisor, which passes it on.

        Raises OSError if it fails; the next start is then due after the back-off.
        """
        self._times.start()
        try:
            self._process = subprocess.Popen(  # noqa: S603 (our own command lines)
                self._command,
                stdin=subprocess.DEVNULL,
                process_group=0,
                preexec_fn=die_with_parent(os.getpid(), signal.Signals(self._orphaned)),  # noqa: PLW1509 (one C call)
            )
        except OSError:
            self._times.end()
            raise

    def reap(self) -> int | None:
        """Return the exit code if the process has just ended; the next start is then due after the back-off."""
        code = self._process.poll() if self._process else None
        if code is None:
            return None
        self._process = None
        self._times.end()
        return code

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process itself, if it runs."""
        if self._process:
            self._process.send_signal(number)

    def kill(self) -> None:
        """Kill the process and all it has started. It was not reaped yet, so the group can't be another's."""
        if self._process and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)


def find_bind_problem(bind: str) -> str | None:
    """The reason why nothing can listen at ``bind`` now, or None."""
    host, _, port = bind.rpartition(":")
    host = host.strip("[]")
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, int(port)))
            probe.listen(1)
    except OSError as error:
        return error.strerror or str(error)
    return None


class Supervisor:
    """Starts the children, restarts those that die, and stops all of them together."""

    def __init__(
        self, children: Sequence[SupervisedProcess], bind: str, end_of_start: EndOfStart | None = None
    ) -> None:
        self._children = children
        self._bind = bind
        self._end_of_start = end_of_start  # None once it has come
        self._terminal = _has_terminal()
        self._kill_at: float | None = None  # set while stopping
        self._terminated: set[int] = set()
        self._status = 0

    def run(self) -> int:
        """Run until everything has stopped; returns the exit code."""
        if self._address_taken():
            return 1
        with receive_signals(_SIGNALS) as inbox:
            while True:
                self._reap()
                if not self._stopping:
                    self._start_due()
                    if self._end_of_start is not None and self._end_of_start.step():
                        self._end_of_start = None
                elif not self._stop_step():
                    return self._status
                for number in wait_for_signals(inbox, self._patience()):
                    self._handle(signal.Signals(number))

    @property
    def _stopping(self) -> bool:
        return self._kill_at is not None

    def _patience(self) -> float | None:
        """Seconds until there is something to do even if no signal comes; None for never."""
        moments = [self._kill_at] if self._stopping else [child.due for child in self._children]
        waits = [max(0.0, moment - time.monotonic()) for moment in moments if moment is not None]
        if self._end_of_start is not None and not self._stopping:
            waits.append(self._end_of_start.INTERVAL)
        return min(waits, default=None)

    def _start_due(self) -> None:
        for child in self._children:
            if child.due is None or child.due > time.monotonic():
                continue
            try:
                child.start()
            except OSError as error:
                log.error("%s cannot start: %s", child.name, error, extra={"event": "supervisor.end"})  # noqa: TRY400
            else:
                log.info("%s runs as process %s", child.name, child.pid, extra={"event": "supervisor.start"})

    def _reap(self) -> None:
        for child in self._children:
            code = child.reap()
            if code is None or self._stopping:
                continue
            log.error("%s ended (%s)", child.name, describe_exit(code), extra={"event": "supervisor.end"})
            if child.name == WEB and code == 1 and self._address_taken():
                self._status = 1
                self._stop()

    def _address_taken(self) -> bool:
        problem = find_bind_problem(self._bind)
        if problem:
            log.error(
                "cannot listen on %s: %s. Stop the program that listens there, or set CHURCH_BIND.", self._bind, problem
            )
        return problem is not None

    def _handle(self, number: signal.Signals) -> None:
        if number == signal.SIGHUP and self._terminal and not _has_terminal():
            number = signal.SIGTERM  # the terminal was closed: this is not a request to reload
        if number in {signal.SIGTERM, signal.SIGINT}:
            self._stop()
        elif number in {signal.SIGHUP, signal.SIGUSR1}:
            for child in self._children:
                if child.name == WEB:
                    child.send(number)

    def _stop(self) -> None:
        """Ask all children to stop; the second time, kill them."""
        self._kill_at = time.monotonic() + (0 if self._stopping else GRACE)

    def _stop_step(self) -> bool:
        """Ask the children that were not asked yet, the store last since the others use it; False if all are gone."""
        alive = [child for child in self._children if child.pid is not None]
        for child in [child for child in alive if child.name != STORE] or alive:
            if child.pid is not None and child.pid not in self._terminated:
                self._terminated.add(child.pid)
                child.send(signal.SIGTERM)
        if self._kill_at is not None and time.monotonic() >= self._kill_at:
            self._kill_at = time.monotonic() + GRACE
            self._status = 1  # not a clean stop
            for child in alive:
                child.kill()
        return bool(alive)


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True


def main() -> None:
    """Run the plan in the file descriptor that is the first argument. The plan may hold a secret link."""
    with os.fdopen(int(sys.argv[1]), encoding="utf-8") as file:
        plan = Plan.from_json(file.read())
    sys.exit(run(plan))


if __name__ == "__main__":
    main()
