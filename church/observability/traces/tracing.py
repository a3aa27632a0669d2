"""OpenTelemetry for sampled requests, at almost no cost to the others.

The instrumentation costs about 115 µs a request even where its span is dropped. So the sampling decision comes first,
on the trace id that the request would have. A request that is not sampled goes straight to the app; a sampled one runs
through opentelemetry-instrumentation-flask with that id, and has the same spans as without this module.
Configured by the standard OTEL_* variables; off without an exporter.
"""

from __future__ import annotations

import logging
import os
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, cast

from flask import Flask, request
from opentelemetry import metrics as otel_metrics
from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.instrumentation.sqlalchemy.engine import EngineTracer
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, Span, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision, ParentBased, Sampler, SamplingResult, TraceIdRatioBased
from opentelemetry.trace import Status, StatusCode

from church.observability.logs.redaction import HIDDEN, redact, redact_text
from church.observability.metrics import definitions
from church.observability.traces.process_tracer import SAMPLED

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
    from opentelemetry.util.types import Attributes
    from sqlalchemy import Engine
    from werkzeug.routing import Rule

log = logging.getLogger("church.telemetry")

_LOW_64 = (1 << 64) - 1
_RATES = {"always_on": 1.0, "always_off": 0.0}
_REMOTE = ("HTTP_TRACEPARENT", "HTTP_TRACESTATE", "HTTP_BAGGAGE")
_ADDRESS_ATTRIBUTES = frozenset({"http.target", "http.url", "url.path", "url.query", "url.full"})
_STATEMENT_ATTRIBUTES = frozenset({"db.statement", "db.query.text"})  # without parameters, and unreadable if redacted

_picked: ContextVar[int | None] = ContextVar("picked_trace_id", default=None)


def build_exporter() -> SpanExporter | None:
    """The exporter that OTEL_* configures, or None: tracing is off. Unlike in the SDK, unset variables mean none."""
    kind = os.environ.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    endpoint = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or kind == "none" or not (kind or endpoint):
        return None
    if kind == "console":
        return ConsoleSpanExporter()
    if kind not in {"", "otlp"}:
        log.warning("unknown trace exporter", extra={"event": "telemetry.exporter_unknown", "exporter": kind})
        return None
    from opentelemetry.exporter.otlp.proto.http import trace_exporter  # noqa: PLC0415 - takes 40 ms

    return trace_exporter.OTLPSpanExporter()


def read_sampling_rate() -> tuple[float, bool]:
    """The share of root traces to keep, and whether a trusted parent decides first (OTEL_TRACES_SAMPLER)."""
    name = os.environ.get("OTEL_TRACES_SAMPLER", "parentbased_always_on").strip().lower()
    base = name.removeprefix("parentbased_")
    try:
        rate = _RATES[base] if base in _RATES else float(os.environ.get("OTEL_TRACES_SAMPLER_ARG", "1.0"))
    except ValueError:
        rate = 1.0
    return min(max(rate, 0.0), 1.0), name.startswith("parentbased_")


class _PickedIds(RandomIdGenerator):
    """Gives the root span of a sampled request the trace id that the decision was made on."""

    def generate_trace_id(self) -> int:
        return _picked.get() or super().generate_trace_id()


class _PickedSampler(Sampler):
    """Keeps the trace that was picked; the configured sampler decides about any other."""

    def __init__(self, configured: Sampler) -> None:
        self._configured = configured

    def should_sample(
        self,
        parent_context: Any,
        trace_id: int,
        name: str,
        kind: Any = None,
        attributes: Any = None,
        links: Any = None,
        trace_state: Any = None,
    ) -> SamplingResult:
        if trace_id == _picked.get():
            return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes)
        return self._configured.should_sample(parent_context, trace_id, name, kind, attributes, links)

    def get_description(self) -> str:
        return f"Picked({self._configured.get_description()})"


