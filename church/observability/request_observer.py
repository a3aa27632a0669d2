"""Observe each HTTP request: give it an id, time it, then count and log it exactly once.

``Door`` wraps the app and creates an ``Observation``; ``finish`` counts and logs it, however the request ends.
"""

from __future__ import annotations

import logging
import re
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from flask import Flask, Response, has_request_context, request

from church.lib import cpu_accounts
from church.lib.log_fields import Scheme
from church.observability import raise_in_tests, record_budget
from church.observability.access_records import AccessRecords, Paths, name_request
from church.observability.logs import records
from church.observability.logs.redaction import redact_text
from church.observability.metrics import client_internals, damage, definitions, exemplars, worker_files
from church.observability.request_ids import make_request_id
from church.observability.traces import keeping, recorder, trace_log
from church.observability.traces.trace_records import Kept
from church.observability.visitor import Visitor

log = logging.getLogger("church.access")

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_MAX_SERIES = 5_000  # routes x methods x statuses of a large site; a guard, never reached by design

_FAILED = 500
_SWITCHING = 101

_WITHOUT_BODY = frozenset({204, 304})  # the response object may have one, but none of it is sent

_SCRAPE = "/metrics"

_BOUNDS = client_internals.bucket_bounds(definitions.http_request_duration)
_in_flight = client_internals.number_of(definitions.http_requests_in_flight)

current: ContextVar[Observation | None] = ContextVar("church_observation", default=None)


class _Instruments:
    """The metric children for one method, route and status, looked up once."""

    __slots__ = ("_buckets", "_bytes", "_requests", "_seconds", "kind", "timed_as", "traffic")

    def __init__(self, method: str, route: str, status: int) -> None:
        self._requests = client_internals.number_of(definitions.http_requests.labels(method, route, str(status)))
        # Clients choose the methods of paths that do not exist: fifteen series for all of them are enough.
        timed_as = method if route != definitions.UNMATCHED else "_OTHER"
        self.timed_as = (timed_as, route, f"{status // 100}xx")
        duration = definitions.http_request_duration.labels(*self.timed_as)
        self._seconds, self._buckets = client_internals.numbers_of(duration)
        self._bytes = client_internals.number_of(definitions.http_response_bytes.labels(route))
        self.kind = (method, route, status)
        self.traffic = keeping.traffic_of(method, route)

    def count(self, seconds: float, sent: int) -> None:
        """Count a request that has ended: all numbers under one lock, at a third of what a method of each costs."""
        bucket = self._buckets[bisect_left(_BOUNDS, seconds)]
        additions = [(_in_flight, -1), (self._requests, 1), (self._seconds, seconds), (bucket, 1)]
        if sent:
            additions.append((self._bytes, sent))
        worker_files.SlotValue.add_together(additions)


_instruments: dict[tuple[str, str, int], _Instruments] = {}


def _instruments_of(method: str, route: str, status: int) -> _Instruments:
    key = (method, route, status)
    instruments = _instruments.get(key)
    if instruments is None:
        if len(_instruments) >= _MAX_SERIES:
            definitions.telemetry_series_dropped.inc()
            key = ("_OTHER", definitions.OTHER, status)
        instruments = _instruments.setdefault(key, _Instruments(*key))
    return instruments


def expect_failures(app: Flask) -> None:
    """Create the 500 and 503 counters of each route at 0: an alert's rate needs a zero to rise from.

    These are the 5xx that the site itself answers: 500 for a bug, 503 while the database or another service is down.
    """
    for rule in app.url_map.iter_rules():
        for method in (rule.methods or set()) & definitions.METHODS - {"HEAD", "OPTIONS"}:
            for status in ("500", "503"):
                definitions.http_requests.labels(method, rule.rule, status)


def _is_request_id(given: str) -> bool:
    """Whether an id that came with a request can be used; one that looks like a credential must not reach a log."""
    return _REQUEST_ID.fullmatch(given) is not None and redact_text(given) == given


