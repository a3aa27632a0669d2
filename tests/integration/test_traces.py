"""Real OTLP over HTTP: a collector of the tests decodes the spans of real workers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support import load
from tests.support.services_fixture import wait_until
from tests.support.site_fixture import Site

Start = Callable[..., Site]


class Collector:
    """Keeps every span it is sent."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.resources: list[dict[str, str]] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                sent = ExportTraceServiceRequest()
                sent.ParseFromString(self.rfile.read(int(self.headers["Content-Length"])))
                scopes = [scope for resource in sent.resource_spans for scope in resource.scope_spans]
                for resource in sent.resource_spans:
                    collector.resources.append({a.key: a.value.string_value for a in resource.resource.attributes})
                # All at once: a test that sees the span of a request then also sees those below it.
                collector.spans.extend([span for scope in scopes for span in scope.spans])
                self.send_response(200)
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1/traces"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def roots(self) -> list[Any]:
        return [span for span in self.spans if not span.parent_span_id]


@pytest.fixture
def collector() -> Iterator[Collector]:
    one = Collector()
    yield one
    one.server.shutdown()
    one.server.server_close()


def test_sampled_request_arrives_with_its_statements_and_its_log_record(site: Start, collector: Collector) -> None:
    one = site(
        WEB_CONCURRENCY="1",
        CHURCH_TRUSTED_PROXIES="127.0.0.1",
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=collector.url,
        OTEL_BSP_SCHEDULE_DELAY="100",
    )
    one.get("/pages/?q=backup&token=kAleidoscope-91", **{"X-Request-ID": "traced.1"})
    wait_until(lambda: any(s.name == "GET /pages/" for s in collector.spans), "the span of the request")
    root = next(s for s in collector.roots() if s.name == "GET /pages/")
    children = [s for s in collector.spans if s.parent_span_id == root.span_id]
    assert any("SELECT" in span.name for span in children)
    attributes = {a.key: a.value for a in root.attributes}
    assert attributes["church.request_id"].string_value == "traced.1"
    assert "kAleidoscope" not in str(collector.spans)
    assert collector.resources[0]["service.name"] == "church"
    wait_until(lambda: any(r.get("trace_id") == root.trace_id.hex() for r in one.records()), "its access record")
    one.get("/pages/what-this-site-is")
    wait_until(lambda: any(s.name == "content.render" for s in collector.spans), "the span of the page's text")


def test_one_request_in_ten_is_sampled_and_untrusted_traceparents_change_nothing(
    site: Start, collector: Collector
) -> None:
    one = site(
        WEB_CONCURRENCY="1",
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=collector.url,
        OTEL_TRACES_SAMPLER="parentbased_traceidratio",
        OTEL_TRACES_SAMPLER_ARG="0.1",
        OTEL_BSP_SCHEDULE_DELAY="100",
    )
    forced = f"traceparent: 00-{'ab' * 16}-{'cd' * 8}-01\r\n"
    connection = load.Connection(one.port)
    for _ in range(1000):
        assert connection.get("/health", headers=forced) == 200
    connection.close()
    one.gunicorn.terminate()
    one.gunicorn.wait(60)
    sampled = [s for s in collector.roots() if s.name == "GET /health"]
    assert 50 <= len(sampled) <= 160  # 100 is the mean; 5 standard deviations are 47
    assert "ab" * 16 not in {s.trace_id.hex() for s in collector.spans}


def test_traceparent_of_a_trusted_proxy_is_continued(site: Start, collector: Collector) -> None:
    one = site(
        WEB_CONCURRENCY="1",
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=collector.url,
        OTEL_TRACES_SAMPLER="parentbased_always_off",
        OTEL_BSP_SCHEDULE_DELAY="100",
        CHURCH_TRUSTED_PROXIES="127.0.0.1",
    )
    one.get("/health", traceparent=f"00-{'ab' * 16}-{'cd' * 8}-01")
    one.get("/robots.txt")
    wait_until(lambda: collector.spans, "the trusted trace")
    assert {(s.name, s.trace_id.hex(), s.parent_span_id.hex()) for s in collector.spans} == {
        ("GET /health", "ab" * 16, "cd" * 8)
    }


def test_collector_that_is_down_loses_spans_and_no_request(site: Start) -> None:
    one = site(
        WEB_CONCURRENCY="1",
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT="http://127.0.0.1:9/v1/traces",
        OTEL_BSP_SCHEDULE_DELAY="100",
        OTEL_EXPORTER_OTLP_TIMEOUT="1",
    )
    tally = load.run(one.port, ["/health"], 4, lambda asked: asked >= 50)
    assert tally.answers == {("/health", 200): 200}
    wait_until(lambda: one.value("telemetry_errors_total", part="trace") > 0, "the lost batch is counted")
