"""The flight recorder: what a site's requests leave in traces.log, and the tuples that this is made of."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask, Response
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from werkzeug.exceptions import Gone

from church import telemetry
from church.errors import InvalidError, UnavailableError
from church.extensions import db
from church.observability.metrics import definitions
from church.observability.traces import recorder
from church.observability.traces.recorder import CLIENT, INTERNAL, Flight, Parent, Rules
from tests.support.helpers import add_view, captured_log, grows
from tests.support.kept_traces import KeptTraces, keeping_traces

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}-00"
TRUSTED = {"church.trusted": True}
COUNT = "SELECT count(*) FROM users WHERE email = :email"


@pytest.fixture
def site(app: Flask) -> Flask:
    app.config["PROPAGATE_EXCEPTIONS"] = False
    add_view(app, "/hello/<name>", lambda name: f"hello {name}", methods=["GET", "POST"])
    add_view(app, "/query", _query)
    add_view(app, "/fails", _fails)
    add_view(app, "/away", _away)
    add_view(app, "/stream", lambda: Response(_stream()))
    return app


def _query() -> str:
    with telemetry.span("outer", slug="x"), db.read() as session:
        return str(session.execute(text(COUNT), {"email": "a@b.example"}).scalar())


def _fails() -> str:
    raise LookupError("no account for jane@mail.example.org with token=hunter2hunter2")


def _away() -> str:
    raise UnavailableError


def _stream() -> Iterator[str]:
    with telemetry.span("written"):
        yield "a"


@pytest.fixture
def quiet(site: Flask, tmp_path: Path) -> Iterator[KeptTraces]:
    """Nothing is asked for but one path: else only what matters is kept."""
    with keeping_traces(tmp_path / "quiet", Rules(("/asked/",))) as made:
        yield made


# -- what is kept ------------------------------------------------------------------------------------------------------


def test_request_that_fails_is_kept_with_its_error(site: Flask, quiet: KeptTraces) -> None:
    with captured_log():
        site.test_client().get("/fails", buffered=True)
    (trace,) = quiet.traces
    assert (trace["kept"], trace["outcome"], trace["status"]) == ("failed", "failed", 500)
    assert (trace["name"], trace["method"], trace["route"]) == ("GET /fails", "GET", "/fails")
    assert trace["error_type"] == "LookupError"


def test_request_that_finds_a_service_away_is_kept(site: Flask, quiet: KeptTraces) -> None:
    site.test_client().get("/away", buffered=True)
    assert [(trace["kept"], trace["status"]) for trace in quiet.traces] == [("failed", 503)]


@pytest.mark.parametrize("path", ["/hello/x", "/nowhere/at-all", "/query"])
def test_request_that_is_ordinary_is_not_kept(site: Flask, quiet: KeptTraces, path: str) -> None:
    site.test_client().get(path, buffered=True)
    assert quiet.traces == []


def test_path_that_is_asked_for_is_kept(site: Flask, quiet: KeptTraces) -> None:
    for path in ("/asked/nowhere", "/askedonly"):
        site.test_client().get(path, buffered=True)
    assert [(trace["kept"], trace["name"]) for trace in quiet.traces] == [("asked", "GET")]


@pytest.mark.parametrize(
    ("header", "trusted", "kept"),
    [(SAMPLED, True, True), (UNSAMPLED, True, False), (SAMPLED, False, False), ("00-xyz", True, False)],
)
def test_traceparent_asks_for_a_trace_where_a_trusted_proxy_sent_it(
    header: str, trusted: bool, kept: bool, tmp_path: Path
) -> None:
    environ = {"HTTP_TRACEPARENT": header, "PATH_INFO": "/", "church.trusted": trusted}
    with keeping_traces(tmp_path, Rules()):
        flight = recorder.begin_request(environ, 0.0)
    assert flight.asked is kept
    assert (flight.parent_id == PARENT) is (trusted and header != "00-xyz")
    assert (flight.ids[0] == TRACE) is (trusted and header != "00-xyz")


def test_traceparent_is_continued_by_the_trace(site: Flask, quiet: KeptTraces) -> None:
    headers = {"traceparent": SAMPLED}
    site.test_client().get("/hello/x", headers=headers, environ_overrides=TRUSTED, buffered=True)
    assert [(trace["trace_id"], trace["parent_span_id"]) for trace in quiet.traces] == [(TRACE, PARENT)]


@pytest.mark.parametrize("path", ["/health", "/metrics"])
def test_probes_are_not_kept(site: Flask, kept: KeptTraces, path: str) -> None:
    assert site.test_client().get(path, buffered=True).status_code == 200
    assert kept.traces == []


# -- what a trace holds ------------------------------------------------------------------------------------------------


def test_statement_is_a_span_with_its_table_and_without_its_values(site: Flask, kept: KeptTraces) -> None:
    site.test_client().get("/query", buffered=True)
    (trace,) = kept.traces
    outer, statement = trace["spans"]
    assert (outer[1], outer[2], outer[3], outer[6]) == (trace["span_id"], "INTERNAL", "outer", {"slug": "x"})
    assert (statement[1], statement[2], statement[3], statement[7]) == (outer[0], "CLIENT", "SELECT users", "ok")
    assert statement[6] == {
        "db.system.name": "sqlite",
        "db.query.text": COUNT.replace(":email", "?"),
        "db.operation.name": "SELECT",
        "db.collection.name": "users",
    }
    assert 0 <= outer[4] <= statement[4] <= outer[4] + outer[5] <= trace["duration_ms"] * 1000 + 1
    assert "a@b.example" not in json.dumps(trace)


def test_statement_that_fails_is_a_failed_span(site: Flask, kept: KeptTraces) -> None:
    def view() -> str:
        with pytest.raises(OperationalError), db.read_connection() as connection:
            connection.execute(text("SELECT x FROM nowhere"))
        return "went on"

    add_view(site, "/wrong", view)
    site.test_client().get("/wrong", buffered=True)
    (trace,) = kept.traces
    ((*_, name, _start, _duration, facts, outcome),) = trace["spans"]
    assert (name, facts["error.type"], outcome) == ("SELECT nowhere", "sqlite3.OperationalError", "error")
    assert trace["outcome"] == "ok"


def test_page_has_a_span_of_its_rendering(site: Flask, kept: KeptTraces) -> None:
    site.test_client().get("/auth/login", buffered=True)
    (trace,) = kept.traces
    assert "render auth/login.html" in [span[3] for span in trace["spans"]]


def test_streamed_answer_has_the_spans_of_its_body(site: Flask, kept: KeptTraces) -> None:
    site.test_client().get("/stream", buffered=True)
    (trace,) = kept.traces
    assert [span[3] for span in trace["spans"]] == ["written"]


def test_security_events_are_events_of_the_trace(site: Flask, kept: KeptTraces) -> None:
    site.test_client().get("/hello/x?q=<script>alert(1)</script>", buffered=True)
    (trace,) = kept.traces
    assert [(name, facts) for _at, name, facts in trace["events"]] == [("threat_detected", {"severity": "high"})]


def test_trace_has_the_ids_of_its_records(site: Flask, kept: KeptTraces) -> None:
    with captured_log() as sink:
        site.test_client().get("/hello/x", buffered=True)
    (trace,), record = kept.traces, sink.records[-1]
    assert record["event"] == "http.request"
    names = ("request_id", "trace_id", "span_id")
    assert [record[name] for name in names] == [trace[name] for name in names]


def test_access_record_of_what_is_not_kept_has_no_trace(site: Flask, quiet: KeptTraces) -> None:
    with captured_log() as sink:
        site.test_client().get("/hello/x", buffered=True)
    assert "trace_id" not in sink.records[-1]
    assert quiet.traces == []


@pytest.mark.parametrize("path", ["/unsubscribe/7.kAleidoscope", "/auth/verify/kAleidoscope/x", "/hello/kAleidoscope"])
def test_path_is_in_no_trace(site: Flask, kept: KeptTraces, path: str) -> None:
    site.test_client().get(path, buffered=True)
    assert len(kept.traces) == 1
    assert "kAleidoscope" not in kept.file.read_text()


def test_secrets_reach_no_trace_and_no_error(site: Flask, kept: KeptTraces) -> None:
    def view() -> str:
        with telemetry.span("part", note="password=hunter2hunter2", password="hunter2hunter2"):
            return _fails()

    add_view(site, "/leaks", view)
    with captured_log():
        site.test_client().get("/leaks", buffered=True)
    assert (len(kept.traces), len(kept.errors)) == (1, 1)
    assert not [part for part in ("hunter2", "jane") if part in kept.file.read_text()]


def test_made_up_method_names_its_trace_http(site: Flask, kept: KeptTraces) -> None:
    site.test_client().open("/nowhere", method="JANE", buffered=True)
    assert [trace["name"] for trace in kept.traces] == ["HTTP"]


# -- spans -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def flight() -> Iterator[Flight]:
    made = Flight(0.0)
    token = recorder.current.set(made)
    yield made
    recorder.current.reset(token)


def test_spans_are_below_the_one_that_is_open(flight: Flight) -> None:
    with telemetry.span("outer"):
        flight.add(CLIENT, "first", 0.0)
        with telemetry.span("inner"):
            flight.add(CLIENT, "second", 0.0)
    flight.add(CLIENT, "third", 0.0)
    assert [(span[2], span[0]) for span in flight.spans if span] == [
        ("outer", -1),
        ("first", 0),
        ("inner", 0),
        ("second", 2),
        ("third", -1),
    ]


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (LookupError(), "LookupError"),
        (UnavailableError(), "church.errors.UnavailableError"),
        (InvalidError(), None),
        (Gone(), None),
    ],
)
def test_span_has_failed_unless_the_caller_was_wrong(flight: Flight, error: Exception, failure: str | None) -> None:
    with pytest.raises(type(error)), telemetry.span("part"):
        raise error
    assert [span[6] for span in flight.spans if span] == [failure]
    assert flight.open == -1


def test_spans_beyond_the_most_are_counted_by_name(flight: Flight) -> None:
    for _ in range(recorder.MAX_SPANS - 1):
        flight.add(CLIENT, "one", 0.0)
    with telemetry.span("last"), telemetry.span("beyond"):
        flight.add(CLIENT, "one", 0.0)
    assert len(flight.spans) == recorder.MAX_SPANS
    assert flight.dropped == {(INTERNAL, "beyond"): 1, (CLIENT, "one"): 1}


def test_names_of_spans_that_are_counted_are_bounded(flight: Flight) -> None:
    for number in range(1000):
        flight.drop(INTERNAL, f"name {number}")
    assert len(flight.dropped) <= 51
    assert sum(flight.dropped.values()) == 1000


def test_spans_that_were_counted_are_lost_telemetry(site: Flask, kept: KeptTraces) -> None:
    def view() -> str:
        for _ in range(recorder.MAX_SPANS + 7):
            with telemetry.span("often"):
                pass
        return "done"

    add_view(site, "/often", view)
    with grows(definitions.telemetry_lost.labels("span"), 7):
        site.test_client().get("/often", buffered=True)
        (trace,) = kept.traces
    assert len(trace["spans"]) == recorder.MAX_SPANS
    assert trace["dropped"] == {"often": 7}


def test_flight_that_is_over_records_nothing(flight: Flight) -> None:
    flight.over = True
    with telemetry.span("late"):
        telemetry.note_wait("queue", 0.0)
    assert flight.spans == []
    assert telemetry.traceparent() is None


def test_wait_that_was_none_is_not_recorded(flight: Flight, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry.time, "perf_counter", lambda: 10.0)
    telemetry.note_wait("database", 9.9999)
    telemetry.note_wait("database", 9.9)
    assert [(span[2], span[5]) for span in flight.spans if span] == [("queue.wait", {"church.queue": "database"})]


def test_store_call_is_a_span(flight: Flight) -> None:
    telemetry.record_store_call("GET", 0.0, None)
    telemetry.record_store_call("SET", 0.0, UnavailableError())
    assert [(span[1], span[2], span[6]) for span in flight.spans if span] == [
        (CLIENT, "store GET", None),
        (CLIENT, "store SET", "church.errors.UnavailableError"),
    ]


def test_outbound_call_is_a_client_span(flight: Flight) -> None:
    with telemetry.time_outbound("stripe", verb="POST", call="prices.create"):
        pass
    with pytest.raises(TimeoutError), telemetry.time_outbound("smtp", verb="send"):
        raise TimeoutError
    with pytest.raises(ValueError, match="card"), telemetry.time_outbound("stripe", lambda _: True, verb="POST"):
        raise ValueError("card")
    assert [(span[1], span[2], span[5]["church.outcome"], span[6]) for span in flight.spans if span] == [
        (CLIENT, "POST stripe", "success", None),
        (CLIENT, "send smtp", "timeout", "TimeoutError"),
        (CLIENT, "POST stripe", "refused", None),
    ]


# -- ids ---------------------------------------------------------------------------------------------------------------


def test_ids_are_made_once_and_differ() -> None:
    one, other = Flight(0.0), Flight(0.0)
    assert one.known_ids is None
    assert one.ids == one.ids == one.known_ids
    assert (len(one.ids[0]), len(one.ids[1])) == (32, 16)
    assert not set(one.ids) & set(other.ids)
    assert len({one.id_of(place) for place in range(-1, 500)}) == 501


@pytest.mark.parametrize("asked", [False, True])
def test_traceparent_says_whether_the_trace_was_asked_for(flight: Flight, asked: bool) -> None:
    flight.asked = asked
    with telemetry.span("queue"):
        given = telemetry.traceparent()
    assert given is not None
    assert recorder.parse_traceparent(given) == Parent(int(flight.ids[0], 16), flight.id_of(0), asked)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (SAMPLED, Parent(int(TRACE, 16), PARENT, True)),
        (f" {UNSAMPLED} ", Parent(int(TRACE, 16), PARENT, False)),
        (f"01-{TRACE}-{PARENT}-01-more", Parent(int(TRACE, 16), PARENT, True)),
        (f"00-{TRACE}-{PARENT}-01-more", None),
        (f"ff-{TRACE}-{PARENT}-01", None),
        (f"00-{'0' * 32}-{PARENT}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE.upper()}-{PARENT}-01", None),
        ("", None),
    ],
)
def test_traceparent_is_read_as_its_standard_says(header: str, expected: Parent | None) -> None:
    assert recorder.parse_traceparent(header) == expected


def test_share_is_drawn_by_the_trace_id(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    draws = iter([(1 << 64) // 4 - 1, (1 << 64) // 4, (7 << 64) + 5])
    monkeypatch.setattr(recorder.random, "getrandbits", lambda _bits: next(draws))
    with keeping_traces(tmp_path, Rules((), 0.25)):
        assert [Flight(0.0).asked for _ in range(3)] == [True, False, True]


@pytest.mark.parametrize(("parent_first", "asked"), [(True, [True, False]), (False, [False, False])])
def test_trusted_parent_decides_where_the_sampler_says_so(
    tmp_path: Path, parent_first: bool, asked: list[bool]
) -> None:
    with keeping_traces(tmp_path, Rules((), 0.0001, parent_first)):
        high = int("f" * 32, 16)
        assert [Flight(0.0, Parent(high, PARENT, sampled)).asked for sampled in (True, False)] == asked


def test_app_asks_for_the_paths_of_its_settings(app: Flask) -> None:
    assert recorder.rules == Rules(app.config["CHURCH"].trace_paths)
