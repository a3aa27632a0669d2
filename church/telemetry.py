"""THE extension: what happened, told once, in one line, by whoever saw it happen.

Blueprints and services call a ``track_…`` verb; the verb does the counter, the log record and the span event.
Nothing here ever breaks what it observes: a metric, record or span that fails is dropped and counted in
``telemetry_errors_total``; in the tests it raises (``observability.strict``).
"""

from __future__ import annotations

import functools
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, ParamSpec

from flask import Flask, current_app
from werkzeug.exceptions import BadRequest, Forbidden

from church.config import Settings
from church.lib.threads import off_hub
from church.lib.version import COMMIT, VERSION
from church.observability import raise_in_tests, request_observer, verbs
from church.observability.logs import records
from church.observability.metrics import definitions, worker_files
from church.observability.metrics.route import SCRAPED, ScrapeEndpoint
from church.observability.metrics.scrape_registry import State, StateMetric
from church.observability.request_observer import under_way
from church.observability.threats import scan_text
from church.observability.threats.scan_request import TooDeepError, confide_body, leave_body, scan
from church.observability.verbs import Budget, Handshake

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment
    from sqlalchemy import Engine

    from church.observability.traces.tracing import Tracing

__all__ = [
    "SCRAPED",
    "Handshake",
    "StateMetric",
    "Telemetry",
    "confide_body",
    "end_process",
    "handshake",
    "identify",
    "instrument_engine",
    "leave_body",
    "live_message",
    "outbound",
    "quiet_route",
    "request_id",
    "span",
    "start_process",
    "trace_headers",
    "track_auth_attempt",
    "track_content_access",
    "track_deployment",
    "track_error",
    "track_incident",
    "track_incident_resolution",
    "track_live_active",
    "track_live_closed",
    "track_live_dropped",
    "track_live_opened",
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
    "warm_up",
]

stripe_log = logging.getLogger("church.stripe")
auth_log = logging.getLogger("church.auth")
content_log = logging.getLogger("church.content")
security_log = logging.getLogger("church.security")
log = logging.getLogger("church.telemetry")
P = ParamSpec("P")

_tracing: Tracing | None = None
_handler: records.Handler | None = None


def _never_breaks(part: str) -> Callable[[Callable[P, None]], Callable[P, None]]:
    """Keep what a verb raises away from its caller, and count it."""

    def decorate(verb: Callable[P, None]) -> Callable[P, None]:
        @functools.wraps(verb)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
            try:
                verb(*args, **kwargs)
            except Exception:
                if raise_in_tests.on:
                    raise
                definitions.telemetry_errors.labels(part).inc()

        return guarded

    return decorate


# -- the process ----------------------------------------------------------------------------------------------------


def start_process(settings: Settings, role: str) -> None:
    """Count in a slot and write logs from threads: once a process, after the fork. ``role`` is web or work."""
    warm_up()
    worker_files.SLOTS.take(settings.metrics_dir, role)
    definitions.telemetry_corrupt_files.inc(worker_files.SLOTS.damaged)
    worker_files.SLOTS.damaged = 0
    handler = start_logging(settings)
    handler.start()


def warm_up() -> None:
    """Compile the patterns of the threat scan where no earlier process has: seconds once, milliseconds after."""
    scan_text.prepare()


def expect_failures(app: Flask) -> None:
    """Count the failures of every route of ``app`` from 0: once a web process, as soon as the app exists."""
    if app.config["CHURCH"].telemetry:
        request_observer.expect_failures(app)


def start_logging(settings: Settings) -> records.Handler:
    """Send the records of this process to the log folder and the console."""
    global _handler  # noqa: PLW0603 - logging is the process's, not an app's
    if _handler is None:
        static = {"service": "church", "version": VERSION, "environment": settings.environment}
        _handler = records.build(settings.log_dir, static, _log_context, definitions.telemetry_errors.labels("log").inc)
        records.install(_handler, settings.log_level)
        request_observer.prepare(static)
    return _handler


def end_process() -> None:
    """Send the spans and write the lines that are still queued; bounded in time."""
    if _tracing is not None:
        _tracing.stop()
    if _handler is not None:
        _handler.stop()


def _log_context() -> dict[str, Any]:
    observation = under_way()
    return observation.context() if observation is not None else {}


# -- the verbs ------------------------------------------------------------------------------------------------------


