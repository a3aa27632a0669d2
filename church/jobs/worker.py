"""The worker process: threads that run jobs, one that renews their leases, one that watches the queue.

The watcher wakes the other threads when a job is due, and queues scheduled jobs. It sleeps until the next moment when
something is due, or until the database changes. Heavy jobs have their own thread, so that emails do not wait for
videos.
"""

from __future__ import annotations

import logging
import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from random import uniform
from typing import TypeVar

from flask import Flask
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from church import telemetry
from church.config import Settings
from church.database import ChangeWatch, database_now
from church.errors import UnavailableError
from church.extensions import db
from church.jobs import queue, schedules
from church.jobs.queue import Lease
from church.jobs.registry import find_handler, heavy_kinds, registered_kinds
from church.jobs.work_signal import WorkSignal, woken_by
from church.lib.processes import free_memory

log = logging.getLogger("church.jobs")
T = TypeVar("T")

CHANNEL = "church_jobs"
"""The channel of the database's notices about jobs; a migration sets its trigger."""
# Seconds.
POLL = 1.0  # until the next look at a job that is due and was not taken
STOP_WAIT = 20.0
_PAUSE = 0.1  # between two looks, however many notices come
_LONGEST_WAIT = 30.0  # until the next look at the queue, whatever was noticed
_CLOCK_SET = 1.0  # by which a clock differs that was set, or that ran on while this host slept
_STOP_POLL = 1.0
_MAX_OUTAGE_PAUSE = 30.0


def run_worker(app: Flask, stop: threading.Event | None = None) -> None:
    """Run jobs until ``stop`` is set; without it, until SIGTERM or SIGINT (main thread only).

    Running jobs have 20 s to finish. Unfinished ones then return to the queue at once. Heavy jobs are not waited for:
    20 s is nothing compared with their run time.
    """
    if stop is not None:
        _JobWorker(app, stop).run(stop.wait)
        return
    stop = threading.Event()
    with _signals(stop) as wait:
        _JobWorker(app, stop).run(wait)


