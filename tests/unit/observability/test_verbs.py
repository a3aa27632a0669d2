"""The ``track_…`` functions: each is a counter, a log record and a span event, and never an exception."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from church import telemetry
from church.errors import InvalidError
from church.observability import raise_in_tests, record_budget, request_observer, verbs
from church.observability.metrics import definitions
from church.observability.record_budget import RecordBudget
from church.observability.threats import scan_text
from church.observability.traces import recorder
from church.observability.verbs import Handshake
from tests.support.helpers import BY_PROXY, add_view, captured_log, grows
from tests.support.kept_traces import KeptTraces

OPENED = Handshake("opened.1", "192.0.2.7", ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"))


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
            "/seen",
            headers={"X-Request-ID": "my-id.7"},
            environ_base={"REMOTE_ADDR": "203.0.113.9", **BY_PROXY},
            buffered=True,
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


def test_refused_connections_are_all_counted_and_are_one_record() -> None:
    with grows(definitions.security_events.labels("connections_refused", "low"), by=37), captured_log() as sink:
        telemetry.track_connections_refused("192.0.2.1", 37)
    (record,) = sink.records
    assert (record["event"], record["ip"], record["count"]) == ("security.connections_refused", "192.0.2.1", 37)


def test_refusals_of_a_blocked_address_are_all_counted_and_are_one_record() -> None:
    with grows(definitions.security_events.labels("blocked", "low"), by=37), captured_log() as sink:
        telemetry.track_blocked("192.0.2.1", 37)
    (record,) = sink.records
    assert (record["event"], record["ip"], record["count"]) == ("security.blocked", "192.0.2.1", 37)


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
    """The time of a budget of its own, to be set."""
    now = [100.0]
    monkeypatch.setattr(record_budget, "BUDGET", RecordBudget(clock=lambda: now[0]))
    return now


def _forge_webhook() -> str:
    telemetry.track_security_event("webhook_forged", "high", reason="wrong")
    return "forged"


def test_flood_of_one_address_hides_no_attack_of_another(clock: list[float], app: Flask) -> None:
    add_view(app, "/limited", lambda: telemetry.track_rate_limit("api") or "refused")
    add_view(app, "/forged", _forge_webhook)
    client = app.test_client()
    with captured_log() as sink:
        for number in range(20 * 8):  # 160 a second, and 20 forged webhooks in between
            clock[0] += 1 / 160
            client.get("/limited", environ_base={"REMOTE_ADDR": "203.0.113.5"}, buffered=True)
            if number % 8 == 0:
                client.get("/forged", environ_base={"REMOTE_ADDR": "198.51.100.7"}, buffered=True)
    events = [(record["event"], record["ip"]) for record in sink.records if record["event"].startswith("security.")]
    assert events.count(("security.webhook_forged", "198.51.100.7")) == 20
    assert events.count(("security.rate_limit_exceeded", "203.0.113.5")) == record_budget.ORDINARY.address


def test_security_events_in_a_flood_are_all_counted_and_partly_logged(clock: list[float]) -> None:
    with captured_log() as sink, grows(definitions.security_events.labels("invalid_token", "medium"), by=5_000):
        for _ in range(5_000):
            telemetry.track_security_event("invalid_token", "medium")
    assert len(sink.records) == record_budget.ORDINARY.address


def test_records_withheld_are_summed_up_once_when_their_window_ends(clock: list[float]) -> None:
    with captured_log() as sink:
        for _ in range(100):
            telemetry.track_security_event("invalid_token", "medium")
        telemetry.report_withheld()
        assert len(sink.records) == 30
        clock[0] += record_budget.WINDOW
        telemetry.report_withheld()
        telemetry.report_withheld()
    (summary,) = sink.records[30:]
    assert (summary["event"], summary["level"]) == ("security.records_withheld", "WARNING")
    facts = {name: summary[name] for name in ("event_type", "severity", "withheld", "addresses", "window_seconds")}
    assert facts == {
        "event_type": "invalid_token", "severity": "medium", "withheld": 70, "addresses": 1, "window_seconds": 60
    }  # fmt: skip


def test_records_withheld_are_summed_up_by_later_events_where_nothing_calls_each_second(
    clock: list[float], app: Flask
) -> None:
    add_view(app, "/forged", _forge_webhook)
    with captured_log() as sink:
        for _ in range(record_budget.HIGH.address + 5):
            telemetry.track_security_event("webhook_forged", "high")
        clock[0] += record_budget.WINDOW
        for _ in range(2):
            app.test_client().get("/forged", buffered=True)
    (summary,) = (record for record in sink.records if record["event"] == "security.records_withheld")
    assert summary["withheld"] == 5
    assert not {"request_id", "ip"} & set(summary)


def test_records_withheld_are_summed_up_at_the_end_of_the_process(
    clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telemetry, "_handler", None)
    with captured_log() as sink:
        for _ in range(31):
            telemetry.track_security_event("invalid_token", "medium")
        telemetry.end_process()
    assert (sink.records[-1]["event"], sink.records[-1]["withheld"]) == ("security.records_withheld", 1)


def test_malformed_requests_in_a_flood_are_all_counted_and_partly_logged(clock: list[float]) -> None:
    refused = definitions.http_requests.labels("_OTHER", definitions.UNMATCHED, "400")
    with captured_log() as sink, grows(refused, by=200):
        for _ in range(199):
            telemetry.track_refused(400, "InvalidHeader", "203.0.113.5")
        telemetry.track_refused(400, "InvalidHeader", "198.51.100.7")
        telemetry.report_withheld(everything=True)
    *refusals, summary = sink.records
    assert [record["ip"] for record in refusals] == ["203.0.113.5"] * record_budget.ORDINARY.address + ["198.51.100.7"]
    assert (summary["event_type"], summary["withheld"]) == ("malformed_request", 199 - record_budget.ORDINARY.address)


def test_refusals_of_one_live_member_take_no_record_from_another(clock: list[float]) -> None:
    with captured_log() as sink:
        for number in range(200):
            with telemetry.live_message(OPENED._replace(client="203.0.113.5"), "chat", "ada"):
                telemetry.track_rate_limit("chat")
            if number % 20 == 0:
                with telemetry.live_message(OPENED, "chat", "bob"):
                    telemetry.track_rate_limit("chat")
    addresses = [record["ip"] for record in sink.records]
    assert addresses.count("203.0.113.5") == record_budget.ORDINARY.address
    assert addresses.count(OPENED.client) == 10


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
    verbs.forget_series()
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
        (telemetry.track_delivery_items_ignored, ("alert", ["no start"]), "church.delivery"),
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


def test_live_message_is_its_own_trace_linked_to_the_handshake(kept: KeptTraces) -> None:
    with telemetry.live_message(OPENED, "chat", "ada"), telemetry.span("inner"):
        observation = request_observer.current_observation()
        assert observation is not None
        assert observation.context()["request_id"] == "opened.1"
        ids = observation.ids
    assert request_observer.current_observation() is None
    (trace,) = kept.traces
    assert (trace["root"], trace["name"], trace["outcome"]) == ("live", "live chat", "ok")
    assert ids == (trace["trace_id"], trace["span_id"])
    assert trace["links"] == [["0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"]]
    assert (trace["request_id"], trace["user_ref"]) == ("opened.1", "ada")
    ((_, parent, kind, name, *_rest),) = trace["spans"]
    assert (parent, kind, name) == (trace["span_id"], "INTERNAL", "inner")
    assert "parent_span_id" not in trace


def test_live_message_that_fails_is_kept(kept: KeptTraces) -> None:
    recorder.prepare(recorder.Rules())
    with pytest.raises(LookupError), telemetry.live_message(OPENED, "chat", "ada"):
        raise LookupError
    (trace,) = kept.traces
    assert (trace["kept"], trace["outcome"], trace["error_type"]) == ("failed", "failed", "LookupError")


def test_live_message_that_was_wrong_is_no_failure(kept: KeptTraces) -> None:
    with pytest.raises(InvalidError), telemetry.live_message(OPENED, "chat", "ada"):
        raise InvalidError
    assert [trace["outcome"] for trace in kept.traces] == ["ok"]


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
