"""The ``track_…`` functions: each is a counter, a log record and a span event, and never an exception."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from church import telemetry
from church.observability import raise_in_tests, request_observer, verbs
from church.observability.metrics import definitions
from church.observability.threats import scan_text
from church.observability.traces import process_tracer
from church.observability.traces.tracing import Tracing
from church.observability.verbs import Handshake, RecordBudget
from tests.support.helpers import add_view, captured_log, grows

OPENED = Handshake("opened.1", "192.0.2.7", ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"))


@pytest.fixture(autouse=True)
def _no_flood_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every security event is written, however many there are in a second."""
    monkeypatch.setattr(verbs, "_flood", RecordBudget(per_second=1e9))


# -- security -------------------------------------------------------------------------------------------------------


def test_security_event_is_counted_and_logged_with_its_fields() -> None:
    with grows(definitions.security_events.labels("path_traversal", "medium")), captured_log() as sink:
        telemetry.track_security_event("path_traversal", "medium", path="/../x")
    (record,) = sink.records
    assert record["level"] == "WARNING"
    assert record["event"] == "security.path_traversal"
    assert (record["severity"], record["path"]) == ("medium", "/../x")


def test_security_event_in_a_request_has_its_client_and_id(app: Flask) -> None:
    add_view(app, "/seen", lambda: telemetry.track_security_event("invalid_token", "medium") or "seen")
    with captured_log() as sink:
        app.test_client().get(
            "/seen", headers={"X-Request-ID": "my-id.7"}, environ_base={"REMOTE_ADDR": "203.0.113.9"}, buffered=True
        )
    record = sink.records[0]
    assert (record["event"], record["request_id"]) == ("security.invalid_token", "my-id.7")
    assert (record["ip"], record["method"]) == ("203.0.113.9", "GET")


def test_security_event_unknown_type_is_counted_as_other() -> None:
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