@_never_breaks("verb")
def track_security_event(event_type: str, severity: str, **fields: Any) -> None:
    """Something that an admin should be able to see happened: counted, logged, noted on the span."""
    known = definitions.bounded(event_type, definitions.SECURITY_EVENTS)
    definitions.security_events.labels(known, definitions.bounded(severity, definitions.SEVERITIES)).inc()
    _security_record(event_type, severity, fields)


@_never_breaks("verb")
def track_suspicious(activity_type: str, source: str, excerpt: str) -> None:
    """A finding of the threat scan: one suspicious activity, which is also one security event."""
    definitions.suspicious_activity.labels(activity_type, source).inc()
    definitions.security_events.labels("threat_detected", "high").inc()
    _security_record("threat_detected", "high", {"activity_type": activity_type, "source": source, "excerpt": excerpt})


@_never_breaks("verb")
def track_rate_limit(limit: str) -> None:
    """A request was refused because its sender asked too much of ``limit``; one security event, by what was asked."""
    name = definitions.bounded(limit, definitions.LIMITS)
    definitions.rate_limit_hits.labels(name).inc()
    if name in definitions.AUTH_LIMITS:
        definitions.auth_attempts.labels(definitions.AUTH_LIMITS[name], "failed_throttled").inc()
    event = definitions.LIMIT_EVENTS.get(name, "rate_limit_exceeded")
    severity = definitions.SECURITY_EVENTS[event]
    definitions.security_events.labels(event, severity).inc()
    _security_record(event, severity, {"limit": name})


@_never_breaks("verb")
def track_auth_attempt(kind: str, outcome: str, **fields: Any) -> None:
    """Somebody tried to register, sign in or out, reset a password or get a token, and this came of it."""
    definitions.auth_attempts.labels(
        definitions.bounded(kind, definitions.AUTH_TYPES), definitions.bounded(outcome, definitions.AUTH_OUTCOMES)
    ).inc()
    auth_log.info(kind, extra={"event": f"auth.{kind}", "outcome": outcome, **fields})
    if _tracing is not None:
        _tracing.note(f"auth.{kind}", {"outcome": outcome})


@_never_breaks("verb")
def track_registration(source: str) -> None:
    """An account was made; said after the commit."""
    definitions.user_registrations.labels(definitions.bounded(source, definitions.REGISTRATION_SOURCES)).inc()


@_never_breaks("verb")
def track_content_access(content_type: str, access_level: str, outcome: str) -> None:
    """Somebody asked for a piece of content and was given it, or its teaser, or nothing."""
    definitions.content_access.labels(
        definitions.bounded(content_type, definitions.CONTENT_TYPES),
        definitions.bounded(access_level, definitions.ACCESS_LEVELS),
        definitions.bounded(outcome, definitions.CONTENT_OUTCOMES),
    ).inc()
    facts = {"content_type": content_type, "access_level": access_level, "outcome": outcome}
    content_log.debug("content access", extra={"event": "content.access", **facts})
    if _tracing is not None:
        _tracing.note("content.access", facts)


@_never_breaks("verb")
def track_stripe_webhook(event_type: str, status: str, lag: float | None = None, **fields: Any) -> None:
    """A delivery of Stripe's was answered; ``lag`` is the age of its event in seconds, said when it was first done."""
    known = definitions.bounded(event_type, definitions.STRIPE_EVENTS)
    definitions.stripe_webhooks.labels(known, definitions.bounded(status, definitions.WEBHOOK_STATUSES)).inc()
    if lag is not None:
        definitions.stripe_webhook_lag.observe(max(0.0, lag))
    level = logging.WARNING if status == "failed" else logging.INFO
    facts = {"event": "stripe.webhook", "stripe_event": event_type[:80], "outcome": status}
    stripe_log.log(level, "webhook", extra=facts | fields)
    if _tracing is not None:
        _tracing.note("stripe.webhook", {"type": known, "outcome": status})


@_never_breaks("verb")
def track_deployment(environment: str, status: str, kind: str, **fields: Any) -> None:
    """A deployment was written down; its metrics are read from the rows."""
    facts = verbs.deployment(environment, status, kind, **fields)
    if _tracing is not None:
        _tracing.note("delivery.deployment", facts)


@_never_breaks("verb")
def track_incident(environment: str, severity: str, **fields: Any) -> None:
    """An incident was opened."""
    facts = verbs.incident(environment, severity, **fields)
    if _tracing is not None:
        _tracing.note("delivery.incident_opened", facts)