class _CountingExporter(SpanExporter):
    """Redacts what it exports, and counts the batches that could not be delivered: lost, and no request waits."""

    def __init__(self, inner: SpanExporter) -> None:
        self._inner = inner

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        try:
            result = self._inner.export([_redacted(span) for span in spans])
        except Exception:  # noqa: BLE001 - any network error loses the batch
            result = SpanExportResult.FAILURE
        if result is not SpanExportResult.SUCCESS:
            definitions.telemetry_errors.labels("trace").inc()
        return result

    def shutdown(self) -> None:
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._inner.force_flush(timeout_millis)


class _SampledEngineTracer(EngineTracer):
    """The stock spans of database statements, only below a span that is recorded."""

    def _before_cur_exec(self, *args: Any) -> Any:
        if trace.get_current_span().is_recording():
            return super()._before_cur_exec(*args)  # type: ignore[no-untyped-call]
        return args[2], args[3]

    def _add_idle_to_connection_usage(self, value: int) -> None:
        """Do nothing: connection pools are not counted here."""

    _add_used_to_connection_usage = _add_idle_to_connection_usage


class Tracing:
    """The tracer of a process, made after the fork."""

    def __init__(self, exporter: SpanExporter, resource: dict[str, str], always: tuple[str, ...]) -> None:
        rate, parent_first = read_sampling_rate()
        ratio = TraceIdRatioBased(rate)
        self._bound = ratio.bound
        self._parent_first = parent_first
        self._always = always
        configured = ParentBased(ratio) if parent_first else ratio
        self.provider = TracerProvider(
            sampler=_PickedSampler(configured), resource=Resource.create(resource), id_generator=_PickedIds()
        )
        self.processor = BatchSpanProcessor(_CountingExporter(exporter))
        self.provider.add_span_processor(self.processor)
        self.tracer = self.provider.get_tracer("church")

    def wrap(self, app: Flask, on_span: Callable[[Any, WSGIEnvironment], None]) -> Callable[..., Any]:
        """Instrument ``app``; returns a WSGI app that sends only sampled requests through the instrumentation."""
        plain: WSGIApplication = app.wsgi_app
        FlaskInstrumentor.instrument_app(
            app,
            tracer_provider=self.provider,
            meter_provider=otel_metrics.NoOpMeterProvider(),
            request_hook=on_span,
            enable_commenter=False,
        )
        traced: WSGIApplication = app.wsgi_app
        begin, end = app.before_request_funcs[None], app.teardown_request_funcs[None]
        begin.append(_only_when_picked(_without_path(cast(Callable[..., None], begin.pop()))))
        end.append(_only_when_picked(cast(Callable[..., None], end.pop())))

        def choose(environ: WSGIEnvironment, start_response: StartResponse) -> Any:
            if not self._pick(environ):
                return plain(environ, start_response)
            try:
                return traced(environ, start_response)
            finally:
                _picked.set(None)

        return choose

    def _pick(self, environ: WSGIEnvironment) -> bool:
        """Decide whether to sample this request; stores the trace id for its root span."""
        if not environ.get("church.trusted", False):
            for name in _REMOTE:
                environ.pop(name, None)
        trace_id = environ.get(SAMPLED) or self.decide(environ["PATH_INFO"], environ.get("HTTP_TRACEPARENT"))
        if trace_id is None:
            return False
        _picked.set(trace_id)
        return True

    def decide(self, path: str, traceparent: str | None) -> int | None:
        """Return the trace id of a request that is sampled, else None. ``traceparent`` is that of a trusted proxy."""
        forced = path.startswith(self._always)
        if traceparent is not None and (parent := _remote_parent(traceparent)):
            sampled = parent.trace_flags.sampled if self._parent_first else parent.trace_id & _LOW_64 < self._bound
            return parent.trace_id if sampled or forced else None
        trace_id = random.getrandbits(128) or 1
        return trace_id if forced or trace_id & _LOW_64 < self._bound else None

    def instrument_engine(self, engine: Engine) -> None:
        """Make the statements of ``engine`` spans of the sampled request they serve."""
        usage = otel_metrics.NoOpMeter("church").create_up_down_counter("unused")
        _SampledEngineTracer(self.tracer, engine, usage)  # type: ignore[no-untyped-call]

    def span(self, name: str, carrier: dict[str, str] | None, attributes: dict[str, Any]) -> Any:
        """A span below the current one, or one that continues the trace in ``carrier`` (see ``carry``)."""
        parent = propagate.extract(carrier) if carrier else None
        return self.tracer.start_as_current_span(name, context=parent, attributes=attributes)

    @contextmanager
    def linked(
        self, name: str, opened_by: tuple[str, str] | None, attributes: dict[str, str]
    ) -> Iterator[tuple[str, str] | None]:
        """Begin a new trace with a link to the span ``opened_by`` (trace, span); yields its ids if it is sampled."""
        links = [trace.Link(_span_context(*opened_by))] if opened_by is not None else None
        with self.tracer.start_as_current_span(name, Context(), links=links, attributes=attributes) as span:
            yield _ids_of(span)

    @contextmanager
    def identified(
        self, name: str, carrier: dict[str, str] | None, attributes: dict[str, Any]
    ) -> Iterator[tuple[str, str] | None]:
        """Begin a span as ``span`` does; yields its ids (trace, span) if it is sampled."""
        with self.span(name, carrier, attributes) as span:
            yield _ids_of(span)

    def note(self, event: str, facts: dict[str, str]) -> None:
        """Add an event to the current span."""
        trace.get_current_span().add_event(event, facts)

    def carry(self) -> dict[str, str]:
        """Headers (or fields of a queued job) that continue the current trace elsewhere; empty if not sampled."""
        carrier: dict[str, str] = {}
        if trace.get_current_span().is_recording():
            propagate.inject(carrier)
        return carrier

    def stop(self, timeout_ms: int = 2000) -> None:
        """Send what is queued, waiting no longer than ``timeout_ms``."""
        self.processor.force_flush(timeout_ms)


