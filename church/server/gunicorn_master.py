"""gunicorn's master as the warm parent of the site's processes: it imports the site once and forks all that run it.

Nothing is started in it: no thread, no connection, no metric slot. The children take over its app, which has answered
a few pages already, and connect and count by themselves, after the fork. So they share the memory of the code, and
start within a moment.

Python cannot load new code into a process that has the old. On SIGHUP the master therefore replaces itself by ``exec``:
the same process with the same listening sockets and children, which loads code, templates and settings anew, starts new
children, and then lets the old ones finish.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple, NoReturn

from gunicorn import sock
from gunicorn.app import base
from gunicorn.arbiter import Arbiter

from church.config import ConfigError, keep_settings, read_settings
from church.lib.processes import describe_exit, give_back_free_memory, use_one_arena
from church.server import early_names
from church.server.forked_process import ForkedProcess
from church.server.supervisor import find_bind_problem
from church.server.work import WITH_WORK, run_work

_HANDOVER = "_CHURCH_HANDOVER"  # environment of a master that has replaced itself
_WORK_AFTER = 1.0  # seconds for the web workers to start first: visitors wait for them, jobs can be later
_WORK_GRACE = 36.0  # seconds from SIGTERM to SIGKILL; an unfinished job has 20 of them
_BOOT_SECONDS = 30.0  # for new workers to answer, before the old ones stop all the same
_CHECK_SECONDS = 60.0  # for a process to load the site, before the master replaces itself
_MOST_OF_PROBLEM = 2000  # characters
_SIGNALS = frozenset({*Arbiter.SIGNALS, signal.SIGCHLD})


def install() -> None:
    """Make gunicorn use this master. It has no setting for that."""
    base.Arbiter = SiteMaster


class Handover(NamedTuple):
    """What a master leaves to itself when it replaces itself."""

    sockets: list[int]
    """File descriptors of the listening sockets."""
    addresses: list[Any]
    """What they are bound to, by gunicorn's settings."""
    by_systemd: bool
    workers: list[int]
    """Process ids of the web workers."""
    work: list[int]
    """Process ids of worker processes."""

    @classmethod
    def receive(cls) -> Handover | None:
        """What the process was before, if it has replaced itself."""
        text = os.environ.pop(_HANDOVER, None)
        return None if text is None else cls(**json.loads(text))

    def environment(self) -> dict[str, str]:
        """The environment to replace the process with."""
        return {**os.environ, _HANDOVER: json.dumps(self._asdict())}


class PreviousWorker:
    """A web worker that was forked before the master replaced itself. It is only waited for."""

    aborted = False
    age = 0

    def __init__(self, pid: int, seconds: float) -> None:
        self.pid = pid
        self.tmp = self
        self._finished_by = time.monotonic() + seconds

    def last_update(self) -> float:
        """When it was last alive: until its time is over, now."""
        return min(time.monotonic(), self._finished_by)

    def close(self) -> None:
        """Do nothing: it keeps its own heartbeat file."""


