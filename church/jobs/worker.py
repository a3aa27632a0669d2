"""The worker process: threads that run jobs, one that renews their leases, one that queues scheduled jobs.

Heavy jobs have their own thread, so that emails do not wait for videos.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable, Collection
from random import uniform
from typing import TypeVar

from flask import Flask
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from church import telemetry
from church.config import Settings
from church.errors import UnavailableError
from church.extensions import db
from church.jobs import queue, schedules
from church.jobs.queue import Lease
from church.jobs.registry import find_handler, heavy_kinds, registered_kinds

log = logging.getLogger("church.jobs")
T = TypeVar("T")

# Seconds.
POLL = 1.0
STOP_WAIT = 20.0
_STOP_POLL = 0.2
_MAX_OUTAGE_PAUSE = 30.0


def run_worker(app: Flask, stop: threading.Event | None = None) -> None:
    """Run jobs until ``stop`` is set; without it, until SIGTERM or SIGINT (main thread only).

    Running jobs have 20 s to finish. Unfinished ones then return to the queue at once. Heavy jobs are not waited for:
    20 s is nothing compared with their run time.
    """
    if stop is None:
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
    _JobWorker(app, stop).run()


class _JobWorker:
    """The threads of one worker process and the leases that they hold."""

    def __init__(self, app: Flask, stop: threading.Event) -> None:
        self.app = app
        self.stop = stop
        self.settings: Settings = app.config["CHURCH"]
        self.finished = threading.Event()
        self.leases: dict[int, Lease] = {}
        self.lock = threading.Lock()

    def run(self) -> None:
        log.info("job worker started", extra={"event": "jobs.started", "threads": self.settings.jobs_threads})
        light = registered_kinds() - heavy_kinds()
        workers = [self._start(lambda: self._work(light), f"jobs-{n}") for n in range(self.settings.jobs_threads)]
        self._start(lambda: self._work(heavy_kinds()), "jobs-heavy")
        helpers = [self._start(self._keep_leases, "jobs-leases"), self._start(self._run_schedules, "jobs-schedules")]
        while not self.stop.is_set():
            # Not stop.wait(): a signal handler that sets an event during its wait can deadlock the thread.
            time.sleep(_STOP_POLL)
            telemetry.report_withheld()
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
        while not self.stop.is_set():
            lease = self._retry_until(lambda: self._take(accepted), self.stop)
            if lease is None:
                self.stop.wait(POLL)
                continue
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
        facts = {"kind": lease.kind, "job_id": lease.job_id, "attempt": lease.attempt, "request_id": lease.request_id}
        carrier = {"traceparent": lease.traceparent} if lease.traceparent else None
        started = time.monotonic()
        try:
            with self.app.app_context(), telemetry.span("job.run", carrier, kind=lease.kind):
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

    # -- leases and schedules -----------------------------------------------------------------------------------------

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

    def _run_schedules(self) -> None:
        while not self.stop.is_set():
            self._retry_until(lambda: schedules.queue_due_schedules(db), self.stop)
            self.stop.wait(POLL)

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
                    extra={"event": "job.kept", "kind": lease.kind},
                )

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