def _ids_of(span: trace.Span) -> tuple[str, str] | None:
    context = span.get_span_context()
    return (f"{context.trace_id:032x}", f"{context.span_id:016x}") if span.is_recording() else None


def _span_context(trace_id: str, span_id: str) -> trace.SpanContext:
    return trace.SpanContext(int(trace_id, 16), int(span_id, 16), False, trace.TraceFlags(trace.TraceFlags.SAMPLED))


def _remote_parent(traceparent: str) -> trace.SpanContext | None:
    context = trace.get_current_span(propagate.extract({"traceparent": traceparent})).get_span_context()
    return context if context.is_valid else None


def _only_when_picked(hook: Callable[..., Any]) -> Callable[..., None]:
    """Run a hook of the instrumentation for sampled requests alone: it builds the URL of every request it sees."""

    def when_picked(*args: Any) -> None:
        if _picked.get() is not None:
            hook(*args)

    return when_picked


def _without_path(hook: Callable[..., None]) -> Callable[..., None]:
    """Run the hook that begins the span of a request, then take the path away where it may be a secret."""

    def begin(*args: Any) -> None:
        hook(*args)
        span = trace.get_current_span()
        if isinstance(span, Span):
            _hide_path(span, request.url_rule)

    return begin


def _hide_path(span: Span, rule: Rule | None) -> None:
    """Name a span without a route by its method alone, and keep its path and those with a token out of it.

    A path that matches no route may be an emailed link with a slash behind it, so it can't be trusted to be harmless.
    """
    if rule is None:
        span.update_name(span.name.partition(" ")[0])
        shown = HIDDEN
    elif any(redact(argument, "") == HIDDEN for argument in rule.arguments):
        shown = rule.rule
    else:
        return
    for name in _ADDRESS_ATTRIBUTES & set(span.attributes or ()):
        span.set_attribute(name, shown)


def _redacted(span: ReadableSpan) -> ReadableSpan:
    """A copy of ``span`` with its attributes, events and error redacted like a log record."""
    failed = span.status.status_code is StatusCode.ERROR
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=_redact_attributes(span.attributes),
        events=[Event(event.name, _redact_attributes(event.attributes), event.timestamp) for event in span.events],
        links=span.links,
        kind=span.kind,
        status=Status(StatusCode.ERROR, redact_text(span.status.description or "")) if failed else span.status,
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _redact_attributes(attributes: Attributes) -> dict[str, Any]:
    given = attributes or {}
    return {name: value if name in _STATEMENT_ATTRIBUTES else redact(name, value) for name, value in given.items()}