@_never_breaks("verb")
def track_incident_resolution(environment: str, severity: str, seconds: float, **fields: Any) -> None:
    """An incident was resolved, ``seconds`` after it was opened."""
    facts = verbs.resolution(environment, severity, seconds, **fields)
    if _tracing is not None:
        _tracing.note("delivery.incident_resolved", facts)


@_never_breaks("verb")
def track_video_stream(video: str, quality: str, outcome: str) -> None:
    """A playback of a video (a slug among the first, else ``other``) began, or was refused; once a playback."""
    facts = verbs.stream(video, quality, outcome)
    if _tracing is not None:
        _tracing.note("video.stream", facts)


@_never_breaks("verb")
def track_video_transfer(seconds: float, sent: int) -> None:
    """A connection that took a video has ended, however it did; ``sent`` bytes went out over it."""
    verbs.transfer(seconds, sent)


@contextmanager
def outbound(service: str, is_refusal: Callable[[Exception], bool] = lambda _error: False) -> Iterator[None]:
    """Time a call that leaves the process; what it raises goes on, told apart as a timeout, a refusal or a failure.

    ``is_refusal`` says of what was raised that the service works and said no, as to a card without money.
    """
    started = time.perf_counter()
    outcome = "failed"
    try:
        yield
        outcome = "success"
    except TimeoutError:
        outcome = "timeout"
        raise
    except Exception as error:
        outcome = "refused" if is_refusal(error) else "failed"
        raise
    finally:
        _observe_outbound(service, outcome, time.perf_counter() - started)


@_never_breaks("verb")
def _observe_outbound(service: str, outcome: str, seconds: float) -> None:
    known = definitions.bounded(service, definitions.OUTBOUND_SERVICES)
    definitions.outbound_request_duration.labels(known, outcome).observe(seconds)


def track_refused(status: int, reason: str, client: str) -> str:
    """The server turned away what is no HTTP request; the id that joins its record to the answer is given back.

    ``reason`` is the parser's word for it, never what the client sent.
    """
    try:
        return request_observer.refuse(status, reason, client)
    except Exception:
        if raise_in_tests.on:
            raise
        definitions.telemetry_errors.labels("request").inc()
        return "-"


def track_error(part: str) -> None:
    """A piece of telemetry was dropped so that what it observed could go on."""
    definitions.telemetry_errors.labels(definitions.bounded(part, definitions.TELEMETRY_PARTS)).inc()


_flood = Budget(per_second=20)


def _security_record(event_type: str, severity: str, fields: dict[str, Any]) -> None:
    """Log and note it; in a flood each is still counted, but only so many a second are written."""
    withheld = _flood.spend()
    if withheld is None:
        return
    if withheld:
        fields = {**fields, "withheld": withheld}
    observation = under_way()
    if observation is not None:
        fields = {**fields, "ip": observation.client, "method": observation.method}
    security_log.warning(event_type, extra={"event": f"security.{event_type}", "severity": severity, **fields})
    if _tracing is not None:
        _tracing.note(event_type, {"severity": severity})


# -- traces ---------------------------------------------------------------------------------------------------------


def span(name: str, carrier: dict[str, str] | None = None, **attributes: Any) -> AbstractContextManager[Any]:
    """A span of a piece of work; nothing where this request is not sampled or tracing is off.

    ``carrier`` is what ``trace_headers`` gave where the work was asked for, so that its trace goes on.
    """
    observation = under_way()
    if _tracing is None or (observation is not None and observation.ids is None):
        return nullcontext()
    found: AbstractContextManager[Any] = _tracing.span(name, carrier, attributes)
    return found


def trace_headers() -> dict[str, str]:
    """Headers of an outbound call (or fields of a queued job) that carry the trace on; empty if not sampled."""
    return _tracing.carry() if _tracing is not None else {}


def instrument_engine(engine: Engine) -> None:
    """Make the statements of a new database engine spans of the sampled requests they serve."""
    if _tracing is not None:
        _tracing.instrument_engine(engine)


def request_id() -> str | None:
    """The id that joins the record, the trace, the error page and the response header of this request."""
    observation = under_way()
    return observation.request_id if observation is not None else None


def identify(user_ref: str) -> None:
    """Say whose request is under way, by the name that is no name: every record of it carries it."""
    observation = under_way()
    if observation is not None:
        observation.user_ref = user_ref


