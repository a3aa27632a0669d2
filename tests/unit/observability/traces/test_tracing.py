"""Traces: off by default, no cost to requests that are not sampled, and the stock spans for those that are."""

from __future__ import annotations

import ipaddress
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask, Response
from opentelemetry import trace
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic import SecretStr
from sqlalchemy import text

from church import create_app, telemetry
from church.config import Settings
from church.extensions import db
from church.observability.metrics import definitions
from church.observability.traces import process_tracer, tracing
from church.observability.traces.tracing import build_exporter, read_sampling_rate
from tests.support.databases import bring_to_head
from tests.support.helpers import BY_PROXY, STRONG, add_view, captured_log, grows, value, with_settings

ROOT = Path(__file__).parent.parent.parent.parent.parent
TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}-00"
TRUSTED = {"REMOTE_ADDR": "10.0.0.1"}


class Traced:
    """A site with tracing, and the spans that it made."""

    def __init__(self, app: Flask, exporter: SpanExporter) -> None:
        self.app = app
        self.exporter = exporter
        self.client = app.test_client()

    def get(self, path: str, **options: Any) -> Any:
        return self.client.get(path, buffered=True, **options)

    def spans(self) -> list[ReadableSpan]:
        assert process_tracer.active is not None
        process_tracer.active.processor.force_flush()
        found = list(self.exporter.get_finished_spans())  # type: ignore[attr-defined]
        self.exporter.clear()  # type: ignore[attr-defined]
        return found

    def server_span(self) -> ReadableSpan:
        (span,) = (span for span in self.spans() if span.kind is trace.SpanKind.SERVER)
        return span


Start = Callable[..., Traced]


def demo_views(app: Flask) -> None:
    add_view(app, "/hello/<name>", lambda name: f"hello {name}", methods=["GET", "POST"])
    add_view(app, "/stream", lambda: Response(iter([b"a", b"b"])))
    add_view(app, "/fails", _fails)
    add_view(app, "/query", _query)
    add_view(app, "/work", _work)
    add_view(app, "/always/on", lambda: "always")


def _fails() -> str:
    raise LookupError("the cause")


def _query() -> str:
    with db.read() as session:
        return str(session.execute(text("SELECT 1")).scalar())


