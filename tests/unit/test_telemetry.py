"""The verbs: one line where something happened is a counter, a record and an event, and never an exception."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from church import create_app, telemetry
from church.config import Settings
from church.observability import raise_in_tests, request_observer
from church.observability.metrics import definitions
from church.observability.verbs import Budget
from church.telemetry import StateMetric
from tests.support.helpers import add_view, captured_log, grows, with_settings

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(autouse=True)
def _all_events_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are in a second."""
    monkeypatch.setattr(telemetry, "_flood", Budget(per_second=1e9))


def test_security_event_is_counted_and_logged_with_its_fields() -> None:
    with grows(definitions.security_events.labels("path_traversal", "medium")), captured_log() as sink:
        telemetry.track_security_event("path_traversal", "medium", path="/../x")
    (record,) = sink.records
    assert record["level"] == "WARNING"
    assert record["event"] == "security.path_traversal"
    assert (record["severity"], record["path"]) == ("medium", "/../x")


def test_security_event_of_a_request_names_its_client_and_id(app: Flask) -> None:
    add_view(app, "/seen", lambda: telemetry.track_security_event("invalid_token", "medium") or "seen")
    with captured_log() as sink:
        app.test_client().get(
            "/seen", headers={"X-Request-ID": "my-id.7"}, environ_base={"REMOTE_ADDR": "203.0.113.9"}, buffered=True
        )
    record = sink.records[0]
    assert (record["event"], record["request_id"]) == ("security.invalid_token", "my-id.7")
    assert (record["ip"], record["method"]) == ("203.0.113.9", "GET")


def test_event_or_severity_that_is_unknown_is_counted_as_other() -> None:
    with grows(definitions.security_events.labels("other", "other")):
        telemetry.track_security_event("made-up-by-a-stranger", "apocalyptic")
    assert not [labels for labels in definitions.security_events._metrics if "made-up-by-a-stranger" in labels]


def test_suspicious_activity_is_counted_and_is_one_security_event() -> None:
    with (
        grows(definitions.suspicious_activity.labels("xss", "query")),
        grows(definitions.security_events.labels("threat_detected", "high")),
        captured_log() as sink,
    ):
        telemetry.track_suspicious("xss", "query", "<script>")
    (record,) = sink.records
    assert (record["activity_type"], record["source"], record["excerpt"]) == ("xss", "query", "<script>")


def test_rate_limit_is_counted_and_is_one_security_event() -> None:
    with (
        grows(definitions.rate_limit_hits.labels("search")),
        grows(definitions.rate_limit_hits.labels("other")),
        grows(definitions.security_events.labels("rate_limit_exceeded", "low"), by=2),
    ):
        telemetry.track_rate_limit("search")
        telemetry.track_rate_limit("made-up")


@pytest.mark.parametrize("kind", ["registration", "login", "logout", "token", "reset", "websocket"])
def test_attempts_of_every_type_and_outcome_are_there_at_zero(kind: str) -> None:
    for outcome in (
        "success",
        *(f"failed_{how}" for how in ("validation", "exists", "credentials", "throttled", "error")),
    ):
        assert (kind, outcome) in definitions.auth_attempts._metrics


@pytest.mark.parametrize("limit", ["login", "login_account"])
def test_limit_of_logins_is_one_security_event_of_its_own(limit: str) -> None:
    with (
        grows(definitions.rate_limit_hits.labels(limit)),
        grows(definitions.security_events.labels("login_throttled", "medium")),
        grows(definitions.security_events.labels("rate_limit_exceeded", "low"), by=0),
        captured_log() as sink,
    ):
        telemetry.track_rate_limit(limit)
    (record,) = sink.records
    assert (record["event"], record["severity"], record["limit"]) == ("security.login_throttled", "medium", limit)


@pytest.mark.parametrize(
    ("told", "counted"),
    [
        (("page", "premium", "teaser"), ("page", "premium", "teaser")),
        (("page", "members", "granted"), ("page", "members", "granted")),
        (("page", "unknown", "not_found"), ("page", "other", "not_found")),
        (("film", "secret", "burnt"), ("other", "other", "other")),
    ],
)
def test_content_access_is_counted_by_bounded_labels(told: tuple[str, str, str], counted: tuple[str, str, str]) -> None:
    with grows(definitions.content_access.labels(*counted)):
        telemetry.track_content_access(*told)


def test_error_of_telemetry_is_counted_by_its_part() -> None:
    with grows(definitions.telemetry_errors.labels("log")), grows(definitions.telemetry_errors.labels("other")):
        telemetry.track_error("log")
        telemetry.track_error("made-up")


VERBS = [
    (telemetry.track_security_event, ("invalid_token", "low")),
    (telemetry.track_suspicious, ("xss", "query", "x")),
    (telemetry.track_rate_limit, ("page",)),
    (telemetry.track_content_access, ("page", "public", "granted")),
]


