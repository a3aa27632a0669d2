"""Observe each job: its records carry its id, its kind and the request that queued it, and it has a span of its own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from church.observability import request_observer
from church.observability.request_ids import make_request_id
from church.observability.request_observer import Observation
from church.observability.traces import process_tracer
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
        self.ids = self.client_request_id = self.user_ref = None
        self.handed_over = self.finished = self.logged = False

    def context(self) -> dict[str, Any]:
        """The fields that every record of this job carries."""
        return {**super().context(), "job_id": self.job_id, "job_kind": self.job_kind}

    @contextmanager
    def run(self, traceparent: str | None) -> Iterator[None]:
        """Time the handler, as a part of the trace that queued it; what it raises is kept, and goes on."""
        carrier = {"traceparent": traceparent} if traceparent else None
        try:
            with process_tracer.job_span("job.run", carrier, {"kind": self.job_kind}) as self.ids:
                yield
        except BaseException as error:
            self.error = error
            raise


@contextmanager
def observe_job(kind: str, job_id: int, request_id: str | None) -> Iterator[JobObservation]:
    """Observe an attempt of a job, from when it was taken until its outcome is stored."""
    observation = JobObservation(kind, job_id, request_id)
    token = request_observer.current.set(observation)
    try:
        yield observation
    finally:
        observation.finished = True
        request_observer.current.reset(token)
