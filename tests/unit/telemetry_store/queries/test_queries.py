"""Each query on rows of which some are in segments and some in memory."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from church.telemetry_store.engine import Engine
from church.telemetry_store.queries import QUERIES
from church.telemetry_store.queries.arguments import Arguments
from church.telemetry_store.queries.log_filters import parse_filters, to_function
from church.telemetry_store.tables import SEQ, Row
from tests.support.telemetry_rows import START, STEP, log_rows, make_row

SPAN = {"from": START, "to": START + 100 * STEP}
Ask = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    folder = tmp_path_factory.mktemp("observatory")
    (folder / "segments").mkdir()
    made = Engine(folder)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def ask(engine: Engine) -> Ask:
    """Run a query on ``{table: rows}``: two thirds of the rows of each table are in two segments."""
    folder, names = engine.folder / "segments", itertools.count()

    def run(query: str, tables: dict[str, list[Row]], **args: Any) -> list[dict[str, Any]]:
        plan = QUERIES[query].parse(Arguments(args))
        pieces: dict[str, list[Any]] = {}
        unsealed: dict[str, list[Row]] = {}
        for table in plan.tables:
            rows = tables.get(table, [])
            parts = [rows[0::3], rows[1::3]]
            unsealed[table], pieces[table] = rows[2::3], [["", 0, 2**62, len(rows)]]
            pieces[table] += [_seal(engine, table, part, folder / f"{next(names)}.parquet") for part in parts if part]
        task = {"query": query, "args": plan.args, "pieces": pieces}
        answers = list(engine.run("query", task, unsealed, plan.seconds))
        assert answers[-1]["end"]["complete"]
        return [row for answer in answers for row in answer.get("rows", ())]

    return run


def _seal(engine: Engine, table: str, rows: list[Row], path: Path) -> list[Any]:
    (answer,) = engine.run("seal", {"table": table, "target": str(path)}, {table: rows})
    segment = answer["segment"]
    return [str(path), segment[4], segment[5], segment[2]]


RECORDS = [
    make_row("logs", 1, level="DEBUG", message="Grüße from HERE", event="a.b", logger="church.a"),
    make_row("logs", 2, level="INFO", message="GET /admin", event="http.request", route="/admin", status=200),
    make_row("logs", 3, level="INFO", event="http.request", route="/admin/logs", status=404, method="GET"),
    make_row("logs", 4, level="INFO", event="http.request", route="/administrators", status=503, method="POST"),
    make_row(
        "logs", 5, level="WARNING", message="slow", path="/pages/Here%20it%20is", user_ref="ab12", ip="203.0.113.0"
    ),
    make_row(
        "logs", 6, level="ERROR", message="failed", exception="Traceback … in here", fingerprint="ff00ff00ff00ff00"
    ),
    make_row("logs", 7, level="CRITICAL", message="100% _wild_", request_id="r1", trace_id="t1", job_kind="email.send"),
    make_row("logs", 8, level=None, message=None, extra=json.dumps({"where": "HERE"}), host="two"),
    make_row("logs", 9, level="INFO", event="http.request", route="/metrics", status=200),
    make_row("logs", 10, level="INFO", event="http.request", route="/health", status=200),
    make_row("logs", 11, level="INFO", event="http.request", route="/api/telemetry/errors", status=204),
]
FILTERS: list[tuple[dict[str, Any], list[int]]] = [
    ({}, [*range(11, 0, -1)]),
    ({"text": "here"}, [8, 6, 5, 1]),
    ({"text": "GRÜSSE"}, []),
    ({"text": "grüße"}, [1]),
    ({"text": "100% _"}, [7]),
    ({"text": "%"}, [7, 5]),
    ({"text": "' OR 1=1 --"}, []),
    ({"level": "WARNING"}, [7, 6, 5]),
    ({"level": "DEBUG"}, [*range(11, 0, -1)]),
    ({"event": "a.b"}, [1]),
    ({"logger": "church.a"}, [1]),
    ({"route": "/admin"}, [2]),
    ({"status": "4xx"}, [3]),
    ({"status": 503}, [4]),
    ({"status": "200"}, [10, 9, 2]),
    ({"method": "POST"}, [4]),
    ({"user_ref": "ab12"}, [5]),
    ({"ip": "203.0.113.0"}, [5]),
    ({"request_id": "r1"}, [7]),
    ({"trace_id": "t1"}, [7]),
    ({"job_kind": "email.send"}, [7]),
    ({"fingerprint": "ff00ff00ff00ff00"}, [6]),
    ({"host": "two"}, [8]),
    ({"exclude_admin": True}, [8, 7, 6, 5, 4, 1]),
    ({"exclude_admin": True, "status": "5xx", "text": "x"}, []),
]


@pytest.mark.parametrize(("filters", "found"), FILTERS)
def test_search_filters_the_same_in_segments_and_in_memory(ask: Ask, filters: dict[str, Any], found: list[int]) -> None:
    rows = ask("logs.search", {"logs": RECORDS}, **SPAN, filters=filters)
    assert [row["seq"] for row in rows] == found
    wanted = to_function(parse_filters(Arguments(filters)))
    assert [row[SEQ] for row in reversed(RECORDS) if wanted(row)] == found


def test_search_keeps_to_its_span(ask: Ask) -> None:
    rows = ask("logs.search", {"logs": log_rows(0, 30)}, **{"from": START + 10 * STEP, "to": START + 12 * STEP})
    assert [row["seq"] for row in rows] == [11, 10]


@pytest.mark.parametrize("table", ["logs", "traces", "errors"])
def test_records_of_a_member_come_page_by_page(ask: Ask, table: str) -> None:
    rows = [make_row(table, seq, user_ref="ab12" if seq % 2 else "cd34") for seq in range(1, 9)]
    first = ask("members.records", {table: rows}, user_ref="ab12", table=table, limit=3)
    assert [row["seq"] for row in first] == [7, 5, 3]
    before = {"ts": first[-1]["ts"], "seq": first[-1]["seq"]}
    rest = ask("members.records", {table: rows}, user_ref="ab12", table=table, limit=3, before=before)
    assert [row["seq"] for row in rest] == [1]


def test_counts_are_by_time_and_level(ask: Ask) -> None:
    rows = [*log_rows(0, 60), *log_rows(60, 30, level="ERROR")]
    assert ask("logs.counts", {"logs": rows}, **SPAN, buckets=4) == [
        {"at": START, "level": "INFO", "count": 25},
        {"at": START + 25 * STEP, "level": "INFO", "count": 25},
        {"at": START + 50 * STEP, "level": "ERROR", "count": 15},
        {"at": START + 50 * STEP, "level": "INFO", "count": 10},
        {"at": START + 75 * STEP, "level": "ERROR", "count": 15},
    ]


def test_facets_are_the_most_frequent_values(ask: Ask) -> None:
    rows = [*log_rows(0, 9), *log_rows(9, 6, level="ERROR", status=None), *log_rows(15, 3, level="DEBUG", route="/y")]
    facets = ask("logs.facets", {"logs": rows}, **SPAN, top=2)
    assert [facet for facet in facets if facet["facet"] in {"level", "route", "status", "method"}] == [
        {"facet": "level", "value": "INFO", "count": 9},
        {"facet": "level", "value": "ERROR", "count": 6},
        {"facet": "route", "value": "/x", "count": 15},
        {"facet": "route", "value": "/y", "count": 3},
        {"facet": "status", "value": 200, "count": 12},
    ]


def test_records_around_one_are_in_order(ask: Ask) -> None:
    rows = [*log_rows(0, 20), *(make_row("logs", 100 + n, ts=START + 10 * STEP, message="same time") for n in range(3))]
    found = ask("logs.around", {"logs": rows}, ts=START + 10 * STEP, seq=101, count=3)
    assert [row["seq"] for row in found] == [9, 10, 100, 101, 102, 11, 12]


def test_request_is_found_in_all_tables_with_the_jobs_it_queued(ask: Ask) -> None:
    own = f"{START // 1000:012x}0123456789ab"
    tables = {
        "logs": [
            *log_rows(0, 9),
            make_row("logs", 20, request_id=own),
            make_row("logs", 90, request_id=own, job_id="7"),
        ],
        "traces": [make_row("traces", 19, request_id=own), make_row("traces", 1, request_id="other")],
        "errors": [make_row("errors", 21, request_id=own)],
    }
    found = [(row["table"], row["seq"]) for row in ask("requests.find", tables, request_id=own)]
    assert found == [("traces", 19), ("logs", 20), ("errors", 21), ("logs", 90)]


@pytest.mark.parametrize(
    ("given", "begin"),
    [
        (f"{START // 1000:012x}0123456789ab", START - 60_000_000),
        (f"{START // 1000:012x}0123456789ab-1", 0),
        ("ffffffffffff0123456789ab", 0),
        ("0123456789abcdef0123456789abcdef", 0),
    ],
)
def test_request_id_of_the_sites_own_leaves_out_what_is_older(given: str, begin: int) -> None:
    plan = QUERIES["requests.find"].parse(Arguments({"request_id": given}))
    assert {span[0] for span in plan.tables.values()} == {begin}


def test_id_is_resolved_to_what_it_is(ask: Ask) -> None:
    tables = {
        "logs": [
            make_row("logs", 1, request_id="12345678-abcd", ip="203.0.113.7", event="auth.login", user_ref="ab" * 8)
        ],
        "traces": [make_row("traces", 1, trace_id="ab" * 16)],
        "errors": [make_row("errors", 1, fingerprint="ab" * 8)],
        "samples": [make_row("samples", 1, name="http_requests_total")],
    }
    kinds = {
        given: [row["kind"] for row in ask("ids.resolve", tables, id=given)]
        for given in ("12345678-abcd", "203.0.113.7", "auth.login", "ab" * 16, "ab" * 8, "http_requests_total", "none")
    }
    assert kinds == {
        "12345678-abcd": ["request"],
        "203.0.113.7": ["ip"],
        "auth.login": ["event"],
        "ab" * 16: ["trace"],
        "ab" * 8: ["error", "user_ref"],
        "http_requests_total": ["metric"],
        "none": [],
    }


def _traces() -> list[Row]:
    return [
        make_row(
            "traces",
            number,
            trace_id=f"{number:032x}",
            root="http",
            name="GET /x" if number % 2 else "GET /y",
            route="/x" if number % 2 else "/y",
            outcome="failed" if number == 3 else "ok",
            kept={3: "failed", 4: "slow"}.get(number, "typical"),
            duration_ms=float(number * 37 % 11),
            spans="[]",
        )
        for number in range(1, 9)
    ]


@pytest.mark.parametrize(
    ("args", "found"),
    [
        ({}, [8, 7, 6, 5, 4, 3, 2, 1]),
        ({"order": "slowest", "limit": 3}, [8, 5, 2]),
        ({"order": "failed"}, [3]),
        ({"order": "typical", "limit": 2}, [8, 7]),
        ({"route": "/x"}, [7, 5, 3, 1]),
        ({"kept": "slow"}, [4]),
        ({"before": {"ts": START + 3 * STEP, "seq": 3}}, [2, 1]),
    ],
)
def test_traces_are_listed_in_the_order_that_is_asked_for(ask: Ask, args: dict[str, Any], found: list[int]) -> None:
    rows = ask("traces.list", {"traces": _traces()}, **SPAN, **args)
    assert [row["seq"] for row in rows] == found
    assert all("spans" not in row for row in rows)


def test_trace_has_all_its_parts_with_spans(ask: Ask) -> None:
    traces = [*_traces(), make_row("traces", 50, trace_id=f"{2:032x}", root="job", spans="[1]")]
    rows = ask("traces.get", {"traces": traces}, trace_id=f"{2:032x}")
    assert [(row["seq"], row["spans"]) for row in rows] == [(2, "[]"), (50, "[1]")]


def test_routes_of_traces_have_their_figures(ask: Ask) -> None:
    rows = ask("traces.routes", {"traces": _traces()}, **SPAN)
    assert [(row["name"], row["count"], row["failed"], row["slow"]) for row in rows] == [
        ("GET /x", 4, 1, 0),
        ("GET /y", 4, 0, 1),
    ]
    assert [(row["p50"], row["p99"]) for row in rows] == [(5.0, pytest.approx(8.91)), (6.5, pytest.approx(9.94))]


def test_routes_are_added_up_from_access_records(ask: Ask) -> None:
    rows = [
        *(
            make_row(
                "logs",
                number,
                event="http.request",
                route="/x",
                method="GET",
                status=500 if number == 7 else 404 if number < 3 else 200,
                duration_ms=float(number),
                cpu_ms=0.5,
                bytes=10,
            )
            for number in range(1, 10)
        ),
        make_row("logs", 20, event="http.request", route="/admin/logs", method="GET", status=200),
        make_row("logs", 21, event="job.done", duration_ms=9.0),
    ]
    (route,) = ask("routes.summary", {"logs": rows}, **SPAN, exclude_admin=True)
    assert route == {
        "route": "/x",
        "method": "GET",
        "count": 9,
        "errors_4xx": 2,
        "errors_5xx": 1,
        "p50": 5.0,
        "p95": pytest.approx(8.6),
        "p99": pytest.approx(8.92),
        "duration_ms": 45.0,
        "cpu_ms": 4.5,
        "bytes": 90,
    }
    assert len(ask("routes.summary", {"logs": rows}, **SPAN)) == 2


def test_visitors_are_addresses_with_a_browser_by_time_and_in_all(ask: Ask) -> None:
    def visit(number: int, ip: str, agent: str = "Firefox", **more: Any) -> Row:
        return make_row("logs", number, event="http.request", ip=ip, user_agent=agent, **{"route": "/", **more})

    rows = [
        visit(1, "192.0.2.1"),
        visit(2, "192.0.2.1"),
        visit(3, "192.0.2.1", "Chrome"),
        visit(60, "192.0.2.1"),
        visit(61, "192.0.2.2"),
        visit(62, "192.0.2.3", route="/admin/logs"),
        visit(4, "192.0.2.4", "bot"),
        visit(5, "192.0.2.5", "curl"),
        make_row("logs", 6, event="http.refused", ip="192.0.2.6", user_agent="Firefox"),
    ]
    found = ask("visitors.counts", {"logs": rows}, **SPAN, buckets=2, exclude_admin=True)
    by_time = {row["at"]: row["visitors"] for row in found}
    assert by_time == {START: 2, START + 50 * STEP: 2, None: 3}
    assert {row["visitors"] for row in ask("visitors.counts", {"logs": rows}, **SPAN, buckets=1)} == {4}
    assert ask("visitors.counts", {"logs": []}, **SPAN, buckets=1) in ([], [{"at": None, "visitors": 0}])


def _errors() -> list[Row]:
    return [
        make_row("errors", 10, fingerprint="aa", error_type="KeyError", message="old", version="1", user_ref="m1"),
        make_row("errors", 50, fingerprint="aa", error_type="KeyError", message="new", version="2", user_ref="m2"),
        make_row("errors", 51, fingerprint="aa", error_type="KeyError", message="newest", version="2", user_ref="m2"),
        make_row("errors", 20, fingerprint="bb", error_type="OSError", message="disk", frames="[]"),
    ]


def test_errors_are_grouped_the_latest_first(ask: Ask) -> None:
    first, second = ask("errors.groups", {"errors": _errors()}, **SPAN)
    counts = first.pop("counts")
    assert first == {
        "fingerprint": "aa",
        "error_type": "KeyError",
        "place": None,
        "message": "newest",
        "first": START + 10 * STEP,
        "last": START + 51 * STEP,
        "count": 3,
        "members": 2,
        "versions": ["1", "2"],
    }
    assert (len(counts), counts[2], counts[14], counts[15], sum(counts)) == (30, 1, 1, 1, 3)
    assert (second["fingerprint"], second["members"], second["versions"]) == ("bb", 0, [])


def test_occurrences_of_an_error_are_newest_first(ask: Ask) -> None:
    rows = ask("errors.get", {"errors": _errors()}, **SPAN, fingerprint="aa", limit=2)
    assert [row["message"] for row in rows] == ["newest", "new"]


def test_stacks_of_profiles_are_added_up(ask: Ask) -> None:
    rows = [
        make_row("profiles", n, process=f"web-{n % 2}", route="/x" if n < 6 else "/y", stack=f"a;{n % 3}", count=n)
        for n in range(1, 10)
    ]
    assert ask("profiles.stacks", {"profiles": rows}, **SPAN, route="/x", process="web-1") == [
        {"route": "/x", "stack": "a;2", "count": 5},
        {"route": "/x", "stack": "a;0", "count": 3},
        {"route": "/x", "stack": "a;1", "count": 1},
    ]
