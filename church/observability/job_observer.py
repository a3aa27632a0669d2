"""Observe each job: its records carry its id, its kind and the request that queued it, and it has a span of its own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from church.lib import cpu_accounts
from church.observability import fingerprints, request_observer
from church.observability.never_breaks import never_breaks
from church.observability.request_ids import make_request_id
from church.observability.request_observer import Observation
from church.observability.traces import keeping, recorder, trace_log
from church.observability.traces.trace_records import Kept
from church.observability.visitor import Visitor

_NOBODY = Visitor({})


class JobObservation(Observation):
    """One attempt of a job; it is not counted as an HTTP request. Without a request that queued it, it makes an id."""

    __slots__ = ("error", "job_id", "job_kind")

    def __init__(self, kind: str, job_id: int, request_id: str | None) -> None:  # not super's: it is not in flight
        self.started = time.perf_counter()
        self.job_kind, self.job_id = kind, job_id
        self.error: BaseException | None = None
        """What the handler raised."""
        self.request_id = request_id or make_request_id()
        self.client = self.method = self.route = ""
        self.status = self.sent = 0
        self.visitor = _NOBODY
        self.flight = recorder.Flight(self.started)
        self.flight.over = True  # until the handler runs
        self.client_request_id = self.user_ref = None
        self.handed_over = self.finished = self.logged = False

    def context(self) -> dict[str, Any]:
        """The fields that every record of this job carries."""
        return {**super().context(), "job_id": self.job_id, "job_kind": self.job_kind}

    @contextmanager
    def run(self, traceparent: str | None, waited: float = 0.0) -> Iterator[None]:
        """Observe the handler, as a part of the trace that queued it; what it raises is kept, and goes on.

        ``waited`` are the seconds from when the job was due.
        """
        began = time.perf_counter()
        parent = recorder.parse_traceparent(traceparent) if traceparent else None
        self.flight = recorder.Flight(began, parent)
        if waited > 0:
            self.flight.add_wait("job", began - waited)
        token = recorder.current.set(self.flight)
        try:
            yield
        except BaseException as error:
            self.error = error
            self.flight.error_type = fingerprints.name_type(type(error))
            raise
        finally:
            recorder.current.reset(token)
            self._keep_job()

    @never_breaks
    def _keep_job(self) -> None:
        flight, now = self.flight, time.perf_counter()
        flight.over = True
        duration, failed = now - flight.began, self.error is not None
        verdict = keeping.traffic_of("job", self.job_kind).judge(duration, now, failed, flight.asked)
        if verdict is not None:
            facts = {
                "request_id": self.request_id,
                "job_id": self.job_id,
                "job_kind": self.job_kind,
                "cpu_ms": self.cpu_ms,
            }
            outcome, name = "failed" if failed else "ok", f"job {self.job_kind}"
            trace_log.keep(Kept(flight, verdict, "job", name, outcome, time.time(), duration, facts))


@contextmanager
def observe_job(kind: str, job_id: int, request_id: str | None) -> Iterator[JobObservation]:
    """Observe an attempt of a job, from when it was taken until its outcome is stored."""
    observation = JobObservation(kind, job_id, request_id)
    token = request_observer.current.set(observation)
    try:
        with cpu_accounts.work_in_thread("job") as account:
            observation.begin_cpu(account)
            try:
                yield observation
            finally:
                observation.end_cpu("job")
    finally:
        observation.finished = True
        request_observer.current.reset(token)