@pytest.fixture
def start(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Start a site with this sampler; the exporter is in memory and the proxy 10.0.0.1 is trusted."""
    bring_to_head(settings)
    monkeypatch.setattr(process_tracer, "active", None)
    made: list[Any] = []

    def one(sampler: str | None = None, argument: str | None = None, exporter: SpanExporter | None = None) -> Traced:
        found = exporter or InMemorySpanExporter()
        monkeypatch.setattr(tracing, "build_exporter", lambda: found)
        monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
        for name, given in (("OTEL_TRACES_SAMPLER", sampler), ("OTEL_TRACES_SAMPLER_ARG", argument)):
            if given is not None:
                monkeypatch.setenv(name, given)
        changes = {"trusted_proxies": (ipaddress.ip_network("10.0.0.0/8"),), "trace_paths": ("/always/",)}
        app = create_app(with_settings(settings, **changes))
        app.config["PROPAGATE_EXCEPTIONS"] = False
        demo_views(app)
        made.append(process_tracer.active)
        return Traced(app, found)

    yield one
    for one_tracing in made:
        one_tracing.provider.shutdown()


# -- off, on and sampled --------------------------------------------------------------------------------------------


def test_tracing_without_its_variables_is_off_and_loads_no_module(tmp_path: Path) -> None:
    asks = (
        "import sys\nfrom church import create_app\nfrom church.config import load_settings\n"
        "create_app(load_settings(CHURCH_INSTANCE=sys.argv[1]))\n"
        "print([name for name in sys.modules if name in "
        "('church.observability.traces.tracing', 'opentelemetry.instrumentation.flask', 'opentelemetry.sdk.trace')])"
    )
    environment = {name: given for name, given in os.environ.items() if not name.startswith("OTEL_")}
    done = subprocess.run(
        [sys.executable, "-c", asks, str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment,
        check=True,
    )
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("variables", "kind"),
    [
        ({}, None),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, None),
        ({"OTEL_SDK_DISABLED": "TRUE", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, None),
        ({"OTEL_TRACES_SAMPLER": "always_on"}, None),
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, None),
        ({"OTEL_TRACES_EXPORTER": "console"}, "ConsoleSpanExporter"),
        ({"OTEL_TRACES_EXPORTER": " OTLP "}, "OTLPSpanExporter"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, "OTLPSpanExporter"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1"}, "OTLPSpanExporter"),
    ],
)
def test_exporter_is_chosen_by_the_variables(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], kind: str | None
) -> None:
    for name, given in variables.items():
        monkeypatch.setenv(name, given)
    found = build_exporter()
    assert (type(found).__name__ if found else None) == kind


def test_exporter_that_is_unknown_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "zipkin")
    with captured_log() as sink:
        build_exporter()
    assert [record["event"] for record in sink.records] == ["telemetry.exporter_unknown"]


@pytest.mark.parametrize(
    ("sampler", "argument", "expected"),
    [
        (None, None, (1.0, True)),
        ("always_on", None, (1.0, False)),
        ("always_off", None, (0.0, False)),
        ("parentbased_always_off", None, (0.0, True)),
        ("traceidratio", "0.25", (0.25, False)),
        ("parentbased_traceidratio", "0.01", (0.01, True)),
        ("traceidratio", None, (1.0, False)),
        ("traceidratio", "much", (1.0, False)),
        ("traceidratio", "7", (1.0, False)),
        ("traceidratio", "-1", (0.0, False)),
    ],
)
def test_rate_is_set_by_the_variables(
    monkeypatch: pytest.MonkeyPatch, sampler: str | None, argument: str | None, expected: tuple[float, bool]
) -> None:
    for name, given in (("OTEL_TRACES_SAMPLER", sampler), ("OTEL_TRACES_SAMPLER_ARG", argument)):
        if given is not None:
            monkeypatch.setenv(name, given)
    assert read_sampling_rate() == expected


@pytest.mark.parametrize("sampler", [None, "always_on", "parentbased_always_on"])
def test_rate_of_one_traces_every_request(start: Start, sampler: str | None) -> None:
    site = start(sampler)
    for _ in range(5):
        site.get("/hello/x")
    assert len(site.spans()) == 5


@pytest.mark.parametrize("sampler", ["always_off", "parentbased_always_off"])
def test_rate_of_zero_traces_none_and_makes_no_span_at_all(
    start: Start, monkeypatch: pytest.MonkeyPatch, sampler: str
) -> None:
    site = start(sampler)
    site.get("/query")  # connects
    assert process_tracer.active is not None

    made: list[str] = []
    tracer = type(process_tracer.active.tracer)
    start_span = tracer.start_span

    def noted(self: Any, name: str, *args: Any, **options: Any) -> Any:
        made.append(name)
        return start_span(self, name, *args, **options)

    monkeypatch.setattr(tracer, "start_span", noted)
    for path in ("/hello/x", "/query", "/stream", "/work", "/nowhere", "/fails"):
        site.get(path)
    assert made == []
    assert site.spans() == []


def test_rate_between_traces_its_share(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    draws = iter([(1 << 64) // 4 - 1, (1 << 64) // 4, (1 << 64) - 1, 5, (7 << 64) + 5])
    monkeypatch.setattr(tracing, "random", SimpleNamespace(getrandbits=lambda _bits: next(draws)))
    site = start("traceidratio", "0.25")
    for number in range(5):
        site.get(f"/hello/{number}")
    assert [span.attributes["http.target"] for span in site.spans()] == ["/hello/0", "/hello/3", "/hello/4"]  # type: ignore[index]


def test_trace_has_the_id_of_the_sampling_decision(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "random", SimpleNamespace(getrandbits=lambda _bits: 0xABCDEF))
    site = start("traceidratio", "0.5")
    site.get("/query")
    spans = site.spans()
    assert len(spans) > 1
    assert {span.context.trace_id for span in spans} == {0xABCDEF}


def test_paths_that_are_always_traced_are_traced_at_a_rate_of_zero(start: Start) -> None:
    site = start("always_off")
    for path in ("/hello/x", "/always/on", "/alwaysoff", "/always/nowhere"):
        site.get(path)
    assert [span.name for span in site.spans()] == ["GET /always/on", "GET"]


# -- traceparent ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", [None, "always_off", "parentbased_always_off", "traceidratio"])
def test_traceparent_of_an_untrusted_client_is_ignored(start: Start, sampler: str | None) -> None:
    site = start(sampler, "0")
    headers = {"traceparent": SAMPLED, "tracestate": "a=b", "baggage": "c=d"}
    site.get("/hello/x", headers=headers)
    spans = site.spans()
    assert len(spans) == (1 if sampler is None else 0)
    for span in spans:
        assert f"{span.context.trace_id:032x}" != TRACE
        assert span.parent is None


def test_traceparent_unsampled_of_an_untrusted_client_is_ignored(start: Start) -> None:
    site = start()
    site.get("/hello/x", headers={"traceparent": UNSAMPLED})
    assert len(site.spans()) == 1


def test_traceparent_of_a_trusted_proxy_is_continued(start: Start) -> None:
    site = start("parentbased_always_off")
    site.get("/hello/x", headers={"traceparent": SAMPLED}, environ_base=TRUSTED)
    span = site.server_span()
    assert f"{span.context.trace_id:032x}" == TRACE
    assert span.parent is not None
    assert f"{span.parent.span_id:016x}" == PARENT


def test_traceparent_unsampled_of_a_trusted_proxy_is_obeyed(start: Start) -> None:
    site = start("parentbased_always_on")
    site.get("/hello/x", headers={"traceparent": UNSAMPLED}, environ_base=TRUSTED)
    assert site.spans() == []
    site.get("/always/on", headers={"traceparent": UNSAMPLED}, environ_base=TRUSTED)
    assert f"{site.server_span().context.trace_id:032x}" == TRACE


def test_traceparent_without_parentbased_sampler_is_decided_by_its_id(start: Start) -> None:
    site = start("traceidratio", "0.25")
    for low, kept in (("0000000000000001", 1), ("ffffffffffffffff", 0)):
        header = f"00-{'1' * 16}{low}-{PARENT}-01"
        site.get("/hello/x", headers={"traceparent": header}, environ_base=TRUSTED)
        assert len(site.spans()) == kept


@pytest.mark.parametrize("header", ["", "garbage", f"00-{'0' * 32}-{PARENT}-01", f"ff-{TRACE}-{PARENT}-01", "00-1-2-3"])
def test_traceparent_invalid_begins_a_new_trace(start: Start, header: str) -> None:
    site = start()
    site.get("/hello/x", headers={"traceparent": header}, environ_base=TRUSTED)
    assert site.server_span().parent is None


# -- spans ----------------------------------------------------------------------------------------------------------

# What differs by clock, port and draw, and our own.
VOLATILE = {"church.request_id", "net.peer.port"}


def told(span: ReadableSpan) -> dict[str, Any]:
    attributes = {name: given for name, given in (span.attributes or {}).items() if name not in VOLATILE}
    events = [(event.name, (event.attributes or {}).get("exception.type")) for event in span.events]
    scope = span.instrumentation_scope
    return {
        "name": span.name,
        "kind": span.kind,
        "status": (span.status.status_code, span.status.description),
        "attributes": attributes,
        "events": [event for event in events if event[0] == "exception"],
        "scope": scope.name if scope else None,
    }


@pytest.mark.parametrize(
    ("method", "path", "semantics"),
    [
        ("GET", "/hello/x?a=b", None),
        ("POST", "/hello/x", None),
        ("HEAD", "/hello/x", None),
        ("GET", "/stream", None),
        ("GET", "/fails", None),
        ("GET", "/hello/x?a=b", "http"),
        ("GET", "/fails", "http/dup"),
    ],
)
def test_span_of_a_sampled_request_equals_that_of_the_instrumentation_alone(
    settings: Settings, start: Start, monkeypatch: pytest.MonkeyPatch, method: str, path: str, semantics: str | None
) -> None:
    opt_in(monkeypatch, semantics)
    site = start()
    site.client.open(path, method=method, buffered=True)
    ours = site.server_span()

    monkeypatch.setattr(process_tracer, "active", None)
    monkeypatch.delenv("OTEL_TRACES_EXPORTER")
    monkeypatch.setattr(tracing, "build_exporter", lambda: None)
    plain = create_app(settings)
    plain.config.update(PROPAGATE_EXCEPTIONS=False)
    demo_views(plain)
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    FlaskInstrumentor.instrument_app(plain, tracer_provider=provider)
    plain.test_client().open(path, method=method, buffered=True)
    (theirs,) = exporter.get_finished_spans()
    provider.shutdown()
    assert told(ours) == told(theirs)


def test_span_carries_the_request_id_and_the_record_carries_the_span(start: Start) -> None:
    site = start()
    with captured_log() as sink:
        site.get("/hello/x", headers={"X-Request-ID": "my-id.7"}, environ_overrides=BY_PROXY)
    span = site.server_span()
    assert span.attributes is not None
    assert span.attributes["church.request_id"] == "my-id.7"
    record = sink.records[-1]
    assert record["trace_id"] == f"{span.context.trace_id:032x}"
    assert record["span_id"] == f"{span.context.span_id:016x}"


def test_record_of_an_unsampled_request_has_no_trace(start: Start) -> None:
    site = start("always_off")
    with captured_log() as sink:
        site.get("/hello/x")
    assert {"trace_id", "span_id"} & set(sink.records[-1]) == set()


def test_unsampled_request_after_a_sampled_one_is_unsampled(start: Start) -> None:
    site = start("always_off")
    site.get("/always/on")
    site.get("/hello/x")
    assert [span.name for span in site.spans()] == ["GET /always/on"]


def opt_in(monkeypatch: pytest.MonkeyPatch, semantics: str | None) -> None:
    """Choose the version of OpenTelemetry's names of attributes."""
    if semantics:
        from opentelemetry.instrumentation._semconv import _OpenTelemetrySemanticConventionStability as Stability

        monkeypatch.setenv("OTEL_SEMCONV_STABILITY_OPT_IN", semantics)
        monkeypatch.setattr(Stability, "_initialized", False)


@pytest.mark.parametrize("semantics", [None, "http/dup"])
def test_secrets_in_the_query_do_not_reach_the_span(
    start: Start, monkeypatch: pytest.MonkeyPatch, semantics: str | None
) -> None:
    opt_in(monkeypatch, semantics)
    site = start()
    site.get("/hello/x?token=hunter2hunter2&mail=jane@mail.example.org&a=b", headers={"Referer": "/?token=hunter2"})
    span = site.server_span()
    assert "hunter2" not in span.to_json()
    assert "jane@" not in span.to_json()
    assert "token=[hidden]" in span.to_json()


TOKEN = "7.kAleidoscope-kAleidoscope-kAleidoscope-12345"
SECRET_PATHS = [
    f"/auth/verify/{TOKEN}/",
    f"/unsubscribe/{TOKEN}",
    f"/x/{TOKEN}?q={TOKEN}",
    "/unsubscribe/jane@mail.example.org",
]


@pytest.mark.parametrize("semantics", [None, "http", "http/dup"])
@pytest.mark.parametrize("path", SECRET_PATHS)
def test_path_without_a_route_reaches_no_span(
    start: Start, monkeypatch: pytest.MonkeyPatch, path: str, semantics: str | None
) -> None:
    opt_in(monkeypatch, semantics)
    site = start()
    assert site.get(path).status_code == 404
    (span,) = site.spans()
    assert span.name == "GET"
    assert not [part for part in ("kAleidoscope", "jane", "unsubscribe", "verify") if part in span.to_json()]


@pytest.mark.parametrize("semantics", [None, "http/dup"])
def test_path_with_a_token_is_shown_as_its_route(
    start: Start, monkeypatch: pytest.MonkeyPatch, semantics: str | None
) -> None:
    opt_in(monkeypatch, semantics)
    site = start()
    site.get(f"/auth/verify/{TOKEN.replace('7.', 'odd')}?next={TOKEN}")
    span = site.server_span()
    assert span.name == "GET /auth/verify/<token>"
    assert "kAleidoscope" not in span.to_json()


def test_method_that_is_made_up_names_its_span_http(start: Start) -> None:
    site = start()
    site.client.open("/nowhere/secret", method="JANE", buffered=True)
    assert site.server_span().name == "HTTP"


def test_path_of_a_refused_method_reaches_no_span(start: Start) -> None:
    site = start()
    assert site.client.delete("/hello/kAleidoscope", buffered=True).status_code == 405
    span = site.server_span()
    assert span.name == "DELETE"
    assert "kAleidoscope" not in span.to_json()


def test_secrets_of_an_error_reach_no_span(start: Start) -> None:
    site = start()

    def fails() -> str:
        with telemetry.span("part", note="password=hunter2"):
            raise LookupError("no account for jane@mail.example.org with token=hunter2hunter2")

    add_view(site.app, "/leaks", fails)
    site.get("/leaks")
    spans = site.spans()
    assert {span.name for span in spans} == {"part", "GET /leaks"}
    text = "".join(span.to_json() for span in spans)
    assert "LookupError" in text
    assert not [part for part in ("hunter2", "jane") if part in text]


def test_statements_are_spans_below_their_request(start: Start) -> None:
    site = start()
    site.get("/query")
    spans = site.spans()
    (server,) = (span for span in spans if span.kind is trace.SpanKind.SERVER)
    statements = [span for span in spans if span.kind is trace.SpanKind.CLIENT]
    assert "SELECT 1" in {(span.attributes or {}).get("db.statement") for span in statements}
    for span in statements:
        assert span.parent is not None
        assert span.parent.span_id == server.context.span_id


def test_span_of_our_own_is_below_its_request(start: Start) -> None:
    site = start()
    site.get("/work")
    inner, server = sorted(site.spans(), key=lambda span: span.kind is trace.SpanKind.SERVER)
    assert (inner.name, dict(inner.attributes or {})) == ("pages.render", {"slug": "x"})
    assert inner.parent is not None
    assert inner.parent.span_id == server.context.span_id


def _work() -> str:
    with telemetry.span("pages.render", slug="x"):
        return "worked"


def test_trace_continues_with_its_headers(start: Start) -> None:
    site = start()
    carried: dict[str, str] = {}

    def call() -> str:
        carried.update(telemetry.trace_headers())
        return "called"

    add_view(site.app, "/call", call)
    site.get("/call")
    server = site.server_span()
    version, trace_id, parent, flags = carried["traceparent"].split("-")
    assert version == "00"
    assert int(flags, 16) & 1  # sampled
    assert trace_id == f"{server.context.trace_id:032x}"
    assert parent == f"{server.context.span_id:016x}"
    with telemetry.span("jobs.mail", carried):
        pass
    (job,) = site.spans()
    assert job.context.trace_id == server.context.trace_id
    assert job.parent is not None
    assert job.parent.span_id == server.context.span_id


def test_unsampled_request_has_no_trace_headers(start: Start) -> None:
    site = start("always_off")
    found: list[dict[str, str]] = []
    add_view(site.app, "/call", lambda: found.append(telemetry.trace_headers()) or "called")
    site.get("/call")
    assert found == [{}]


def test_security_events_are_events_of_the_span(start: Start) -> None:
    site = start()
    site.get("/hello/x?q=<script>alert(1)</script>")
    events = [(event.name, dict(event.attributes or {})) for event in site.server_span().events]
    assert ("threat_detected", {"severity": "high"}) in events


# -- failures -------------------------------------------------------------------------------------------------------


class FailingExporter(SpanExporter):
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
def test_export_that_fails_is_counted_and_no_request_fails(start: Start, raises: bool) -> None:
    site = start(exporter=FailingExporter(raises))
    before = value(definitions.telemetry_errors.labels("trace"))
    assert site.get("/hello/x").status_code == 200
    assert process_tracer.active is not None
    process_tracer.active.processor.force_flush()
    assert value(definitions.telemetry_errors.labels("trace")) == before + 1


def test_end_of_the_process_sends_what_is_queued(start: Start) -> None:
    site = start()
    site.get("/hello/x")
    telemetry.end_process()
    assert len(site.exporter.get_finished_spans()) == 1  # type: ignore[attr-defined]


def test_metrics_of_traced_requests_are_counted_once(start: Start) -> None:
    site = start()
    site.get("/hello/x")
    with grows(definitions.http_requests.labels("GET", "/hello/<name>", "200")):
        site.get("/hello/x")


def test_production_resource_names_the_service_and_its_version(
    settings: Settings, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "host.name=one")
    site = start()
    site.get("/hello/x")
    resource = json.loads(site.server_span().to_json())["resource"]["attributes"]
    assert resource["service.name"] == "church"
    assert resource["service.version"]
    assert resource["deployment.environment"] == "development"
    assert resource["host.name"] == "one"
    assert with_settings(settings, metrics_token=SecretStr(STRONG)).metrics_token