def quiet_route() -> None:
    """Leave the request under way out of the HTTP metrics and the access log: a WebSocket lasts for hours."""
    observation = under_way()
    if observation is not None:
        observation.leave()


# -- live connections -----------------------------------------------------------------------------------------------

handshake = verbs.handshake
track_live_opened = _never_breaks("verb")(verbs.opened)
track_live_active = _never_breaks("verb")(verbs.active)
track_live_closed = _never_breaks("verb")(verbs.closed)
track_live_sent = _never_breaks("verb")(verbs.sent)
track_live_dropped = _never_breaks("verb")(verbs.dropped)


def live_message(opened_by: Handshake, kind: str, user_ref: str | None) -> AbstractContextManager[None]:
    """Observe the answering of one message of a live connection: counted, and a span that is linked to its request."""
    return verbs.message(opened_by, kind, user_ref, _tracing)


def track_live_text(text: str) -> bool:
    """Look for attacks in what somebody says live; whether there were any. A scan that fails finds none."""
    try:
        found = verbs.suspicious(text)
    except Exception:
        if raise_in_tests.on:
            raise
        definitions.telemetry_errors.labels("scan").inc()
        return False
    for finding in found:
        track_suspicious(finding.activity_type, finding.source, "(not shown: what members say is not for a log)")
    return bool(found)


# -- the extension --------------------------------------------------------------------------------------------------


class Telemetry:
    """Hooks of an app: observes every request, and serves /metrics."""

    def __init__(self) -> None:
        self.state = State()

    def init_app(self, app: Flask, guard: Callable[[Any], Any]) -> None:
        """Wrap ``app``; ``guard`` decorates the view of /metrics with who may read it."""
        settings: Settings = app.config["CHURCH"]
        state = self.state = State()
        self.add_state(StateMetric("build_info", "What runs here.", _build_info, ("version", "commit", "python")))
        if settings.telemetry:
            self._observe(app)
        ScrapeEndpoint(state, lambda: worker_files.SLOTS.directory or settings.metrics_dir, guard, off_hub).init_app(
            app
        )

    def add_state(self, *found: StateMetric) -> None:
        """Read these at each scrape."""
        self.state.metrics.extend(found)

    def _observe(self, app: Flask) -> None:
        request_observer.watch(app)
        inner = _start_tracing(app) or app.wsgi_app  # first: what the scan finds is noted on the span
        app.before_request(_scan_threats)
        app.wsgi_app = request_observer.Door(inner, _access_handler, app.config["CHURCH"].metrics_dir)  # type: ignore[method-assign]


def _scan_threats() -> None:
    """Runs before CSRF and rate limits, so that what they refuse is seen too."""
    settings: Settings = current_app.config["CHURCH"]
    try:
        found = scan(settings.threats_body, lambda f: track_suspicious(f.activity_type, f.source, f.excerpt))
    except TooDeepError:
        raise BadRequest from None
    if found and settings.threats == "block":
        track_security_event("request_blocked", "high")
        raise Forbidden


def _access_handler() -> records.Handler | None:
    return _handler if log.isEnabledFor(logging.INFO) else None


def _build_info() -> Iterator[tuple[tuple[str, ...], float]]:
    yield (VERSION, COMMIT, sys.version.split()[0]), 1.0


def _start_tracing(app: Flask) -> Callable[..., Any] | None:
    """Tracing of this process, if an exporter is asked for; its modules are not even loaded otherwise."""
    global _tracing  # noqa: PLW0603 - one exporter a process
    if not any(name.startswith("OTEL_") for name in os.environ):
        return None
    from church.observability.traces import tracing  # noqa: PLC0415 - OpenTelemetry costs a site without it nothing

    exporter = tracing.exporter_from_env()
    if exporter is None:
        return None
    settings: Settings = app.config["CHURCH"]
    resource = {"service.name": "church", "service.version": VERSION, "deployment.environment": settings.environment}
    _tracing = tracing.Tracing(exporter, resource, settings.trace_paths)
    return _tracing.wrap(app, _note_span)


def _note_span(span: Any, _environ: WSGIEnvironment) -> None:
    observation = under_way()
    if observation is not None and span.is_recording():
        context = span.get_span_context()
        observation.ids = (f"{context.trace_id:032x}", f"{context.span_id:016x}")
        span.set_attribute("church.request_id", observation.request_id)
