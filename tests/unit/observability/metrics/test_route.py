"""/metrics: the requested format, complete, whatever is down."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from church import create_app
from church.config import Settings
from church.extensions import db, telemetry
from church.observability.metrics import definitions
from church.observability.metrics.route import negotiate
from church.observability.metrics.worker_files import SLOTS
from tests.support.helpers import captured_log, grows, no_slot, with_settings

PLAIN = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
OPENMETRICS_OLD = "application/openmetrics-text; version=0.0.1; charset=utf-8"
PROMETHEUS_2_42 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,"
    "text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)
PROMETHEUS_WITH_PROTOBUF = (
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6," + PROMETHEUS_3
)

JOBS = {"jobs_pending", "jobs_dead"}


@pytest.fixture
def session_folder(_metrics_slot: Path) -> Path:
    """Where this run of the tests counts."""
    return _metrics_slot


@pytest.fixture(autouse=True)
def _nothing_kept(_metrics_slot: Path) -> None:
    """Forget what the site of another test read from its database."""
    (_metrics_slot / "state.json").unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (None, PLAIN),
        ("", PLAIN),
        ("*/*", PLAIN),
        ("text/*", PLAIN),
        ("text/html", PLAIN),
        ("text/plain", PLAIN),
        ("text/plain;version=0.0.4", PLAIN),
        ("garbage", PLAIN),
        (";;;,,,==", PLAIN),
        ("application/openmetrics-text;q=high", PLAIN),
        ("\xff\xfe", PLAIN),
        ("application/openmetrics-text", OPENMETRICS),
        ("Application/OpenMetrics-Text", OPENMETRICS),
        ("application/openmetrics-text; version=1.0.0", OPENMETRICS),
        ('application/openmetrics-text; version="1.0.0"; charset=utf-8', OPENMETRICS),
        ("application/openmetrics-text;version=0.0.1", OPENMETRICS_OLD),
        ("application/openmetrics-text;version=2.0.0", PLAIN),
        ("application/openmetrics-text;version=1.0", PLAIN),
        ("application/openmetrics-text;q=0", PLAIN),
        ("application/openmetrics-text;version=1.0.0;q=0,application/openmetrics-text;version=0.0.1", OPENMETRICS_OLD),
        ("application/openmetrics-text;version=2.0.0,application/openmetrics-text;version=0.0.1", OPENMETRICS_OLD),
        ("text/plain;q=0.5,application/openmetrics-text;q=0.4", PLAIN),
        ("text/plain;q=0.4,application/openmetrics-text;q=0.5", OPENMETRICS),
        ("text/plain,application/openmetrics-text", OPENMETRICS),
        ("text/plain;version=1.0.0,application/openmetrics-text;q=0.1", OPENMETRICS),
        (PROMETHEUS_2_42, OPENMETRICS),
        (PROMETHEUS_3, OPENMETRICS),
        (PROMETHEUS_WITH_PROTOBUF, OPENMETRICS),
    ],
)
def test_format_is_the_supported_one_that_is_preferred(accept: str | None, content_type: str) -> None:
    assert negotiate(accept) == content_type


def parsed(answer: Any) -> dict[str, Any]:
    parse = parse_openmetrics if answer.mimetype == "application/openmetrics-text" else parse_text
    found = list(parse(answer.text))
    assert len({family.name for family in found}) == len(found), "a family twice"
    return {family.name: family for family in found}


@pytest.mark.parametrize("accept", ["text/plain", PROMETHEUS_2_42, PROMETHEUS_3])
def test_scrape_is_well_formed_and_whole_in_its_format(client: FlaskClient, accept: str) -> None:
    client.get("/health", buffered=True)
    answer = client.get("/metrics", headers={"Accept": accept})
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == negotiate(accept)
    families = parsed(answer)
    for name in ("http_requests", "http_request_duration_seconds", "build_info", "database_up", "process_cpu_seconds"):
        assert families[name].samples
    assert families["database_up"].samples[0].value == 1
    labels = families["build_info"].samples[0].labels
    assert set(labels) == {"version", "commit", "python"}
    assert families["gunicorn_workers"].samples[0].value == 1


def test_scrape_ends_with_one_eof_in_openmetrics_and_none_in_text(client: FlaskClient) -> None:
    openmetrics = client.get("/metrics", headers={"Accept": PROMETHEUS_3}).text
    assert openmetrics.endswith("\n# EOF\n")
    assert openmetrics.count("# EOF") == 1
    plain = client.get("/metrics").text
    assert "# EOF" not in plain
    assert plain.endswith("\n")


@pytest.mark.parametrize("accept", ["text/plain", PROMETHEUS_3])
def test_scrape_of_named_metrics_has_no_other(client: FlaskClient, accept: str) -> None:
    query = {"name[]": ["telemetry_errors_total", "build_info", "no_such_metric", "process_cpu_seconds_total"]}
    answer = client.get("/metrics", query_string=query, headers={"Accept": accept})
    assert set(parsed(answer)) == {"telemetry_errors", "build_info", "process_cpu_seconds"}
    nothing = client.get("/metrics", query_string={"name[]": "no_such_metric"}, headers={"Accept": accept})
    assert parsed(nothing) == {}


def test_scrape_has_label_sets_that_alerts_read_at_zero(client: FlaskClient) -> None:
    families = parsed(client.get("/metrics"))
    events = {(s.labels["event_type"], s.labels["severity"]) for s in families["security_events"].samples}
    assert set(definitions.SECURITY_EVENTS.items()) <= events
    assert ("invalid_token", "critical") not in events
    sources = {s.labels["source"] for s in families["suspicious_activity"].samples}
    assert sources == {"path", "query", "header", "form", "json", "websocket"}
    limits = {s.labels["limit"] for s in families["rate_limit_hits"].samples}
    assert limits - {"other"} == set(definitions.LIMITS)  # test_verbs.py counts an unknown limit as other
    assert {s.labels["part"] for s in families["telemetry_errors"].samples} >= set(definitions.TELEMETRY_PARTS)


def test_request_histogram_has_a_bucket_at_three_hundred_milliseconds(client: FlaskClient) -> None:
    client.get("/health", buffered=True)
    samples = parsed(client.get("/metrics"))["http_request_duration_seconds"].samples
    assert "0.3" in {sample.labels.get("le") for sample in samples}


def test_scrape_without_a_database_answers_with_the_rest(app: Flask, settings: Settings, session_folder: Path) -> None:
    client = app.test_client()
    assert "jobs_pending" in parsed(client.get("/metrics"))
    with app.app_context():
        db.dispose()
    for path in settings.instance.glob("church.db*"):
        path.unlink()
    (session_folder / "state.json").unlink()
    rows = {metric.name for metric in telemetry.state.metrics if metric.shared}
    with grows(definitions.telemetry_errors.labels("scrape"), by=len(rows)):
        answer = client.get("/metrics")
    assert answer.status_code == 200
    families = parsed(answer)
    assert families["database_up"].samples[0].value == 0
    assert "jobs_pending" in rows
    assert families.keys().isdisjoint(rows)
    assert "http_requests" in families


def test_scrape_measures_its_own_duration(client: FlaskClient) -> None:
    def count() -> float:
        samples = parsed(client.get("/metrics"))["telemetry_scrape_duration_seconds"].samples
        return float(next(s.value for s in samples if s.name.endswith("_count")))

    assert count() + 1 == count()


def test_scrape_logs_a_damaged_file_and_shows_the_rest(session_folder: Path, settings: Settings) -> None:
    with no_slot(session_folder):
        SLOTS.take(settings.metrics_dir, "web")
        client = create_app(settings).test_client()
        (settings.metrics_dir / "counter_slot7.db").write_bytes(b"garbage, garbage")
        with captured_log() as sink:
            assert client.get("/metrics").status_code == 200
        told = [record for record in sink.records if record["event"] == "telemetry.file_damaged"]
        assert [record["level"] for record in told] == ["WARNING"]
        assert told[0]["reason"].startswith("counter_slot7.db: claims ")


def test_scrape_without_telemetry_or_a_folder_still_answers(session_folder: Path, settings: Settings) -> None:
    with no_slot(session_folder):
        client = create_app(with_settings(settings, telemetry=False)).test_client()
        answer = client.get("/metrics")
    assert answer.status_code == 200
    assert "http_requests" not in parsed(answer)
    assert "build_info" in parsed(answer)


def test_scrape_has_values_of_the_whole_host(client: FlaskClient) -> None:
    answer = client.get("/metrics", headers={"X-Request-ID": "hunter2", "User-Agent": "hunter2"})
    assert "hunter2" not in answer.text
    assert "127.0.0.1" not in answer.text


def test_no_label_is_a_path_an_address_or_an_id(client: FlaskClient) -> None:
    for path in ("/hunter2", "/pages/hunter2", "/pages/?q=hunter2"):
        client.get(path, buffered=True)
    client.open("/", method="HUNTER2", buffered=True)
    assert "hunter2" not in client.get("/metrics").text.lower()


def test_scrape_of_post_is_refused(client: FlaskClient) -> None:
    assert client.post("/metrics").status_code in {400, 405}


def test_jobs_of_every_kind_start_at_zero(client: FlaskClient) -> None:
    found = parsed(client.get("/metrics"))
    for name in JOBS:
        assert {one.labels["kind"]: one.value for one in found[name].samples}["billing.cancel"] == 0


def test_series_names_are_those_of_the_catalogue(client: FlaskClient) -> None:
    client.get("/health", buffered=True)
    names = set(parsed(client.get("/metrics")))
    fed_in_this_process = {
        "http_requests",
        "http_request_duration_seconds",
        "http_requests_in_flight",
        "http_response_bytes",
    }
    state = {"build_info", "database_up", "store_up", "disk_free_bytes", "gunicorn_workers"} | JOBS
    process = {f"process_{n}" for n in ("cpu_seconds", "resident_memory_bytes", "open_fds", "start_time_seconds")}
    assert fed_in_this_process | state | process <= names
    assert json.dumps(sorted(names)).isascii()
