"""The process that does the work: threads that take jobs, one that keeps their leases, one that minds schedules.

Heavy jobs have a thread of their own, so that no mail waits for a video.
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
from church.jobs.registry import find_handler, heavy_kinds, kinds

log = logging.getLogger("church.jobs")
T = TypeVar("T")

# Seconds.
POLL = 1.0
STOP_WAIT = 20.0
_STOP_POLL = 0.2
_LONGEST_OUTAGE_PAUSE = 30.0


def work(app: Flask, stop: threading.Event | None = None) -> None:
    """Do jobs until ``stop`` is set; without one, until SIGTERM or SIGINT comes (main thread only).

    Jobs under way may finish for 20 s; what is unfinished then is given back to the queue at once. Heavy ones are
    not waited for: what are 20 s of an hour.
    """
    if stop is None:
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
    _Crew(app, stop).run()


class _Crew:
    """The threads of one worker process and the leases they hold."""

    def __init__(self, app: Flask, stop: threading.Event) -> None:
        self.app = app
        self.stop = stop
        self.settings: Settings = app.config["CHURCH"]
        self.over = threading.Event()
        self.held: dict[int, Lease] = {}
        self.lock = threading.Lock()

    def run(self) -> None:
        log.info("jobs started", extra={"event": "jobs.started", "threads": self.settings.jobs_threads})
        light = kinds() - heavy_kinds()
        workers = [self._start(lambda: self._work(light), f"jobs-{n}") for n in range(self.settings.jobs_threads)]
        self._start(lambda: self._work(heavy_kinds()), "jobs-heavy")
        helpers = [self._start(self._keep_leases, "jobs-leases"), self._start(self._mind_schedules, "jobs-schedules")]
        while not self.stop.is_set():
            # Not stop.wait(): a signal's handler that sets an event in the middle of its wait can lock up the thread.
            time.sleep(_STOP_POLL)
        deadline = time.monotonic() + STOP_WAIT
        for thread in workers:
            thread.join(max(0.0, deadline - time.monotonic()))
        self.over.set()
        self._give_back()
        for thread in helpers:
            thread.join(self.settings.jobs_lease)
        log.info("jobs stopped", extra={"event": "jobs.stopped"})

    def _start(self, loop: Callable[[], None], name: str) -> threading.Thread:
        thread = threading.Thread(target=loop, name=name, daemon=True)
        thread.start()
        return thread

    # -- doing ------------------------------------------------------------------------------------------------------

    def _work(self, wanted: Collection[str]) -> None:
        while not self.stop.is_set():
            lease = self._patiently(lambda: self._take(wanted), self.stop)
            if lease is None:
                self.stop.wait(POLL)
                continue
            try:
                self._do(lease)
            finally:
                with self.lock:
                    self.held.pop(lease.job_id, None)

    def _take(self, wanted: Collection[str]) -> Lease | None:
        with db.read() as session:
            if not queue.any_due(session, wanted):
                return None
        with db.write() as session:
            lease = queue.take(session, wanted, self.settings.jobs_lease)
        if lease is not None:
            with self.lock:
                self.held[lease.job_id] = lease
        return lease

    def _do(self, lease: Lease) -> None:
        facts = {"kind": lease.kind, "job_id": lease.job_id, "attempt": lease.attempt, "request_id": lease.request_id}
        carrier = {"traceparent": lease.traceparent} if lease.traceparent else None
        started = time.monotonic()
        try:
            with self.app.app_context(), telemetry.span("job.run", carrier, kind=lease.kind):
                find_handler(lease.kind)(lease.payload)
        except (Exception, SystemExit) as error:  # noqa: BLE001 (whatever it is, it is the reason)
            self._failed(lease, error, facts)
            return
        facts["duration_ms"] = round((time.monotonic() - started) * 1000, 1)
        if self._settle(lambda session: queue.finish(session, lease)):
            log.info("job done", extra={"event": "job.done", **facts})
        else:
            log.warning("job finished without its lease", extra={"event": "job.lease_lost", **facts})

    def _failed(self, lease: Lease, error: BaseException, facts: dict[str, object]) -> None:
        reason = f"{type(error).__name__}: {error}"
        state = self._settle(lambda session: queue.fail(session, lease, reason))
        event = "job.lease_lost" if state is None else "job.dead" if state == "dead" else "job.failed"
        level = logging.ERROR if state == "dead" else logging.WARNING
        log.log(level, "job failed", exc_info=error, extra={"event": event, **facts})

    def _settle(self, change: Callable[[Session], T]) -> T | None:
        """Write how a job ended; through an outage too, for what was done should not be done again."""

        def write() -> T:
            with db.write() as session:
                return change(session)

        return self._patiently(write, self.over)

    # -- beside -----------------------------------------------------------------------------------------------------

    def _keep_leases(self) -> None:
        """Renew what is being done, until the last job has ended."""
        while not self.over.wait(self.settings.jobs_lease / 3):
            with self.lock:
                held = {job_id: lease.token for job_id, lease in self.held.items()}
            if held:
                self._patiently(lambda held=held: self._renew(held), self.over)  # type: ignore[misc]

    def _renew(self, held: dict[int, str]) -> None:
        with db.write() as session:
            lost = queue.renew(session, held, self.settings.jobs_lease)
        with self.lock:
            lost &= self.held.keys()
        for job_id in lost:
            log.warning("lease lost", extra={"event": "job.lease_lost", "job_id": job_id})

    def _mind_schedules(self) -> None:
        while not self.stop.is_set():
            self._patiently(lambda: schedules.queue_due(db), self.stop)
            self.stop.wait(POLL)

    def _give_back(self) -> None:
        with self.lock:
            left = list(self.held.values())
        for lease in left:
            try:
                with self.app.app_context(), db.write() as session:
                    queue.release(session, lease)
            except (UnavailableError, SQLAlchemyError):
                log.warning("job not given back: its lease has to end", extra={"event": "job.kept", "kind": lease.kind})

    def _patiently(self, step: Callable[[], T], until: threading.Event) -> T | None:
        """``step``, tried again with longer pauses while the database fails; None when ``until`` comes first."""
        pause = 0.5
        while True:
            try:
                with self.app.app_context():
                    return step()
            except (UnavailableError, SQLAlchemyError) as error:
                cause = type(error).__name__
                log.warning("jobs wait for the database", extra={"event": "jobs.database", "reason": cause})
            if until.wait(pause * uniform(0.5, 1.0)):  # noqa: S311 (a pause, no secret)
                return None
            pause = min(pause * 2, _LONGEST_OUTAGE_PAUSE)
