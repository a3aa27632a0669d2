"""The process of the telemetry store: one thread takes what the logs have, others sample metrics and answer."""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from church.lib.files import make_private
from church.lib.local_servers import observatory_folder, observatory_socket
from church.lib.processes import receive_signals
from church.lib.threads import start_beside
from church.telemetry_store.engine import Engine
from church.telemetry_store.error_reports import ErrorReports
from church.telemetry_store.follow import Follower
from church.telemetry_store.ingest import Ingest, Limits
from church.telemetry_store.log_watch import LogWatch
from church.telemetry_store.metrics.sampler import Sampler
from church.telemetry_store.server import QueryServer
from church.telemetry_store.site import Target
from church.telemetry_store.store import Store

log = logging.getLogger("church.observe")

LOCK = "observe.lock"
_ENDS = (signal.SIGTERM, signal.SIGINT)
_LONGEST_WAIT = 15.0  # seconds: rotated files settle, and files that were left are removed
_AFTER_FAILURE = 30.0
_NICE = 5  # visitors come first


class Plan(NamedTuple):
    """What the process needs to know; plain values, to be passed on."""

    instance: str
    log_dir: str
    days: float
    bytes: int
    bind: str
    metrics_token: str | None
    version: str
    address_days: float = 3


def run(plan: Plan) -> int:
    """Run until SIGTERM or SIGINT; returns the exit code: 1 if the store of this instance is already run."""
    folder = observatory_folder(Path(plan.instance))
    make_private(folder)
    with _only_one(folder) as is_first:
        if not is_first:
            log.error("another process runs the telemetry store in %s", folder)
            return 1
        os.nice(_NICE)
        with receive_signals(_ENDS) as inbox:
            _Observer(plan, folder).run(inbox)
    return 0


class _Observer:
    def __init__(self, plan: Plan, folder: Path) -> None:
        store = Store(folder)
        self._engine = Engine(folder)
        self._watch = LogWatch(Path(plan.log_dir))
        follower = Follower(Path(plan.log_dir), store.files, lambda: time.time() - plan.days * 86_400)
        host, site = socket.gethostname(), Target(plan.bind, plan.metrics_token)
        self._reports = ErrorReports(site)
        limits = Limits(plan.days, plan.bytes, plan.address_days)
        self._ingest = Ingest(store, follower, self._engine, host, limits, note_errors=self._reports.note)
        self._sampler = Sampler(site, host, folder, store.take_samples)
        self._server = QueryServer(
            observatory_socket(Path(plan.instance)),
            store,
            self._engine,
            {
                "status": lambda: [{**self._ingest.describe(), "version": plan.version}],
                "metrics.catalogue": self._sampler.catalogue,
            },
        )
        self._ended = threading.Event()
        self._next_try = 0.0

    def run(self, inbox: socket.socket) -> None:
        """Take what is new whenever there is something, until a signal comes."""
        for number in _ENDS:
            signal.signal(number, lambda _number, _frame: self._stop())
        log.info("the telemetry store runs", extra={"event": "observe.start"})
        self._server.start()
        start_beside("samples", self._sampler.run, self._ended)
        start_beside("errors", self._reports.run, self._ended)
        try:
            while not self._step_and_wait(inbox):
                pass
        finally:
            self._ended.set()
            self._reports.wake()
            self._server.stop()
            self._engine.stop()
            self._watch.close()
        log.info("the telemetry store ends", extra={"event": "observe.end"})

    def _stop(self) -> None:
        """End the step that runs; a segment that is being written is dropped, and written after the next start."""
        self._ingest.stop()
        threading.Thread(target=self._engine.stop, daemon=True).start()  # it locks, and this is a signal handler

    def _step_and_wait(self, inbox: socket.socket) -> bool:
        """Do what is due, then wait; returns whether a signal came."""
        now = time.time()
        if now >= self._next_try:
            try:
                self._ingest.step()
            except Exception:
                self._next_try = now + _AFTER_FAILURE
                log.exception("the telemetry store failed: it tries again", extra={"event": "observe.failed"})
        due = self._ingest.next_step
        wait = _LONGEST_WAIT if due is None else min(_LONGEST_WAIT, max(0.0, due - time.time()))
        return bool(self._watch.wait(inbox, wait))


@contextmanager
def _only_one(folder: Path) -> Iterator[bool]:
    """Whether no other process has this folder; the lock ends with the process."""
    lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        os.ftruncate(lock, 0)
        os.write(lock, f"{os.getpid()}\n".encode())
        yield True
    finally:
        os.close(lock)
