"""Traces of real workers: in traces.log, and by OTLP over HTTP at a collector of the tests, which decodes them."""

from __future__ import annotations

import json
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.support import load
from tests.support.services_fixture import wait_until
from tests.support.site_fixture import Site

Start = Callable[..., Site]
REQUESTS = 4_000
SERVER = Span.SPAN_KIND_SERVER


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


class UnevenSite(Site):
    """A site with ``/uneven``, which fails or is slow where its address says so."""

    def command(self, *module: str) -> list[str]:
        """The command that starts a process of the site."""
        return [*super().command(*module), *(["tests.support.uneven_site:app"] if module[0] == "gunicorn" else [])]


@pytest.fixture
def uneven(tmp_path: Path) -> Iterator[UnevenSite]:
    one = UnevenSite(tmp_path, WEB_CONCURRENCY="2")
    yield one.start()
    one.stop()


@pytest.fixture
def collector() -> Iterator[Collector]:
    one = Collector()
    yield one
    one.server.shutdown()
    one.server.server_close()


def kept(one: Site) -> list[dict[str, Any]]:
    """The records of traces.log so far."""
    file = one.logs / "traces.log"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def test_trace_is_in_the_log_and_at_the_collector_with_the_same_ids(site: Start, collector: Collector) -> None:
    one = site(
        WEB_CONCURRENCY="1",
        CHURCH_TRUSTED_PROXIES="127.0.0.1",
        CHURCH_TRACE_PATHS="/pages/",
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=collector.url,
        OTEL_BSP_SCHEDULE_DELAY="100",
        OTEL_SERVICE_NAME="parish",
    )
    one.get("/pages/?q=backup&token=kAleidoscope-91", **{"X-Request-ID": "traced.1"})
    wait_until(lambda: any(s.name == "GET /pages/" for s in collector.spans), "the span of the request")
    root = next(s for s in collector.roots() if s.name == "GET /pages/")
    attributes = {a.key: a.value for a in root.attributes}
    assert attributes["church.request_id"].string_value == "traced.1"
    assert collector.resources[0]["service.name"] == "parish"
    (trace,) = (record for record in kept(one) if record["request_id"] == "traced.1")
    assert (trace["trace_id"], trace["span_id"]) == (root.trace_id.hex(), root.span_id.hex())
    below = {s.span_id.hex(): s.name for s in collector.spans if s.trace_id == root.trace_id} | {}
    assert {span[0]: span[3] for span in trace["spans"]} == {k: v for k, v in below.items() if k != trace["span_id"]}
    assert any(name.startswith("SELECT ") for name in below.values())
    assert "kAleidoscope" not in str(collector.spans) + str(kept(one))
    wait_until(lambda: any(r.get("trace_id") == trace["trace_id"] for r in one.records()), "its access record")


def test_share_of_the_sampler_is_kept_and_untrusted_traceparents_change_nothing(
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
        assert connection.get("/robots.txt", headers=forced) == 200
    connection.close()
    one.gunicorn.terminate()
    one.gunicorn.wait(60)
    traces = [record for record in kept(one) if record["name"] == "GET /robots.txt"]
    asked = [record for record in traces if record["kept"] == "asked"]
    assert 50 <= len(asked) <= 160  # 100 is the mean; 5 standard deviations are 47
    assert len([s for s in collector.roots() if s.name == "GET /robots.txt"]) == len(traces)
    assert "ab" * 16 not in {record["trace_id"] for record in traces}


def test_traceparent_of_a_trusted_proxy_is_continued(site: Start, collector: Collector) -> None:
    one = site(
        WEB_CONCURRENCY="1",
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=collector.url,
        OTEL_BSP_SCHEDULE_DELAY="100",
        CHURCH_TRUSTED_PROXIES="127.0.0.1",
    )
    for _ in range(2):  # made by the app, then kept by the worker
        one.get("/robots.txt", traceparent=f"00-{'ab' * 16}-{'cd' * 8}-01")
    one.get("/health", traceparent=f"00-{'ab' * 16}-{'cd' * 8}-01")
    wait_until(lambda: len(collector.spans) >= 2, "the trusted traces")
    assert {(s.name, s.trace_id.hex(), s.parent_span_id.hex()) for s in collector.spans if s.kind == SERVER} == {
        ("GET /robots.txt", "ab" * 16, "cd" * 8)
    }


def test_probe_that_fails_is_kept_and_one_that_works_is_not(site: Start) -> None:
    one = site(WEB_CONCURRENCY="1")
    assert one.get("/ready")[0] == 200
    database = one.settings.instance / "church.db"
    database.rename(database.with_suffix(".away"))
    wait_until(lambda: one.get("/ready")[0] == 503, "the site is not ready")
    wait_until(lambda: kept(one), "the trace")
    assert {(record["name"], record["status"], record["kept"]) for record in kept(one)} == {
        ("GET /ready", 503, "failed")
    }


def test_each_request_that_fails_or_is_slow_has_its_whole_trace_among_thousands(uneven: UnevenSite) -> None:
    asked, odd = REQUESTS // 8, set(random.Random(11).sample(range(REQUESTS // 8), 3))
    answers: Counter[tuple[str, int]] = Counter()

    def client(number: int) -> None:
        connection = load.Connection(uneven.port)
        for turn in range(asked):
            kind = ("fails" if number % 2 else "slow") if turn in odd else "usual"
            answers[kind, connection.get(f"/uneven?{kind}", headers=f"X-Request-ID: {kind}\r\n")] += 1
        connection.close()

    threads = [threading.Thread(target=client, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {("usual", 200): 8 * (asked - 3), ("slow", 200): 12, ("fails", 500): 12}
    uneven.gunicorn.terminate()
    uneven.gunicorn.wait(60)
    whole: Counter[tuple[str, int]] = Counter()
    for trace in kept(uneven):
        names = [span[3] for span in trace.get("spans", ())]
        if trace["kind"] == "trace" and trace["name"] == "GET /uneven" and trace["duration_ms"] > 1000:
            whole["slow", len(set(names) & {"uneven.work", "SELECT users", "SELECT jobs"})] += 1
        if trace["kind"] == "trace" and trace["outcome"] == "failed":
            assert trace["error_type"] == "LookupError"
            whole["fails", len(set(names) & {"uneven.work", "SELECT users", "SELECT jobs"})] += 1
    assert whole["fails", 3] == 12
    assert whole["slow", 3] >= 12  # on a busy machine others may be slow, too
    assert {count for _kind, count in whole} == {3}
    errors = [record for record in kept(uneven) if record["kind"] == "error"]
    assert [(error["error_type"], error["route"]) for error in errors] == [("LookupError", "/uneven")] * 12


def test_collector_that_is_down_loses_spans_and_no_request(site: Start) -> None:
    one = site(
        WEB_CONCURRENCY="1",
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT="http://127.0.0.1:9/v1/traces",
        OTEL_TRACES_SAMPLER="always_on",
        OTEL_BSP_SCHEDULE_DELAY="100",
        OTEL_EXPORTER_OTLP_TIMEOUT="1",
    )
    tally = load.run(one.port, ["/robots.txt"], 4, lambda asked: asked >= 50)
    assert tally.answers == {("/robots.txt", 200): 200}
    wait_until(lambda: one.value("telemetry_lost_total", kind="export") >= 200, "the lost spans are counted")
    assert one.value("telemetry_errors_total", part="trace") > 0
