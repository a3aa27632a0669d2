"""A real Prometheus scrapes the site; its totals equal what the clients counted."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.support import load
from tests.support.programs import needing, program
from tests.support.services_fixture import free_port, wait_until
from tests.support.site_fixture import Site, running

TOKEN = "scraper-" + "0123456789abcdef" * 2
INSTALL = "apt-get install prometheus"


@pytest.fixture(scope="module")
def site_with_token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Run one site for all tests, with counters from 0."""
    traced = {"OTEL_TRACES_SAMPLER": "parentbased_always_off", "CHURCH_TRACE_PATHS": "/pages/"}
    nowhere = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:9/v1/traces", "OTEL_EXPORTER_OTLP_TIMEOUT": "1"}
    with running(tmp_path_factory.mktemp("site"), METRICS_TOKEN=TOKEN, **traced, **nowhere) as one:
        yield one


@pytest.fixture
@needing("prometheus")
def prometheus(site_with_token: Site, tmp_path: Path) -> Iterator[Callable[..., list[Any]]]:
    """Run Prometheus with the README's scrape configuration. Yields a function that queries it."""
    port = free_port()
    (tmp_path / "token").write_text(TOKEN)
    config = tmp_path / "prometheus.yml"
    config.write_text(
        f"""
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - job_name: church
    authorization: {{credentials_file: {tmp_path / "token"}}}
    static_configs: [{{targets: ["127.0.0.1:{site_with_token.port}"]}}]
"""
    )
    server = subprocess.Popen(
        [
            program("prometheus"),
            f"--config.file={config}",
            f"--storage.tsdb.path={tmp_path / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=error",
            "--enable-feature=exemplar-storage",
        ]
    )

    def query(expression: str, what: str = "query", **more: float) -> list[Any]:
        query_string = urllib.parse.urlencode({"query": expression, **more})
        address = f"http://127.0.0.1:{port}/api/v1/{what}?{query_string}"
        with suppress(OSError), urllib.request.urlopen(address, timeout=30) as answer:
            data = json.load(answer)["data"]
            return data["result"] if what == "query" else data
        return []

    yield query
    server.terminate()
    server.wait(60)


def scalar(result: list[Any]) -> float | None:
    return float(result[0]["value"][1]) if result else None


def test_prometheus_scrapes_with_a_token_and_gets_the_totals(
    site_with_token: Site, prometheus: Callable[..., list[Any]]
) -> None:
    wait_until(lambda: scalar(prometheus("up")) == 1, "up is 1")
    tally = load.run(site_with_token.port, ["/", "/pages/", "/nowhere"], 4, lambda sent: sent >= 75)
    assert tally.unanswered == 0
    for path, route, status in (("/", "/", 200), ("/pages/", "/pages/", 200), ("/nowhere", "_unmatched", 404)):
        total = f'sum(http_requests_total{{route="{route}",status_code="{status}"}})'
        wait_until(lambda t=total, n=tally.answers[path, status]: scalar(prometheus(t)) == n, total)
    counted = 'sum(http_request_duration_seconds_count{route="/pages/"})'
    # After a scrape that timed out, there is no data until the next one.
    wait_until(lambda: scalar(prometheus(counted)) == tally.answers["/pages/", 200], counted)
    wait_until(lambda: scalar(prometheus("gunicorn_workers")) == 2, "both workers are counted")
    wait_until(lambda: len(prometheus("process_resident_memory_bytes")) == 2, "each tells of its memory")
    wait_until(lambda: scalar(prometheus('count({__name__=~"telemetry_.*"})')), "the telemetry tells of itself")
    now = time.time()
    exemplars = {"what": "query_exemplars", "start": now - 600, "end": now + 60}

    def traced() -> set[str]:
        found = prometheus('http_request_duration_seconds_bucket{route="/pages/"}', **exemplars)
        logged = {record["trace_id"] for record in site_with_token.records() if record.get("route") == "/pages/"}
        return logged & {e["labels"]["trace_id"] for series in found for e in series["exemplars"]}

    wait_until(traced, "an exemplar leads to a request in the log")
    assert prometheus('http_request_duration_seconds_bucket{route="/"}', **exemplars) == []  # no request was sampled


def test_error_counter_of_a_route_starts_at_zero(site_with_token: Site) -> None:
    body = site_with_token.get("/metrics", Authorization=f"Bearer {TOKEN}")[1].decode()
    for method, route, status in (("POST", "/stripe/webhook", 500), ("GET", "/video/stream/<slug>", 503)):
        assert f'http_requests_total{{method="{method}",route="{route}",status_code="{status}"}} 0.0' in body


def test_metrics_in_production_need_their_token(site_with_token: Site) -> None:
    assert site_with_token.get("/metrics")[0] == 401
    assert site_with_token.get("/metrics", Authorization="Bearer wrong-token-of-some-length")[0] == 401
    assert site_with_token.get("/metrics", Authorization=f"Bearer {TOKEN}")[0] == 200


@pytest.mark.needs("promtool")
@pytest.mark.parametrize("accept", ["text/plain", "application/openmetrics-text; version=1.0.0"])
def test_exposition_passes_promtool(site_with_token: Site, accept: str) -> None:
    load.run(site_with_token.port, ["/", "/pages/writing", "/nowhere"], 2, lambda sent: sent >= 6)
    status, body = site_with_token.get("/metrics", Accept=accept, Authorization=f"Bearer {TOKEN}")
    assert status == 200
    if "openmetrics" in accept:  # promtool reads only the older format; check the other with its own parser
        from prometheus_client.openmetrics.parser import text_string_to_metric_families

        assert {f.name for f in text_string_to_metric_families(body.decode())} >= {"http_requests", "build_info"}
        return
    checked = subprocess.run([program("promtool"), "check", "metrics"], input=body, capture_output=True, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")
