"""Everything the site measures goes through this module: the hooks of the app, and the ``track_…`` functions.

Blueprints and services call one ``track_…`` function where something happens; it updates the counter, the log and the
current span (``observability.verbs``). Telemetry never breaks what it observes: a metric, record or span that fails is
dropped and counted in ``telemetry_errors_total``; in the tests it raises (``observability.raise_in_tests``).
"""

from __future__ import annotations

import functools
import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from flask import Flask

from church.config import Settings
from church.lib import cpu_accounts
from church.lib.threads import run_off_hub
from church.lib.version import COMMIT, VERSION
from church.observability import cpu_time, request_observer
from church.observability.fingerprints import name_type
from church.observability.job_observer import observe_job
from church.observability.logs import records
from church.observability.logs.redaction import redact_text
from church.observability.metrics import client_internals, damage, definitions, worker_files
from church.observability.metrics.route import SCRAPED, ScrapeEndpoint
from church.observability.metrics.scrape_registry import StateMetric, StateMetrics
from church.observability.request_observer import Observation, current_observation
from church.observability.threats import scan_text
from church.observability.threats.scan_request import is_suspicious, never_quote_body, never_scan_body, refuse_attacks
from church.observability.traces import error_records, export, recorder, statements, trace_log
from church.observability.traces.recorder import OpenSpan
from church.observability.traces.trace_log import TraceLog
from church.observability.verbs import (
    Handshake,
    forget_series,
    handshake,
    live_message,
    report_withheld,
    time_outbound,
    track_auth_attempt,
    track_blocked,
    track_connections_refused,
    track_content_access,
    track_delivery_items_ignored,
    track_deployment,
    track_incident,
    track_incident_resolution,
    track_live_active,
    track_live_closed,
    track_live_dropped,
    track_live_opened,
    track_live_refused,
    track_live_sent,
    track_live_text,
    track_rate_limit,
    track_refused,
    track_registration,
    track_security_event,
    track_stripe_webhook,
    track_suspicious,
    track_video_stream,
    track_video_transfer,
    track_web_vitals,
)

if TYPE_CHECKING:
    from sqlalchemy import Engine

__all__ = [
    "SCRAPED",
    "Handshake",
    "StateMetric",
    "Telemetry",
    "begin_request",
    "charge_live",
    "compile_threat_patterns",
    "each_second",
    "end_process",
    "forget_user_ref",
    "handshake",
    "instrument_engine",
    "is_suspicious",
    "leave_unobserved",
    "live_message",
    "never_quote_body",
    "never_scan_body",
    "note_wait",
    "observe_job",
    "record_store_call",
    "redact_text",
    "report_withheld",
    "request_id",
    "set_user_ref",
    "span",
    "start_process",
    "time_outbound",
    "traceparent",
    "track_auth_attempt",
    "track_blocked",
    "track_connections_refused",
    "track_content_access",
    "track_delivery_items_ignored",
    "track_deployment",
    "track_incident",
    "track_incident_resolution",
    "track_live_active",
    "track_live_closed",
    "track_live_dropped",
    "track_live_opened",
    "track_live_refused",
    "track_live_sent",
    "track_live_text",
    "track_rate_limit",
    "track_refused",
    "track_registration",
    "track_security_event",
    "track_stripe_webhook",
    "track_suspicious",
    "track_video_stream",
    "track_video_transfer",
    "track_web_vitals",
    "unrecorded",
]

P = ParamSpec("P")
T = TypeVar("T")
log = logging.getLogger("church.telemetry")

_STORE = {"db.system.name": "redis"}
_NOTED_WAIT = 0.001  # seconds: who waits less did not really wait

_handler: records.Handler | None = None
_trace_log: TraceLog | None = None


# -- the process ----------------------------------------------------------------------------------------------------