@contextmanager
def _signals(stop: threading.Event) -> Iterator[Callable[[float], object]]:
    """Set ``stop`` on SIGTERM and SIGINT. Yields a function that waits for them, up to some seconds.

    Not ``stop.wait``: a handler that sets an event during the wait of its own thread can deadlock it.
    """
    inbox, outbox = socket.socketpair()
    with inbox, outbox:
        inbox.setblocking(False)
        outbox.setblocking(False)
        before = signal.set_wakeup_fd(outbox.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        try:
            yield lambda seconds: _drain(inbox, seconds)
        finally:
            signal.set_wakeup_fd(before)


def _drain(inbox: socket.socket, seconds: float) -> None:
    if select.select([inbox], [], [], seconds)[0]:
        with suppress(BlockingIOError):
            inbox.recv(512)


class _JobWorker:
    """The threads of one worker process and the leases that they hold."""

    def __init__(self, app: Flask, stop: threading.Event) -> None:
        self.app = app
        self.stop = stop
        self.settings: Settings = app.config["CHURCH"]
        self.finished = threading.Event()
        self.leases: dict[int, Lease] = {}
        self.lock = threading.Lock()
        self.work_signal = WorkSignal()
        self.schedules_due = 0.0  # when the schedules are checked, by the monotonic clock

    def run(self, wait: Callable[[float], object]) -> None:
        """Run until ``stop`` is set; ``wait`` returns after some seconds, or sooner at the stop."""
        log.info("job worker started", extra={"event": "jobs.started", "threads": self.settings.jobs_threads})
        with self.app.app_context():
            watch = db.watch(CHANNEL)
        light = registered_kinds() - heavy_kinds()
        workers = [self._start(lambda: self._work(light), f"jobs-{n}") for n in range(self.settings.jobs_threads)]
        self._start(lambda: self._work(heavy_kinds()), "jobs-heavy")
        helpers = [self._start(self._keep_leases, "jobs-leases"), self._start(lambda: self._watch(watch), "jobs-watch")]
        with woken_by(watch.wake):
            while not self.stop.is_set():
                wait(_STOP_POLL)
                telemetry.each_second()
        self.work_signal.send()
        watch.wake()
        deadline = time.monotonic() + STOP_WAIT
        for thread in workers:
            thread.join(max(0.0, deadline - time.monotonic()))
        self.finished.set()
        self._release_leases()
        for thread in helpers:
            thread.join(self.settings.jobs_lease)
        log.info("job worker stopped", extra={"event": "jobs.stopped"})

    def _start(self, loop: Callable[[], None], name: str) -> threading.Thread:
        thread = threading.Thread(target=loop, name=name, daemon=True)
        thread.start()
        return thread

    # -- running jobs -------------------------------------------------------------------------------------------------

    def _work(self, accepted: Collection[str]) -> None:
        has_worked = False
        while not self.stop.is_set():
            seen = self.work_signal.count
            lease = self._retry_until(lambda: self._take(accepted), self.stop)
            if lease is None:
                if has_worked:
                    free_memory()
                    has_worked = False
                if not self.stop.is_set():
                    self.work_signal.wait(seen)
                continue
            has_worked = True
            try:
                self._run_job(lease)
            finally:
                with self.lock:
                    self.leases.pop(lease.job_id, None)

    def _take(self, accepted: Collection[str]) -> Lease | None:
        with db.read() as session:
            if not queue.is_any_due(session, accepted):
                return None
        with db.write() as session:
            if self.stop.is_set():
                return None  # what is due now may be a job that this worker has just given back
            lease = queue.take(session, accepted, self.settings.jobs_lease)
        if lease is not None:
            with self.lock:
                self.leases[lease.job_id] = lease
        return lease

    def _run_job(self, lease: Lease) -> None:
        with telemetry.observe_job(lease.kind, lease.job_id, lease.request_id) as observed:
            facts: dict[str, object] = {"attempt": lease.attempt}
            started = time.monotonic()
            try:
                with self.app.app_context(), observed.run(lease.traceparent, lease.waited):
                    find_handler(lease.kind)(lease.payload)
            except (Exception, SystemExit) as error:  # noqa: BLE001 (any error fails the job)
                self._fail(lease, error, facts)
                return
            facts["duration_ms"] = round((time.monotonic() - started) * 1000, 1)
            if self._settle(lambda session: queue.finish(session, lease)):
                log.info("job done", extra={"event": "job.done", **facts})
            else:
                log.warning("job finished after losing its lease", extra={"event": "job.lease_lost", **facts})

    def _fail(self, lease: Lease, error: BaseException, facts: dict[str, object]) -> None:
        reason = f"{type(error).__name__}: {error}"
        state = self._settle(lambda session: queue.fail(session, lease, reason))
        event = "job.lease_lost" if state is None else "job.dead" if state == "dead" else "job.failed"
        level = logging.ERROR if state == "dead" else logging.WARNING
        log.log(level, "job failed", exc_info=error, extra={"event": event, **facts})

    def _settle(self, change: Callable[[Session], T]) -> T | None:
        """Store how a job ended, retrying through an outage so that finished work is not repeated."""

        def write() -> T:
            with db.write() as session:
                return change(session)

        return self._retry_until(write, self.finished)

    # -- leases --------------------------------------------------------------------------------------------------------

    def _keep_leases(self) -> None:
        """Renew the leases of running jobs until the last one has ended."""
        while not self.finished.wait(self.settings.jobs_lease / 3):
            with self.lock:
                tokens = {job_id: lease.token for job_id, lease in self.leases.items()}
            if tokens:
                self._retry_until(lambda tokens=tokens: self._renew(tokens), self.finished)  # type: ignore[misc]

    def _renew(self, tokens: dict[int, str]) -> None:
        with db.write() as session:
            lost = queue.renew(session, tokens, self.settings.jobs_lease)
        with self.lock:
            lost &= self.leases.keys()
        for job_id in lost:
            log.warning("job lease lost", extra={"event": "job.lease_lost", "job_id": job_id})

    def _release_leases(self) -> None:
        with self.lock:
            unfinished = list(self.leases.values())
        for lease in unfinished:
            try:
                with self.app.app_context(), db.write() as session:
                    queue.release(session, lease)
            except (UnavailableError, SQLAlchemyError):
                log.warning(
                    "job not released: it runs again when its lease ends",
                    extra={"event": "job.kept", "job_id": lease.job_id, "job_kind": lease.kind},
                )

    # -- watching the queue --------------------------------------------------------------------------------------------

    def _watch(self, watch: ChangeWatch) -> None:
        """Wake the threads when a job is due, and queue scheduled jobs. Without this thread no job would ever run."""
        try:
            while not self.stop.is_set():
                try:
                    self._watch_once(watch)
                except Exception:
                    log.exception("jobs not watched, trying again", extra={"event": "jobs.watch_failed"})
                    self.stop.wait(POLL)
        finally:
            watch.close()

    def _watch_once(self, watch: ChangeWatch) -> None:
        watch.arm()
        seconds = self._retry_until(self._look, self.stop)
        if seconds is not None and not self.stop.wait(_PAUSE):
            self._wait_for_change(watch, seconds)

    def _look(self) -> float:
        """Wake the threads if a job is due, and queue what is scheduled; the seconds until the next look."""
        is_checked = time.monotonic() >= self.schedules_due
        if is_checked:
            schedules.queue_due_schedules(db)
            self.schedules_due = time.monotonic() + _LONGEST_WAIT
        with db.read() as session:
            now = database_now(session)
            job, scheduled = queue.find_next_time(session, registered_kinds()), schedules.find_next_time(session)
        if job is not None and job <= now:
            self.work_signal.send()
        if scheduled is not None and scheduled <= now and not is_checked:
            self.schedules_due = 0.0
            return 0.0
        return min(_seconds_until(job, now), _seconds_until(scheduled, now))

    def _wait_for_change(self, watch: ChangeWatch, seconds: float) -> None:
        """Wait until the queue may have changed, the clock was set, or ``seconds`` have passed."""
        ends, ahead = time.monotonic() + seconds, time.time() - time.monotonic()
        while not self.stop.is_set() and (left := ends - time.monotonic()) > 0:
            if watch.wait(left) or abs(time.time() - time.monotonic() - ahead) > _CLOCK_SET:
                return

    def _retry_until(self, step: Callable[[], T], until: threading.Event) -> T | None:
        """Run ``step``, retrying with growing pauses while the database fails. None if ``until`` is set first."""
        pause = 0.5
        while True:
            try:
                with self.app.app_context():
                    return step()
            except (UnavailableError, SQLAlchemyError) as error:
                cause = type(error).__name__
                log.warning("job worker waits for the database", extra={"event": "jobs.database", "reason": cause})
            if until.wait(pause * uniform(0.5, 1.0)):  # noqa: S311 (not a secret)
                return None
            pause = min(pause * 2, _MAX_OUTAGE_PAUSE)


def _seconds_until(moment: datetime | None, now: datetime) -> float:
    """Seconds until the next look at what is due at ``moment``. What is due now may stay, with all threads busy."""
    if moment is None:
        return _LONGEST_WAIT
    return min((moment - now).total_seconds(), _LONGEST_WAIT) if moment > now else POLL