@pytest.mark.parametrize(("verb", "arguments"), VERBS)
def test_verb_that_fails_is_counted_and_breaks_nothing(
    monkeypatch: pytest.MonkeyPatch, verb: Any, arguments: tuple[str, ...]
) -> None:
    class Broken:
        def labels(self, *_: str) -> Any:
            raise RuntimeError("the metric is broken")

    for name in ("security_events", "suspicious_activity", "rate_limit_hits", "content_access"):
        monkeypatch.setattr(definitions, name, Broken())
    with pytest.raises(RuntimeError, match="the metric is broken"):
        verb(*arguments)
    monkeypatch.setattr(raise_in_tests, "on", False)
    with grows(definitions.telemetry_errors.labels("verb")):
        assert verb(*arguments) is None


@pytest.mark.parametrize(("verb", "arguments"), VERBS)
def test_verb_outside_a_request_or_app_works(verb: Any, arguments: tuple[str, ...]) -> None:
    assert verb(*arguments) is None
    assert telemetry.request_id() is None
    telemetry.quiet_route()


def test_span_and_its_headers_without_tracing_are_nothing() -> None:
    with telemetry.span("work", {"traceparent": "x"}, number=1):
        assert telemetry.trace_headers() == {}


def test_state_that_is_added_is_in_the_scrape(settings: Settings) -> None:
    app = create_app(settings)
    telemetry_of_app = app.test_client()
    from church.extensions import telemetry as extension

    extension.add_state(StateMetric("own_state", "Own.", lambda: [(("x",), 3.0)], ("kind",)))
    assert 'own_state{kind="x"} 3.0' in telemetry_of_app.get("/metrics").text


def test_state_of_one_app_is_not_of_the_next(settings: Settings) -> None:
    from church.extensions import telemetry as extension

    create_app(settings)
    extension.add_state(StateMetric("own_state", "Own.", lambda: [(("x",), 3.0)], ("kind",)))
    assert "own_state" not in create_app(settings).test_client().get("/metrics").text


def test_access_record_is_not_made_above_its_level(app: Flask) -> None:
    add_view(app, "/fine", lambda: "fine")
    with captured_log(level=30) as sink:
        app.test_client().get("/fine", buffered=True)
    assert sink.lines == []


def test_telemetry_that_is_off_observes_nothing_and_still_answers(settings: Settings) -> None:
    app = create_app(with_settings(settings, telemetry=False))
    add_view(app, "/fine", lambda: str(telemetry.request_id()))
    before = {labels: child._value.get() for labels, child in definitions.http_requests._metrics.items()}
    request_observer.current.set(None)
    with captured_log() as sink:
        answer = app.test_client().get("/fine", buffered=True)
    assert answer.text == "None"
    assert "X-Request-ID" not in answer.headers
    assert sink.lines == []
    assert before == {labels: child._value.get() for labels, child in definitions.http_requests._metrics.items()}
    assert app.test_client().get("/nowhere").status_code == 404


PROCESS = """
import logging, sys
from church import telemetry
from church.config import load_settings
from church.observability.metrics import definitions, worker_files
settings = load_settings(_env_file=None)
telemetry.start_process(settings, "work")
telemetry.start_process(settings, "work")
logging.getLogger("church.test").info("between")
logging.getLogger("church.test").error("broken", extra={"event": "test.broken"})
role = worker_files.living(settings.metrics_dir)[0]["role"]
print(worker_files.SLOTS.number, role, definitions.telemetry_corrupt_files._value.get())
telemetry.end_process()
logging.getLogger("church.test").info("after the end")
"""


def test_process_takes_a_slot_counts_its_damage_and_writes_its_logs(tmp_path: Path) -> None:
    folder = tmp_path / "instance" / "metrics"
    folder.mkdir(parents=True)
    (folder / "counter_slot0.db").write_bytes(b"garbage, garbage")
    places = {"CHURCH_INSTANCE": str(tmp_path / "instance"), "CHURCH_LOG_DIR": str(tmp_path / "logs")}
    done = subprocess.run(
        [sys.executable, "-c", PROCESS],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **places},
        check=True,
    )
    assert done.stdout == "0 work 1.0\n"
    records = [json.loads(line) for line in (tmp_path / "logs" / "combined.log").read_text().splitlines()]
    assert [record["message"] for record in records] == ["between", "broken", "after the end"]
    assert {record["service"] for record in records} == {"church"}
    assert records[1]["event"] == "test.broken"
    errors = (tmp_path / "logs" / "error.log").read_text().splitlines()
    assert [json.loads(line)["message"] for line in errors] == ["broken"]
    assert [json.loads(line)["message"] for line in done.stderr.splitlines()] == ["between", "broken", "after the end"]