def start_process(settings: Settings, role: str) -> None:
    """Write logs from threads and take a slot to count in: once a process, after the fork. ``role`` is web or work."""
    start_logging(settings).start()  # first, so that no record of the rest is lost
    if _trace_log is not None:
        _trace_log.start()
        export.start()
    compile_threat_patterns()
    worker_files.SLOTS.take(settings.metrics_dir, role)
    damage.report_own_damage()
    if settings.telemetry:
        cpu_time.start()


def compile_threat_patterns() -> None:
    """Compile the patterns of the threat scan if no earlier process has: seconds once, milliseconds afterwards."""
    scan_text.load_patterns()


def expect_failures(app: Flask) -> None:
    """Start the failure counters of every route of ``app`` at 0: once a web process, as soon as the app exists."""
    if app.config["CHURCH"].telemetry:
        request_observer.expect_failures(app)


def start_logging(settings: Settings) -> records.Handler:
    """Send the log records of this process to the log folder and the console."""
    global _handler, _trace_log  # noqa: PLW0603 - logging is the process's, not an app's
    if _handler is None:
        static = {"service": "church", "version": VERSION, "environment": settings.environment}
        count_dropped = definitions.telemetry_errors.labels("log").inc
        formatter = records.RecordFormatter(static, _log_context, _error_context, settings.log_scheme)
        _handler = records.build(settings.log_dir, formatter, count_dropped)
        _trace_log = TraceLog(settings.log_dir / "traces.log", static)
        trace_log.install(_trace_log)
        _handler.on_exception = _keep_error
        records.install(_handler, settings.log_level)
        request_observer.prepare_access_records(static, settings.log_paths, settings.log_scheme)
    return _handler


def is_logging() -> bool:
    """Whether the log records of this process go to the log folder, as those of web workers and the worker process."""
    return _handler is not None


@contextmanager
def unrecorded() -> Iterator[None]:
    """Count and log nothing of what happens in the block. Only before ``start_process``."""
    counts = worker_files.SlotValue.list_counts()
    series = client_internals.list_children(definitions.CATALOGUE)
    disabled = logging.root.manager.disable
    logging.disable()
    try:
        yield
    finally:
        logging.disable(disabled)
        client_internals.restore_children(series)
        forget_series()
        worker_files.SlotValue.restore_counts(counts)


def each_second() -> None:
    """Do what is due every second, in the main thread of a process: report what was withheld, count CPU time."""
    report_withheld()
    if cpu_accounts.is_started():
        cpu_time.count()


def charge_live(fn: Callable[P, T]) -> Callable[P, T]:
    """``fn``, for the live connections: a greenlet that calls it is charged to them."""

    @functools.wraps(fn)
    def charged(*args: P.args, **kwargs: P.kwargs) -> T:
        with cpu_accounts.charged_to(cpu_accounts.LIVE):
            return fn(*args, **kwargs)

    return charged


def end_process() -> None:
    """Write the log lines and send the traces that are still queued; bounded in time."""
    if cpu_accounts.is_started():
        cpu_time.count()
    report_withheld(everything=True)
    if _trace_log is not None:
        _trace_log.stop()
    export.stop()
    if _handler is not None:
        _handler.stop()


def _log_context() -> dict[str, Any]:
    observation = current_observation()
    return observation.context() if observation is not None else {}


def _keep_error(record: logging.LogRecord) -> None:
    """Keep the error that a record is about; the trace that it ended has its class."""
    context = {**_log_context(), **_error_context()}
    trace_log.keep_error(record, context)
    flight = recorder.current_flight()
    if flight is not None and record.exc_info and record.exc_info[0] and error_records.is_unhandled(record):
        flight.error_type = name_type(record.exc_info[0])


def _error_context() -> dict[str, Any]:
    observation = current_observation()
    return observation.error_context() if observation is not None else {}


# -- the current request --------------------------------------------------------------------------------------------


def request_id() -> str | None:
    """Return the id that the records, the trace, the error page and the response header of this request share.

    In a job it is that of the request that queued it, if one did, else one of its own.
    """
    observation = current_observation()
    return observation.request_id if observation is not None else None


