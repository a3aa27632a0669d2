"""Pages of the kept traces: lists by route, and one as a waterfall."""

from __future__ import annotations

import pytest

from church.blueprints.admin.watch.trace_view import open_trace
from tests.support.desk import AdminBrowser
from tests.support.store_rows import REQUEST, TRACE, span_of, trace_row
from tests.support.store_stand_in import StoreStandIn


def test_trace_is_a_tree_with_the_own_time_of_each_span() -> None:
    row = open_trace(
        trace_row(
            span_of("inner", 2000, 1000, parent="outer"), span_of("outer", 1000, 4000), span_of("late", 9000, 1000)
        )
    )
    spans = [(span.name, span.depth, span.own_ms, span.x, span.width) for span in row["spans"]]
    assert spans == [("outer", 1, 3.0, 10.0, 40.0), ("inner", 2, 1.0, 20.0, 10.0), ("late", 1, 1.0, 90.0, 10.0)]
    assert row["own_ms"] == 5.0


def test_trace_names_a_statement_that_repeats() -> None:
    text = {"db.query.text": "SELECT 1"}
    many = [span_of("SELECT x", at, 100, kind="CLIENT", attributes=text, id=str(at)) for at in range(0, 1700, 100)]
    (repeat,) = open_trace(trace_row(*many))["repeats"]
    assert (repeat.name, repeat.count, round(repeat.total_ms, 3)) == ("SELECT x", 17, 1.7)
    assert open_trace(trace_row(*many[:2]))["repeats"] == []


@pytest.mark.parametrize("spans", [None, "", "no JSON", "[1, 2]", '[["a", "a", "INTERNAL", "x", 0, 1, {}, "ok"]]'])
def test_trace_with_odd_spans_is_shown_without_them(spans: str | None) -> None:
    assert isinstance(open_trace(trace_row(spans=spans))["spans"], list)


def test_traces_list_leads_to_each_and_to_each_route(desk: AdminBrowser, store: StoreStandIn) -> None:
    store.give("traces.list", trace_row(error_type="LookupError", kept="failed"))
    store.give(
        "traces.routes",
        {"name": "GET /pages/", "root": "http", "count": 9, "failed": 1, "slow": 2, "p50": 3.0, "p95": 8.0, "p99": 9.9},
    )
    page = desk.get("/admin/traces?order=failed&range=7d").text
    assert f'href="/admin/traces/{TRACE}"' in page
    assert "LookupError" in page
    assert store.args_of("traces.list")["order"] == "failed"
    assert desk.get("/admin/traces?order=fastest").status_code == 400


def test_trace_page_has_its_parts_and_a_typical_one(desk: AdminBrowser, store: StoreStandIn) -> None:
    store.give("traces.get", trace_row(span_of("render", 0, 9000)), trace_row(name="job email.send", status=None))
    store.give("traces.list", trace_row(), trace_row(trace_id="f" * 32, duration_ms=2.5))
    page = desk.get(f"/admin/traces/{TRACE}").text
    assert "job email.send" in page
    assert f'<a href="/admin/traces/{"f" * 32}">typical one</a> took 2.5 ms' in page
    assert f'href="/admin/request/{REQUEST}"' in page
    assert desk.get("/admin/traces/nonsense").status_code == 404


def test_trace_that_was_dropped_says_so(desk: AdminBrowser, store: StoreStandIn) -> None:
    assert "This trace is not kept" in desk.get(f"/admin/traces/{TRACE}").text


def test_traces_without_a_store_say_how_to_start_it(desk: AdminBrowser) -> None:
    for path in ("/admin/traces", f"/admin/traces/{TRACE}"):
        assert "flask church observe" in desk.get(path).text
