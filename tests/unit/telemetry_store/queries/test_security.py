"""Security events and failed sign-ins, counted by the engine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from church.telemetry_store.engine import Engine
from church.telemetry_store.queries import QUERIES
from church.telemetry_store.queries.arguments import Arguments
from church.telemetry_store.query_error import QueryError
from church.telemetry_store.tables import Row
from tests.support.telemetry_rows import START, STEP, log_rows, make_row

SPAN = {"from": START, "to": START + 100 * STEP}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    made = Engine(tmp_path_factory.mktemp("observatory"))
    yield made
    made.stop()


def ask(engine: Engine, query: str, rows: list[Row], **args: Any) -> list[dict[str, Any]]:
    """Run a query on rows that are not sealed yet."""
    plan = QUERIES[query].parse(Arguments({**SPAN, **args}))
    pieces = {"logs": [["", START, START + 100 * STEP, len(rows)]]}
    answers = engine.run("query", {"query": query, "args": plan.args, "pieces": pieces}, {"logs": rows}, plan.seconds)
    return [row for answer in answers for row in answer.get("rows", ())]


def event(number: int, kind: str, ip: str | None = "203.0.113.7", severity: str = "low", **extra: Any) -> Row:
    facts = json.dumps({"severity": severity, **extra})
    return make_row("logs", number, event=f"security.{kind}", logger="church.security", ip=ip, extra=facts)


def sign_in(
    number: int, outcome: str = "failed_credentials", ip: str = "203.0.113.7", kind: str = "login"
) -> list[Row]:
    """The record of a sign-in, and the access record of its request."""
    facts = json.dumps({"outcome": outcome})
    request = {"event": "http.request", "method": "POST", "route": "/auth/login", "status": 401, "ip": ip}
    return [
        make_row("logs", number, event=f"auth.{kind}", request_id=f"r{number}", extra=facts),
        make_row("logs", number, request_id=f"r{number}", **request),
    ]


def test_events_are_counted_by_time_type_and_severity_with_those_left_out(engine: Engine) -> None:
    rows = [
        event(1, "threat_detected", severity="high", activity_type="xss"),
        event(2, "blocked", count=40),
        event(3, "records_withheld", None, "high", event_type="threat_detected", withheld=500, addresses=3),
        event(60, "threat_detected", severity="high"),
        *log_rows(5, 20),
    ]
    assert ask(engine, "security.counts", rows, buckets=2) == [
        {"at": START, "type": "blocked", "severity": "low", "count": 40},
        {"at": START, "type": "threat_detected", "severity": "high", "count": 501},
        {"at": START + 50 * STEP, "type": "threat_detected", "severity": "high", "count": 1},
    ]


def test_failed_sign_ins_are_counted_by_time_and_outcome(engine: Engine) -> None:
    rows = [
        *sign_in(1),
        *sign_in(2),
        *sign_in(3, "success"),
        *sign_in(4, "failed_throttled"),
        *sign_in(60, kind="token"),
    ]
    rows += sign_in(61, kind="registration")
    assert ask(engine, "security.sign_ins", rows, buckets=2) == [
        {"at": START, "outcome": "failed_credentials", "count": 2},
        {"at": START, "outcome": "failed_throttled", "count": 1},
        {"at": START + 50 * STEP, "outcome": "failed_credentials", "count": 1},
    ]


def test_addresses_have_their_events_and_failed_sign_ins_and_most_come_first(engine: Engine) -> None:
    rows = [
        event(1, "blocked", "198.51.100.9", count=40),
        event(2, "threat_detected"),
        event(3, "invalid_token"),
        event(4, "records_withheld", None, event_type="blocked", withheld=5),
        *sign_in(5),
        *sign_in(6, "success"),
        *sign_in(7, ip="2001:db8::1"),
        *log_rows(8, 5, ip="192.0.2.1"),
    ]
    found = ask(engine, "security.addresses", rows)
    assert (
        found
        == [
            {
                "ip": "198.51.100.9",
                "events": 40,
                "failed_sign_ins": 0,
                "last": START + STEP,
                "types": ["blocked"],
            },
            {
                "ip": "203.0.113.7",
                "events": 2,
                "failed_sign_ins": 1,
                "last": START + 5 * STEP,
                "types": ["invalid_token", "threat_detected"],
            },
            {"ip": "2001:db8::1", "events": 0, "failed_sign_ins": 1, "last": START + 7 * STEP, "types": []},
        ]
        or found[2]["types"] is None
    )
    assert [row["ip"] for row in ask(engine, "security.addresses", rows, top=1)] == ["198.51.100.9"]


def test_times_outside_of_the_span_are_left_out_and_nothing_is_no_error(engine: Engine) -> None:
    for query in ("security.counts", "security.sign_ins", "security.addresses"):
        assert ask(engine, query, [event(200, "blocked"), *sign_in(300)]) == []
        assert ask(engine, query, []) == []


@pytest.mark.parametrize(
    ("query", "args"),
    [("security.counts", {"buckets": 201}), ("security.addresses", {"top": 0}), ("security.sign_ins", {"ip": "x"})],
)
def test_arguments_out_of_bounds_are_refused(query: str, args: dict[str, Any]) -> None:
    with pytest.raises(QueryError):
        QUERIES[query].parse(Arguments({**SPAN, **args}))