def set_user_ref(user_ref: str) -> None:
    """Put the pseudonym of the signed-in user on every further record of the current request."""
    observation = current_observation()
    if observation is not None:
        observation.user_ref = user_ref


def forget_user_ref() -> None:
    """Leave the pseudonym of the signed-in user off all further records of the current request."""
    observation = current_observation()
    if observation is not None:
        observation.user_ref = None


def leave_unobserved() -> None:
    """Leave the current request out of the HTTP metrics and the access log: a WebSocket lasts for hours."""
    observation = current_observation()
    if observation is not None:
        observation.leave()


def span(name: str, **attributes: Any) -> OpenSpan:
    """A piece of work within a request, job or live message: a span of its trace; elsewhere it does nothing."""
    return OpenSpan(name, attributes)


def note_wait(queue: str, began: float) -> None:
    """Record that the current request waited for its turn at ``queue``; ``began`` is by ``time.perf_counter``."""
    flight = recorder.current_flight()
    if flight is not None and time.perf_counter() - began >= _NOTED_WAIT:
        flight.add_wait(queue, began)


def record_store_call(command: str, began: float, error: BaseException | None) -> None:
    """Record a call of the shared store, which ends now, as a span of the current request."""
    flight = recorder.current_flight()
    if flight is not None:
        failure = recorder.name_failure(error) if error is not None else None
        flight.add(recorder.CLIENT, f"store {command}", began, _STORE, failure)


def traceparent() -> str | None:
    """What a queued job needs to continue the current trace; None outside of one."""
    flight = recorder.current_flight()
    return flight.traceparent() if flight is not None else None


def instrument_engine(engine: Engine) -> None:
    """Make the statements of a new database engine spans of what they are executed for."""
    statements.record_statements(engine.dialect)


# -- a request that the server answers without the app -----------------------------------------------------------------


def begin_request(facts: dict[str, Any]) -> Observation:
    """Begin to observe a request; ``facts`` are the keys of an environ that ``Observation`` reads."""
    observation = Observation(facts, _access_handler())
    request_observer.current.set(observation)
    return observation


# -- the extension --------------------------------------------------------------------------------------------------


class Telemetry:
    """The Flask extension: observes every request, and serves /metrics."""

    def __init__(self) -> None:
        self.state = StateMetrics()

    def init_app(self, app: Flask, guard: Callable[[Any], Any]) -> None:
        """Observe ``app``; ``guard`` decorates the view of /metrics with who may read it."""
        settings: Settings = app.config["CHURCH"]
        state = self.state = StateMetrics()
        self.add_state(
            StateMetric("build_info", "Version of the running site.", _build_info, ("version", "commit", "python")),
            StateMetric(
                "telemetry_shared_metric",
                "1 for each metric of the database, which is the same on every host: take the maximum, not the sum.",
                state.name_shared,
                ("metric",),
            ),
        )
        if settings.telemetry:
            self._observe(app)
        ScrapeEndpoint(
            state, lambda: worker_files.SLOTS.directory or settings.metrics_dir, guard, run_off_hub
        ).init_app(app)

    def add_state(self, *metrics: StateMetric) -> None:
        """Read these metrics at each scrape."""
        self.state.metrics.extend(metrics)

    def _observe(self, app: Flask) -> None:
        request_observer.observe_answers(app)
        settings: Settings = app.config["CHURCH"]
        recorder.prepare(export.read_rules(settings.trace_paths))
        app.before_request(refuse_attacks)
        app.wsgi_app = request_observer.Door(app.wsgi_app, _access_handler, settings.metrics_dir)  # type: ignore[method-assign]


def _access_handler() -> records.Handler | None:
    return _handler if log.isEnabledFor(logging.INFO) else None


def _build_info() -> Iterator[tuple[tuple[str, ...], float]]:
    yield (VERSION, COMMIT, sys.version.split()[0]), 1.0
