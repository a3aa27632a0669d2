"""The export of what the telemetry store keeps of a member."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from church.config import Settings
from church.services.accounts import kept_records
from church.services.accounts.kept_records import stream_export
from tests.support.helpers import with_settings
from tests.support.store_rows import NOW, error_row, log_row, trace_row
from tests.support.store_stand_in import StoreStandIn, running_stand_in

REF = "0123456789abcdef"


@pytest.fixture
def site(settings: Settings, tmp_path: Path) -> Settings:
    return with_settings(settings, instance=tmp_path)


@pytest.fixture
def store(site: Settings) -> Iterator[StoreStandIn]:
    with running_stand_in(site.instance) as stand_in:
        yield stand_in


def export(site: Settings) -> dict[str, Any]:
    found: dict[str, Any] = json.loads("".join(stream_export(site, REF, {"account": {"ref": REF}})))
    assert found["account"] == {"ref": REF}
    records: dict[str, Any] = found["records"]
    return records


def test_export_asks_for_each_table_page_by_page(site: Settings, store: StoreStandIn) -> None:
    rows = {"logs": log_row(path="/pages/nets"), "traces": trace_row(), "errors": error_row()}

    def answer(request: dict[str, Any]) -> list[dict[str, Any]]:
        args = request["args"]
        assert (request["query"], args["user_ref"]) == ("members.records", REF)
        place = args.get("before", {"ts": NOW, "seq": 3})
        row = {**rows[args["table"]], "ts": place["ts"] - 1000, "seq": place["seq"] - 1}
        return [{"rows": [row]}, {"end": {"complete": True, "more": row["seq"] > 0}}]

    store.answer_with("members.records", answer)
    found = export(site)
    assert [len(found[table]) for table in rows] == [3, 3, 3]
    assert found["logs"][0] == {
        "at": "2026-11-30T23:17:17.916+00:00", "level": "INFO", "message": "GET /pages/ 200", "event": "http.request",
        "path": "/pages/nets",
    }  # fmt: skip
    assert {"frames", "seq", "host"}.isdisjoint(found["errors"][0])
    assert found["note"] is None


def test_export_is_bounded(site: Settings, store: StoreStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_records, "_MOST", 250)
    store.give("members.records", *[log_row()] * 100, more=True)
    assert len(export(site)["logs"]) == 300
    assert store.args_of("members.records")["limit"] == 50


def test_export_without_the_store_says_so(site: Settings) -> None:
    found = export(site)
    assert (found["logs"], found["traces"], found["errors"]) == ([], [], [])
    assert "Export again later" in found["note"]


def test_export_says_so_if_the_store_fails_in_between(site: Settings, store: StoreStandIn) -> None:
    store.fail("members.records", "busy", "Too many queries.")
    assert "Export again later" in export(site)["note"]