class SiteMaster(Arbiter):  # type: ignore[misc]  # gunicorn has no types
    """Listens, imports the site, and forks web workers and, for `flask church run`, the worker process."""

    _handover: Handover | None = None
    _work: ForkedProcess | None = None
    _boot_by = 0.0

    # -- starting -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Listen first, so that visitors wait instead of being refused, then import the site."""
        self._handover = handover = Handover.receive()
        self._previous_work = handover.work if handover else []
        if handover is not None:
            self._take_sockets(handover)
            left = self.cfg.graceful_timeout + _BOOT_SECONDS
            self.WORKERS.update({pid: PreviousWorker(pid, left) for pid in handover.workers})
        super().start()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        for pid in self._previous_work:
            _send(pid, signal.SIGTERM)
        try:
            self._load_site()
        except Exception:
            self.log.exception("the site can't be loaded")
            self.halt(exit_status=self.APP_LOAD_ERROR)
        self._boot_by = time.monotonic() + _BOOT_SECONDS
        if os.environ.get(WITH_WORK):
            self._work = ForkedProcess("work", "flask church work", self._run_work, after=_WORK_AFTER)

    def _take_sockets(self, handover: Handover) -> None:
        self.systemd = handover.by_systemd
        if handover.by_systemd or handover.addresses == _plain(self.cfg.address):
            self.LISTENERS = sock.create_sockets(self.cfg, self.log, handover.sockets)
            return
        for descriptor in handover.sockets:  # it listens elsewhere from now on
            os.close(descriptor)

    def _load_site(self) -> None:
        """Import and rehearse the site, without starting anything, and keep it out of garbage collections."""
        gc.disable()
        use_one_arena()
        from church import telemetry  # noqa: PLC0415 - the master listens before it imports the site
        from church.server.rehearsal import load_what_comes_later, rehearse  # noqa: PLC0415

        settings = keep_settings()
        rehearse(self.app.wsgi())
        telemetry.compile_threat_patterns()
        load_what_comes_later(settings)
        early_names.note()
        give_back_free_memory()
        gc.freeze()  # without a collection, which would spread what it frees over the memory that is shared
        gc.enable()

    # -- children -----------------------------------------------------------------------------------------------------

    def spawn_worker(self) -> int:
        """Fork a web worker. A signal that it gets too early waits for ``FairWorker.init_signals``.

        Returns 0 if the system has no room for it: those that run go on, and the next second it is tried again.
        """
        try:
            with _holding_signals():
                return int(super().spawn_worker())
        except OSError as error:
            if os.getpid() != self.pid:
                raise
            self.log.error("no worker can be started: %s", error)  # noqa: TRY400 - the reason is enough
            return 0

    def manage_workers(self) -> None:
        """Start what is missing. Workers from before a reload stop when all new ones answer."""
        if any(isinstance(worker, PreviousWorker) for worker in self.WORKERS.values()):
            self._replace_workers()
        else:
            super().manage_workers()
        self._mind_work()

    def _replace_workers(self) -> None:
        previous = [pid for pid, worker in self.WORKERS.items() if isinstance(worker, PreviousWorker)]
        for _ in range(self.num_workers - (len(self.WORKERS) - len(previous))):
            self.spawn_worker()
        new = [worker for worker in self.WORKERS.values() if not isinstance(worker, PreviousWorker)]
        all_answer = len(new) >= self.num_workers and all(map(_answers, new))
        if all_answer or (new and time.monotonic() > self._boot_by):
            for pid in previous:
                self.kill_worker(pid, signal.SIGTERM)

    def _mind_work(self) -> None:
        """Start the worker process when it is due, and again when it has ended."""
        if self._work is None:
            return
        code = self._work.reap()
        if code is not None:
            reason = describe_exit(code)
            self.log.error("work ended (%s)", reason, extra={"event": "supervisor.end"})
        if self._work.due is not None and time.monotonic() >= self._work.due:
            try:
                with _holding_signals():
                    self._work.start()
            except OSError as error:  # the next start is due soon
                self.log.error("work cannot start: %s", error, extra={"event": "supervisor.end"})  # noqa: TRY400 - as above
                return
            self.log.info("work runs as process %s", self._work.pid, extra={"event": "supervisor.start"})

    def reap_workers(self) -> None:
        """Notice which children have ended."""
        self._mind_work()  # first: what follows takes the exit codes of all children
        super().reap_workers()

    def _run_work(self) -> None:
        """In the forked child: leave what is gunicorn's, and run jobs until SIGTERM."""
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        for listener in self.LISTENERS:
            listener.close()
        for worker in self.WORKERS.values():
            worker.tmp.close()
        run_work(self.app.wsgi)

    # -- reload and stop ----------------------------------------------------------------------------------------------

    def wait_for_signals(self, timeout: float = 1.0) -> list[int]:
        """Wait for signals. SIGHUP is the last: the master that it makes knows nothing of what came with it."""
        signals: list[int] = super().wait_for_signals(timeout)
        return sorted(signals, key=lambda number: number == signal.SIGHUP)

    def handle_hup(self) -> None:
        """Replace this process by one that loads everything anew, unless that can't start: there is no way back."""
        self.log.info("Hang up: %s", self.master_name)
        try:
            bind = read_settings(whole=True).bind
        except ConfigError as error:
            self.log.error("not reloaded, these settings are wrong:\n%s", error)  # noqa: TRY400 - no traceback
            return
        if not self.systemd and [bind] != self.cfg.bind and (reason := find_bind_problem(bind)):
            self.log.error("not reloaded, nothing can listen on %s beside this site: %s", bind, reason)
            return
        if (problem := _find_load_problem(self.START_CTX["cwd"])) is not None:
            self.log.error("not reloaded, this code can't be loaded:\n%s", problem)
            return
        self._replace_process()

    def _replace_process(self) -> NoReturn:
        for pid, worker in self.WORKERS.items():
            if not _answers(worker):  # of a reload before, which this one overtakes: it never served anybody
                _send(pid, signal.SIGTERM)
        handover = Handover(
            sockets=[listener.fileno() for listener in self.LISTENERS],
            addresses=_plain(self.cfg.address),
            by_systemd=self.systemd,
            workers=list(self.WORKERS),
            work=self._work_pids(),
        )
        # A signal that comes before the new master can handle it would end it: it waits, as do those not handled yet.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        while not self.SIG_QUEUE.empty():
            if (number := self.SIG_QUEUE.get_nowait()) in _SIGNALS - {signal.SIGHUP}:
                signal.raise_signal(number)
        os.chdir(self.START_CTX["cwd"])
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], handover.environment())  # noqa: S606

    def _work_pids(self) -> list[int]:
        current = [] if self._work is None or self._work.pid is None else [self._work.pid]
        return [*filter(_is_child, self._previous_work), *current]

    def stop(self, graceful: bool = True) -> None:
        """Stop all children together. A job that runs has 20 s to finish."""
        work = self._work_pids()
        for pid in work:
            _send(pid, signal.SIGTERM)
        end = time.monotonic() + _WORK_GRACE
        if self._work is not None:
            self._work = None
        super().stop(graceful)
        while any(map(_is_child, work)) and time.monotonic() < end:
            time.sleep(0.05)
        for pid in work:
            if _is_child(pid):
                _send(pid, signal.SIGKILL)


def _find_load_problem(folder: str) -> str | None:
    """Let a process of its own load what a new master would load; the end of its errors if it can't."""
    command = [sys.executable, *sys.orig_argv[1:], "--check-config"]
    try:
        subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=_CHECK_SECONDS)  # noqa: S603 - our own command line
    except subprocess.CalledProcessError as error:
        return str(error.stderr)[-_MOST_OF_PROBLEM:].strip() or describe_exit(error.returncode)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return None


@contextmanager
def _holding_signals() -> Iterator[None]:
    """Hold signals back in the block: a child that is forked there would put them into its copy of our queue."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _answers(worker: Any) -> bool:
    """Whether a new worker has reported: the time of its file is the wall clock's before, a monotonic one then."""
    try:
        return bool(worker.tmp.last_update() <= time.monotonic())
    except (OSError, ValueError):  # it has ended
        return False


def _plain(address: list[Any]) -> list[Any]:
    """Addresses in the form in which JSON returns them."""
    return [list(one) if isinstance(one, tuple) else one for one in address]


def _send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _is_child(pid: int) -> bool:
    """Whether a child still runs; takes its exit code if it does not."""
    try:
        return os.waitpid(pid, os.WNOHANG) == (0, 0)
    except ChildProcessError:
        return False
