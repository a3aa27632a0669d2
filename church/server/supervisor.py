"""Run the processes of ``flask church run`` side by side: the embedded store, gunicorn, the worker, the test till.

In production systemd does this (ops/systemd); here one command starts all of them and one signal stops them.
"""

from __future__ import annotations

import fcntl
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from church.lib.files import make_private
from church.lib.processes import describe_exit, die_with_parent
from church.server.announce import EndOfStart
from church.server.gunicorn_logger import install_logs
from church.server.restarts import RestartTimes
from church.server.work import WITH_WORK
from church.store.embedded import embedded_command

if TYPE_CHECKING:
    from types import FrameType

    from church.config import Settings

log = logging.getLogger("church.supervisor")

ROOT = Path(__file__).resolve().parent.parent.parent
GRACE = 40.0  # seconds from the first signal to the kill; gunicorn gives its requests 30
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGCHLD)
_HEAD_START = 1.5  # seconds for gunicorn's workers to start first: visitors wait for them, jobs can be later
_WEB = "web"
_STORE = "store"


def run(settings: Settings, addresses: Sequence[str]) -> int:
    """Run the site until SIGTERM or SIGINT; a second one kills. SIGHUP reloads gunicorn, SIGUSR1 reopens its logs.

    ``addresses`` are printed again when the start is over, below its log lines.
    Returns 0 after a clean stop, 1 if the address is taken or another supervisor runs this instance.
    """
    for folder in (settings.instance, settings.log_dir):
        make_private(folder)
    install_logs(settings)
    lock = os.open(settings.instance / "run.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.read(lock, 32).decode().strip()
            log.error("%s is already run by process %s", settings.instance, pid)  # noqa: TRY400 (no traceback)
            return 1
        os.ftruncate(lock, 0)
        os.write(lock, f"{os.getpid()}\n".encode())
        if "MAKELEVEL" in os.environ:
            die_with_parent(os.getppid(), signal.SIGTERM)()  # if only make is ended
        end_of_start = EndOfStart(addresses, settings.bind, settings.log_dir / "combined.log")
        return Supervisor(list_children(settings), settings.bind, end_of_start).run()
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
        *,
        environment: Mapping[str, str] | None = None,
        orphaned: signal.Signals = signal.SIGTERM,
        after: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._command = list(command)
        self._environment = environment
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
                env=self._environment,
                stdin=subprocess.DEVNULL,
                process_group=0,
                preexec_fn=die_with_parent(os.getpid(), self._orphaned),  # noqa: PLW1509 (one C call)
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


def list_children(settings: Settings) -> list[SupervisedProcess]:
    """The processes to run: the store first, since the others use it."""
    python = sys.executable
    gunicorn = ("-m", "gunicorn", "-c", f"{ROOT}/ops/gunicorn.conf.py", "--pythonpath", str(ROOT), "wsgi:app")
    processes = [SupervisedProcess(_WEB, (python, *gunicorn), environment={**os.environ, WITH_WORK: "1"})]
    if settings.till:
        processes.append(SupervisedProcess("till", (python, "-m", "church.till"), after=_HEAD_START))
    if settings.redis_url is None:
        # It stores nothing on disk; killed, it cannot remove the socket of its successor.
        processes.insert(0, SupervisedProcess(_STORE, embedded_command(settings), orphaned=signal.SIGKILL))
    return processes


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
        with _wakeups() as inbox:
            while True:
                self._reap()
                if not self._stopping:
                    self._start_due()
                    if self._end_of_start is not None and self._end_of_start.step():
                        self._end_of_start = None
                elif not self._stop_step():
                    return self._status
                for number in _wait(inbox, self._patience()):
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
            if child.name == _WEB and code == 1 and self._address_taken():
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
                if child.name == _WEB:
                    child.send(number)

    def _stop(self) -> None:
        """Ask all children to stop; the second time, kill them."""
        self._kill_at = time.monotonic() + (0 if self._stopping else GRACE)

    def _stop_step(self) -> bool:
        """Ask the children that were not asked yet, the store last since the others use it; False if all are gone."""
        alive = [child for child in self._children if child.pid is not None]
        for child in [child for child in alive if child.name != _STORE] or alive:
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


@contextmanager
def _wakeups() -> Iterator[socket.socket]:
    """A socket that receives the number of each signal, so that one wait serves signals and timeouts."""

    def ignore(number: int, frame: FrameType | None) -> None:
        """Do nothing: the signal's number is in the wake-up socket."""

    inbox, outbox = socket.socketpair()
    with inbox, outbox:
        inbox.setblocking(False)
        outbox.setblocking(False)
        before = signal.set_wakeup_fd(outbox.fileno(), warn_on_full_buffer=False)
        handlers = {number: signal.signal(number, ignore) for number in _SIGNALS}
        try:
            yield inbox
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(before)


def _wait(inbox: socket.socket, seconds: float | None) -> bytes:
    """The signals that arrived; waits for ``seconds`` at most."""
    ready, _, _ = select.select([inbox], [], [], seconds)
    return inbox.recv(512) if ready else b""