@pytest.mark.parametrize("limit", ["login", "login_account"])
def test_rate_limit_of_sign_ins_is_its_own_security_event(limit: str) -> None:
    with (
        grows(definitions.rate_limit_hits.labels(limit)),
        grows(definitions.security_events.labels("login_throttled", "medium")),
        grows(definitions.security_events.labels("rate_limit_exceeded", "low"), by=0),
        captured_log() as sink,
    ):
        telemetry.track_rate_limit(limit)
    (record,) = sink.records
    assert (record["event"], record["severity"], record["limit"]) == ("security.login_throttled", "medium", limit)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time of the budget, to be set."""
    now = [100.0]
    monkeypatch.setattr(verbs.threads, "clock", lambda: now[0])
    return now


def test_budget_gives_its_rate_and_counts_what_it_withheld(clock: list[float]) -> None:
    budget = RecordBudget(per_second=3)
    assert [budget.spend() for _ in range(5)] == [0, 0, 0, None, None]
    clock[0] += 0.34
    assert [budget.spend() for _ in range(3)] == [2, None, None]
    clock[0] += 0.34
    assert budget.spend() == 2


def test_budget_unspent_for_an_hour_holds_one_second_of_it(clock: list[float]) -> None:
    budget = RecordBudget(per_second=3)
    clock[0] += 3600
    assert [budget.spend() for _ in range(4)] == [0, 0, 0, None]


def test_security_events_in_a_flood_are_all_counted_and_partly_logged(
    clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verbs, "_flood", RecordBudget(per_second=20))
    with captured_log() as sink, grows(definitions.security_events.labels("invalid_token", "medium"), by=5_000):
        for _ in range(4_999):
            telemetry.track_security_event("invalid_token", "medium")
        clock[0] += 1
        telemetry.track_security_event("invalid_token", "medium")
    assert len(sink.records) == 21
    assert sink.records[-1]["withheld"] == 4_979
    assert all("withheld" not in record for record in sink.records[:-1])


# -- accounts and content -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["registration", "login", "logout", "token", "reset", "websocket"])
def test_auth_attempts_of_every_type_and_outcome_start_at_zero(kind: str) -> None:
    for outcome in (
        "success",
        *(f"failed_{how}" for how in ("validation", "exists", "credentials", "throttled", "error")),
    ):
        assert (kind, outcome) in definitions.auth_attempts._metrics


@pytest.mark.parametrize(
    ("given", "counted"),
    [
        (("page", "premium", "teaser"), ("page", "premium", "teaser")),
        (("page", "members", "granted"), ("page", "members", "granted")),
        (("page", "unknown", "not_found"), ("page", "other", "not_found")),
        (("film", "secret", "burnt"), ("other", "other", "other")),
    ],
)
def test_content_access_is_counted_by_bounded_labels(
    given: tuple[str, str, str], counted: tuple[str, str, str]
) -> None:
    with grows(definitions.content_access.labels(*counted)):
        telemetry.track_content_access(*given)


# -- all of them ----------------------------------------------------------------------------------------------------

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
    telemetry.leave_unobserved()


@pytest.mark.parametrize(
    ("verb", "arguments", "logger"),
    [
        (telemetry.track_security_event, ("invalid_token", "low"), "church.security"),
        (telemetry.track_suspicious, ("xss", "query", "x"), "church.security"),
        (telemetry.track_rate_limit, ("search",), "church.security"),
        (telemetry.track_auth_attempt, ("login", "success"), "church.auth"),
        (telemetry.track_content_access, ("page", "public", "granted"), "church.content"),
        (telemetry.track_stripe_webhook, ("invoice.paid", "processed"), "church.stripe"),
        (telemetry.track_deployment, ("production", "success", "release"), "church.delivery"),
        (telemetry.track_incident, ("production", "critical"), "church.delivery"),
        (telemetry.track_incident_resolution, ("production", "critical", 60.0), "church.delivery"),
        (telemetry.track_video_stream, ("other", "720p", "started"), "church.video"),
        (telemetry.track_video_transfer, (1.5, 1024), "church.video"),
        (telemetry.track_live_closed, (OPENED, "ada", 1000, "closed", 2.5), "church.live"),
    ],
)
def test_record_of_a_verb_has_the_logger_of_its_domain(
    verb: Callable[..., None], arguments: tuple[Any, ...], logger: str
) -> None:
    with captured_log(logging.DEBUG) as sink:
        verb(*arguments)
    assert [record["logger"] for record in sink.records] == [logger]


# -- live connections -----------------------------------------------------------------------------------------------


def test_live_message_is_its_own_trace_linked_to_the_handshake(monkeypatch: pytest.MonkeyPatch) -> None:
    exporter = InMemorySpanExporter()
    tracing = Tracing(exporter, {"service.name": "church"}, ())
    monkeypatch.setattr(process_tracer, "active", tracing)
    with telemetry.live_message(OPENED, "chat", "ada"), telemetry.span("inner"):
        observation = request_observer.current_observation()
        assert observation is not None
        assert observation.context()["request_id"] == "opened.1"
        ids = observation.ids
    assert request_observer.current_observation() is None
    tracing.stop()
    inner, outer = exporter.get_finished_spans()
    assert (inner.name, outer.name) == ("inner", "chat.message")
    assert inner.parent is not None
    assert outer.parent is None
    assert [f"{link.context.trace_id:032x}" for link in outer.links] == ["0af7651916cd43dd8448eb211c80319c"]
    assert ids == (f"{outer.context.trace_id:032x}", f"{outer.context.span_id:016x}")
    assert outer.attributes is not None
    assert outer.attributes["church.request_id"] == "opened.1"


def test_live_message_of_any_kind_is_counted_under_a_bounded_name() -> None:
    with grows(definitions.websocket_messages.labels("in", "other")), telemetry.live_message(OPENED, "x" * 1000, None):
        pass


def test_live_message_is_not_a_request_in_flight() -> None:
    before = definitions.http_requests_in_flight._value.get()
    with telemetry.live_message(OPENED, "chat", "ada"):
        assert definitions.http_requests_in_flight._value.get() == before
    assert definitions.http_requests_in_flight._value.get() == before


@pytest.mark.parametrize(
    ("text", "suspicious", "refused"),
    [
        ("hello there", False, False),
        ("' UNION SELECT password FROM users --", True, False),
        ("' OR 1=1 -- password", True, True),
    ],
)
def test_live_text_that_looks_like_an_attack_is_a_finding_of_the_websocket(
    text: str, suspicious: bool, refused: bool
) -> None:
    series = [definitions.suspicious_activity.labels(kind, "websocket") for kind in scan_text.ACTIVITY_TYPES]
    before = sum(child._value.get() for child in series)
    with captured_log() as sink:
        assert telemetry.track_live_text(text) is refused
    assert bool(sink.records) is suspicious
    assert "password" not in str(sink.records)
    assert (sum(child._value.get() for child in series) > before) is suspicious
