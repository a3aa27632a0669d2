"""Kept traces as OpenTelemetry's spans: the same ids, the conventions' names, and the service as variables name it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from flask import Flask
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from church import telemetry
from church.observability.job_observer import observe_job
from church.observability.traces.otlp import Sender, build_exporter
from church.observability.verbs import Handshake
from tests.support.helpers import add_view, captured_log
from tests.support.kept_traces import KeptTraces

OPENED = Handshake("opened.1", "192.0.2.7", ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"))


def spans_of(kept: KeptTraces) -> list[ReadableSpan]:
    exporter = InMemorySpanExporter()
    assert Sender(exporter).send(kept.traces)
    return list(exporter.get_finished_spans())


def _fails() -> str:
    raise LookupError("no account for jane@mail.example.org")


@pytest.fixture
def site(app: Flask) -> Flask:
    app.config["PROPAGATE_EXCEPTIONS"] = False
    add_view(app, "/hello/<name>", lambda name: f"hello {name}")
    add_view(app, "/fails", _fails)
    add_view(app, "/work", _work)
    return app


def _work() -> str:
    with telemetry.span("outer", slug="x"), telemetry.time_outbound("stripe", verb="POST", call="prices.create"):
        return "worked"


def test_request_is_a_server_span_with_the_conventions_attributes(site: Flask, kept: KeptTraces) -> None:
    site.test_client().get("/hello/x", buffered=True)
    (span,), (trace,) = spans_of(kept), kept.traces
    assert (span.name, span.kind, span.status.status_code) == ("GET /hello/<name>", SpanKind.SERVER, StatusCode.UNSET)
    assert dict(span.attributes or {}) == {
        "http.request.method": "GET",
        "http.route": "/hello/<name>",
        "http.response.status_code": 200,
        "church.request_id": trace["request_id"],
        "church.cpu_ms": trace["cpu_ms"],
        "church.kept": "asked",
        "church.process": trace["process"],
    }
    assert span.context is not None
    assert (f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}") == (trace["trace_id"], trace["span_id"])
    assert span.parent is None
    assert span.start_time is not None
    assert span.end_time is not None
    assert (span.end_time - span.start_time) == round(trace["duration_ms"] * 1_000_000)


def test_spans_are_below_each_other_as_they_were(site: Flask, kept: KeptTraces) -> None:
    site.test_client().get("/work", buffered=True)
    root, outer, call = spans_of(kept)
    for inner, around in ((outer, root), (call, outer)):
        assert inner.parent is not None
        assert around.context is not None
        assert inner.parent.span_id == around.context.span_id
        assert inner.start_time is not None
        assert around.start_time is not None
        assert inner.start_time >= around.start_time
    assert [(span.name, span.kind) for span in (outer, call)] == [
        ("outer", SpanKind.INTERNAL),
        ("POST stripe", SpanKind.CLIENT),
    ]


def test_request_that_fails_has_its_error_type(site: Flask, kept: KeptTraces) -> None:
    with captured_log():
        site.test_client().get("/fails", buffered=True)
    root = spans_of(kept)[0]
    assert root.status.status_code is StatusCode.ERROR
    assert (root.attributes or {})["error.type"] == "LookupError"
    assert "jane" not in root.to_json()


def test_answer_of_a_service_that_is_away_has_its_status_as_error_type(site: Flask, kept: KeptTraces) -> None:
    add_view(site, "/away", lambda: ("away", 503))
    site.test_client().get("/away", buffered=True)
    assert (spans_of(kept)[0].attributes or {})["error.type"] == "503"


def test_job_and_live_message_are_spans(kept: KeptTraces) -> None:
    with observe_job("test.work", 7, "queued.1") as observed, observed.run(f"00-{'ab' * 16}-{'cd' * 8}-01", 2.5):
        pass
    with telemetry.live_message(OPENED, "chat", "ada"):
        pass
    job, wait, live = spans_of(kept)
    assert (job.name, job.kind, wait.name, live.name) == ("job test.work", SpanKind.CONSUMER, "queue.wait", "live chat")
    assert job.context is not None
    assert job.parent is not None
    assert (f"{job.context.trace_id:032x}", f"{job.parent.span_id:016x}") == ("ab" * 16, "cd" * 8)
    assert wait.start_time is not None
    assert job.start_time is not None
    assert job.start_time - wait.start_time == 2_500_000_000
    assert [f"{link.context.trace_id:032x}" for link in live.links] == ["0af7651916cd43dd8448eb211c80319c"]


def resource_of(site: Flask, kept: KeptTraces) -> dict[str, Any]:
    site.test_client().get("/hello/x", buffered=True)
    found: dict[str, Any] = json.loads(spans_of(kept)[0].to_json())["resource"]["attributes"]
    return found


def test_resource_names_the_service_and_its_version(site: Flask, kept: KeptTraces) -> None:
    resource = resource_of(site, kept)
    names = ("service.name", "service.version", "deployment.environment.name")
    assert [resource[name] for name in names] == ["church", "1", "test"]
    assert resource["host.name"]


def test_resource_is_named_by_the_variables(site: Flask, kept: KeptTraces, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "parish")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "host.name=one,team=two")
    resource = resource_of(site, kept)
    assert [resource[name] for name in ("service.name", "host.name", "team")] == ["parish", "one", "two"]
    assert resource["service.version"] == "1"


class Away(SpanExporter):
    """A collector that is down."""

    def __init__(self, raises: bool) -> None:
        self.raises = raises

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if self.raises:
            raise ConnectionError("the collector is away")
        return SpanExportResult.FAILURE

    def shutdown(self) -> None:
        """Nothing is held."""


@pytest.mark.parametrize("raises", [True, False])
def test_collector_that_is_away_takes_nothing(site: Flask, kept: KeptTraces, raises: bool) -> None:
    site.test_client().get("/hello/x", buffered=True)
    assert not Sender(Away(raises)).send(kept.traces)


def test_exporter_is_of_its_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:9/v1/traces")
    assert isinstance(build_exporter("console"), ConsoleSpanExporter)
    assert type(build_exporter("otlp")).__name__ == "OTLPSpanExporter"
