"""The page of the log records: search, filters, places in the list, and a store that does not run."""

from __future__ import annotations

import json

import pytest

from tests.support.desk import AdminBrowser
from tests.support.store_rows import NOW, REQUEST, log_row
from tests.support.store_stand_in import StoreStandIn

HOSTILE = "<script>alert(1)</script>"


def test_logs_list_records_escaped_with_ways_to_their_request(desk: AdminBrowser, store: StoreStandIn) -> None:
    extra = json.dumps({"attempt": 3})
    row = log_row(HOSTILE, level="ERROR", request_id=REQUEST, exception="Traceback…", duration_ms=12.34, extra=extra)
    store.give("logs.search", row)
    store.give("logs.facets", {"facet": "event", "value": "http.request", "count": 7})
    store.give("logs.counts", {"at": NOW, "level": "ERROR", "count": 7})
    page = desk.get("/admin/logs").text
    assert HOSTILE not in page
    assert "&lt;script&gt;" in page
    assert f'href="/admin/request/{REQUEST}"' in page
    assert 'class="log-error"' in page
    assert "<dt>attempt</dt><dd>3</dd>" in page.lower()
    assert "event=http.request" in page


def test_logs_pass_the_filters_to_the_store(desk: AdminBrowser, store: StoreStandIn) -> None:
    desk.get("/admin/logs?q=slow+page&level=WARNING&status=5xx&event=http.request&host=one&range=6h")
    args = store.args_of("logs.search")
    assert args["filters"] == {
        "text": "slow page",
        "level": "WARNING",
        "status": "5xx",
        "event": "http.request",
        "host": "one",
        "exclude_admin": True,
    }
    assert args["to"] - args["from"] == 6 * 3600 * 1_000_000
    desk.get("/admin/logs?all=1")
    assert "exclude_admin" not in store.args_of("logs.search")["filters"]
    desk.get(f"/admin/logs?request={REQUEST}")
    assert store.args_of("logs.search")["filters"] == {"request_id": REQUEST}


def test_logs_go_on_after_the_last_record(desk: AdminBrowser, store: StoreStandIn) -> None:
    store.give("logs.search", log_row(seq=9), log_row(seq=8), more=True)
    page = desk.get("/admin/logs?level=ERROR&range=24h").text
    assert f"before={NOW}.8" in page
    desk.get(f"/admin/logs?before={NOW}.8")
    assert store.args_of("logs.search")["before"] == {"ts": NOW, "seq": 8}


@pytest.mark.parametrize("place", ["1", "x.y", "-1.2", f"{10**19}.1"])
def test_logs_refuse_a_place_that_is_none(desk: AdminBrowser, store: StoreStandIn, place: str) -> None:
    assert desk.get(f"/admin/logs?before={place}").status_code == 400


def test_logs_without_a_store_say_how_to_start_it(desk: AdminBrowser) -> None:
    answer = desk.get("/admin/logs")
    assert answer.status_code == 200
    assert "flask church observe" in answer.text
    assert desk.data("/admin/logs")["store_is_down"] is True


def test_logs_show_why_the_store_has_no_answer(desk: AdminBrowser, store: StoreStandIn) -> None:
    store.fail("logs.search", "busy", "Too many questions at once. Try again in a moment.")
    assert "Too many questions at once" in desk.get("/admin/logs").text


def test_logs_refuse_what_the_store_cannot_read(desk: AdminBrowser, store: StoreStandIn) -> None:
    store.fail("logs.search", "bad_request", "filters.status must be a number.")
    assert desk.get("/admin/logs?status=abc").status_code == 400


def test_logs_around_marks_the_record(desk: AdminBrowser, store: StoreStandIn) -> None:
    store.give("logs.around", log_row("before", seq=41), log_row("this one", seq=42), log_row("after", seq=43))
    page = desk.get(f"/admin/logs/around?ts={NOW}&seq=42&host=one").text
    assert page.count('id="chosen"') == 1
    assert store.args_of("logs.around") == {"ts": NOW, "seq": 42, "host": "one", "count": 25}
    assert desk.get("/admin/logs/around").status_code == 404


def test_export_has_a_record_a_line_with_its_extra_fields(desk: AdminBrowser, store: StoreStandIn) -> None:
    store.give("logs.search", log_row("one", extra=json.dumps({"attempt": 3})), log_row("two", status=404))
    answer = desk.get("/admin/logs.jsonl?range=24h")
    assert answer.mimetype == "application/x-ndjson"
    assert "attachment" in answer.headers["Content-Disposition"]
    first, second = (json.loads(line) for line in answer.text.splitlines())
    assert (first["timestamp"], first["message"], first["attempt"]) == ("2026-11-30T23:17:17.917000Z", "one", 3)
    assert second["status"] == 404


def test_export_without_a_store_is_unavailable(desk: AdminBrowser) -> None:
    assert desk.get("/admin/logs.jsonl").status_code == 503
