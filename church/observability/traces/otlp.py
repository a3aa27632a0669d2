"""Kept traces as OpenTelemetry's spans, with the same ids, and the exporter of its SDK that sends them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

_SCOPE = InstrumentationScope("church")
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_KINDS = {"http": SpanKind.SERVER, "job": SpanKind.CONSUMER, "live": SpanKind.SERVER}
# Fields of a trace as attributes of its root span: the conventions' names, or ours.
_ATTRIBUTES = {
    "method": "http.request.method",
    "route": "http.route",
    "status": "http.response.status_code",
    "error_type": "error.type",
    "request_id": "church.request_id",
    "user_ref": "church.user_ref",
    "job_id": "church.job_id",
    "job_kind": "church.job_kind",
    "kept": "church.kept",
    "cpu_ms": "church.cpu_ms",
    "process": "church.process",
}


def build_exporter(kind: str) -> SpanExporter:
    """The exporter of OpenTelemetry's SDK; it reads its own OTEL_* variables."""
    if kind == "console":
        return ConsoleSpanExporter()
    from opentelemetry.exporter.otlp.proto.http import trace_exporter  # noqa: PLC0415 - takes 40 ms

    return trace_exporter.OTLPSpanExporter()


class Sender:
    """Sends the records of kept traces."""

    BATCH = 512
    """Spans from which on a batch takes no further trace."""

    def __init__(self, exporter: SpanExporter) -> None:
        self.exporter = exporter
        self._resources: dict[tuple[str, str, str], Resource] = {}

    def send(self, records: Sequence[Mapping[str, Any]]) -> bool:
        """Send these traces; False if the collector did not take them."""
        try:
            spans = [span for record in records for span in self._to_spans(record)]
            return self.exporter.export(spans) is SpanExportResult.SUCCESS
        except Exception:  # noqa: BLE001 - any network error loses the batch
            return False

    def _to_spans(self, record: Mapping[str, Any]) -> Iterator[ReadableSpan]:
        trace_id = int(record["trace_id"], 16)
        began = round(datetime.fromisoformat(record["timestamp"]).timestamp() * 1000) * 1_000_000
        resource = self._resource_of(record)
        yield _make_root(record, trace_id, began, resource)
        for span_id, parent, kind, name, start, duration, attributes, outcome in record["spans"]:
            yield ReadableSpan(
                name=name,
                context=_context(trace_id, span_id),
                parent=_context(trace_id, parent),
                resource=resource,
                attributes=_plain(attributes),
                kind=SpanKind[kind],
                status=Status(StatusCode.ERROR if outcome == "error" else StatusCode.UNSET),
                start_time=began + start * 1000,
                end_time=began + (start + duration) * 1000,
                instrumentation_scope=_SCOPE,
            )

    def _resource_of(self, record: Mapping[str, Any]) -> Resource:
        """The service that a record names, unless a variable names it otherwise, and the variables' attributes."""
        key = (record.get("service", ""), record.get("version", ""), record.get("environment", ""))
        found = self._resources.get(key)
        if found is None:
            own = {
                "service.name": key[0],
                "service.version": key[1],
                "deployment.environment.name": key[2],
                "host.name": record["host"],
            }
            found = Resource.create({name: value for name, value in own.items() if not _is_given(name)})
            self._resources[key] = found
        return found


def _is_given(attribute: str) -> bool:
    """Whether a variable sets an attribute of the resource."""
    if attribute == "service.name" and os.environ.get("OTEL_SERVICE_NAME"):
        return True
    given = os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    return attribute in {part.partition("=")[0].strip() for part in given.split(",")}


def _make_root(record: Mapping[str, Any], trace_id: int, began: int, resource: Resource) -> ReadableSpan:
    attributes = {given: record[name] for name, given in _ATTRIBUTES.items() if name in record}
    if record["outcome"] == "failed" and "error.type" not in attributes:
        attributes["error.type"] = str(record.get("status", "_OTHER"))
    parent = record.get("parent_span_id")
    return ReadableSpan(
        name=record["name"],
        context=_context(trace_id, record["span_id"]),
        parent=_context(trace_id, parent) if parent else None,
        resource=resource,
        attributes=attributes,
        events=[Event(name, _plain(facts), began + at * 1000) for at, name, facts in record["events"]],
        links=[Link(_context(int(linked, 16), span_id)) for linked, span_id in record.get("links", ())],
        kind=_KINDS[record["root"]],
        status=Status(StatusCode.ERROR if record["outcome"] == "failed" else StatusCode.UNSET),
        start_time=began,
        end_time=began + round(record["duration_ms"] * 1_000_000),
        instrumentation_scope=_SCOPE,
    )


def _context(trace_id: int, span_id: str) -> SpanContext:
    return SpanContext(trace_id, int(span_id, 16), is_remote=False, trace_flags=_SAMPLED)


def _plain(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes as OpenTelemetry takes them."""
    return {name: value if isinstance(value, str | int | float | bool) else str(value) for name, value in facts.items()}