class Observation:
    """One request, from its first byte to its last; ``finish`` counts and logs it once, however it ends."""

    __slots__ = (
        "_account",
        "_cpu",
        "_cpu_from",
        "_handler",
        "client",
        "client_request_id",
        "finished",
        "flight",
        "handed_over",
        "logged",
        "method",
        "request_id",
        "route",
        "sent",
        "started",
        "status",
        "user_ref",
        "visitor",
    )

    def __init__(self, environ: dict[str, Any], handler: records.Handler | None) -> None:
        self.started: float = environ.get("church.started") or time.perf_counter()  # set by the worker
        self._handler = handler
        given = environ.get("HTTP_X_REQUEST_ID")
        usable = given if given and _is_request_id(given) else None
        # A stranger who has seen an id could file requests and audit rows under it: only a proxy of ours chooses ids.
        trusted = environ.get("church.trusted", False)
        self.request_id: str = usable if usable and trusted else make_request_id()
        self.client_request_id: str | None = None if trusted else usable
        method = environ["REQUEST_METHOD"]
        self.method: str = method if method in definitions.METHODS else "_OTHER"
        self.client: str = environ.get("REMOTE_ADDR") or ""
        self.visitor = Visitor(environ)
        self.route = definitions.UNMATCHED
        self.status = 500
        self.sent = 0
        self.flight = recorder.begin_request(environ, self.started)
        self.user_ref: str | None = None
        self.handed_over = self.finished = False
        self.logged = True
        self.begin_cpu(cpu_accounts.open_account("request"))
        _in_flight.inc(1)

    def begin_cpu(self, account: cpu_accounts.Account) -> None:
        """Measure the CPU time of this by ``account``."""
        self._account = account
        self._cpu_from = account.begin(self)
        self._cpu: float | None = None

    def cpu_seconds(self) -> float:
        """The CPU time that this alone has used, up to now or to its end: in its greenlet, and in threads for it.

        A request has the time that its connection used since the one before it, mostly for its head.
        """
        return self._account.total() - self._cpu_from if self._cpu is None else self._cpu

    @property
    def cpu_ms(self) -> float:
        """``cpu_seconds`` as records have it."""
        return round(self.cpu_seconds() * 1000, 3)

    def end_cpu(self, kind: str) -> None:
        """Keep the CPU time that was used up to now, and count it as that of ``kind``."""
        if self._cpu is None:
            self._cpu = self._account.end(self._cpu_from, kind)

    def count_stream(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield a streamed body, counting the bytes that were taken."""
        for chunk in chunks:
            self.sent += len(chunk)
            yield chunk

    @property
    def ids(self) -> recorder.Ids | None:
        """The trace and span, if its records have them."""
        return self.flight.known_ids

    def leave(self) -> None:
        """Do not count this as an HTTP request: a WebSocket would be one that lasts for hours."""
        if self.logged and not self.finished:
            self.logged = False
            _in_flight.inc(-1)

    def upgrade(self) -> None:
        """End the trace with the handshake of a WebSocket, which is what the request was."""
        if not self.flight.over:
            self.route, self.status = request.url_rule.rule if request.url_rule else definitions.UNMATCHED, _SWITCHING
            self._keep(keeping.traffic_of(self.method, self.route), time.perf_counter())

    def finish(self) -> None:
        """Count and log the request; the second call does nothing, and none raises."""
        if self.finished:
            return
        self.finished = True
        try:
            self.end_cpu("live" if not self.logged else "scrape" if self.route == _SCRAPE else "request")
            if self.logged:
                self._record()
        except Exception:
            if raise_in_tests.on:
                raise
            definitions.telemetry_errors.labels("request").inc()
        finally:
            self.flight.over = True

    def _record(self) -> None:
        now = time.perf_counter()
        duration = now - self.started
        try:
            instruments = _instruments_of(self.method, self.route, self.status)
        except Exception:
            _in_flight.inc(-1)
            raise
        instruments.count(duration, self.sent)
        if self._keep(instruments.traffic, now):
            exemplars.WRITER.note(*instruments.timed_as, duration, self.flight.ids)
        if self._handler is not None:
            self._handler.put(access.write(self, instruments.kind, duration))

    def _keep(self, traffic: keeping.Traffic, now: float) -> bool:
        """End the flight, and keep it if it matters; whether it was kept."""
        flight, duration = self.flight, now - self.started
        flight.over = True
        failed = self.status >= _FAILED
        verdict = traffic.judge(duration, now, failed, flight.asked)
        if verdict is None:
            return False
        name = name_request(self.method, self.route)
        facts = {
            "request_id": self.request_id,
            "method": self.method,
            "route": self.route,
            "status": self.status,
            "user_ref": self.user_ref,
            "cpu_ms": self.cpu_ms,
        }
        outcome = "failed" if failed else "ok"
        trace_log.keep(Kept(flight, verdict, "http", name, outcome, time.time(), duration, facts))
        return True

    def context(self) -> dict[str, Any]:
        """The fields that every record of this request carries."""
        fields: dict[str, Any] = {"request_id": self.request_id}
        fields["trace_id"], fields["span_id"] = self.flight.ids
        if self.user_ref is not None:
            fields["user_ref"] = self.user_ref
        return fields

    def error_context(self) -> dict[str, Any]:
        """The fields that a record of an error carries besides; the route of a request is known before its answer."""
        route = self.route
        if route == definitions.UNMATCHED and has_request_context() and request.url_rule is not None:
            route = request.url_rule.rule
        return {name: value for name, value in (("method", self.method), ("route", route)) if value}


access = AccessRecords({})
"""Writes the access records of this process."""


def prepare_access_records(static: dict[str, str], paths: Paths = "failures", scheme: Scheme = "plain") -> None:
    """Write access records with these fields from now on, and with the paths that are asked for."""
    global access  # noqa: PLW0603 - one for the process, as logging is
    access = AccessRecords(static, paths, scheme)


def current_observation() -> Observation | None:
    """The request that is being answered now; None once it has ended."""
    observation = current.get()
    return observation if observation is not None and not observation.finished else None


def refuse(status: int, reason: str, client: str) -> str:
    """Count and log bytes that were not an HTTP request; returns the id of the record. In a flood some have none."""
    request_id = make_request_id()
    definitions.http_requests.labels("_OTHER", definitions.UNMATCHED, str(status)).inc()
    if record_budget.BUDGET.admit("malformed_request", "low", client):
        fields = {"method": "_OTHER", "route": definitions.UNMATCHED, "status": status, "ip": client, "reason": reason}
        log.info(f"malformed request {status}", extra={"event": "http.refused", "request_id": request_id, **fields})
    return request_id


class Door:
    """WSGI middleware that observes every request of the app."""

    def __init__(self, app: Callable[..., Any], handler: Callable[[], records.Handler | None], directory: Path) -> None:
        self._app = app
        self._handler = handler
        self._directory = directory
        self._ready = False

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Observe one request."""
        try:
            if not self._ready:
                self._take_slot()
            observation = Observation(environ, self._handler())
        except Exception:
            if raise_in_tests.on:
                raise
            current.set(None)
            definitions.telemetry_errors.labels("request").inc()
            return self._app(environ, start_response)
        current.set(observation)
        try:
            answer = self._app(environ, start_response)
        except BaseException:
            observation.finish()
            raise
        if not observation.handed_over:
            observation.finish()
        return answer

    def _take_slot(self) -> None:
        """Take a slot to count in, where the server (flask run, a test client) has not done so."""
        worker_files.SLOTS.take(self._directory, "web")
        damage.report_own_damage()
        self._ready = True


def observe_answers(app: Flask) -> None:
    """Observe every answer of ``app``; registered first, so that it runs after all other hooks."""
    app.after_request(_after_request)


def _after_request(response: Response) -> Response:
    observation = current.get()
    if observation is None:
        return response
    try:
        _note(observation, response)
    except Exception:
        if raise_in_tests.on:
            raise
        definitions.telemetry_errors.labels("request").inc()
    return response


def _note(observation: Observation, response: Response) -> None:
    rule = request.url_rule
    observation.route = rule.rule if rule is not None else definitions.UNMATCHED
    observation.status = response.status_code
    response.headers["X-Request-ID"] = observation.request_id
    if observation.method != "HEAD" and observation.status not in _WITHOUT_BODY:
        if response.is_sequence:
            observation.sent = sum(map(len, response.response))
        elif response.direct_passthrough:
            observation.sent = response.content_length or 0
            _finish_when_closed(observation, response.response)
        else:
            _count_stream(observation, response)
    response.call_on_close(observation.finish)
    observation.handed_over = True


def _count_stream(observation: Observation, response: Response) -> None:
    close = getattr(response.response, "close", None)
    response.response = observation.count_stream(response.iter_encoded())
    if close is not None:  # the response no longer closes it
        response.call_on_close(close)


def _finish_when_closed(observation: Observation, file: Any) -> None:
    """Finish when the server closes a file that it sends itself: it never closes the response."""
    close = getattr(file, "close", None)

    def closed() -> None:
        try:
            if close is not None:
                close()
        finally:
            observation.finish()

    file.close = closed
