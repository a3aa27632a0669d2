"""The first page of the admin area."""

from __future__ import annotations

import re
from typing import Any

import pytest

from church.database import DatabaseDownError
from church.services.admin_overview import counts
from tests.support.desk import JSON, AdminBrowser


def test_overview_shows_numbers_and_parts_that_are_not_well(desk: AdminBrowser) -> None:
    page = desk.get("/admin/").text
    assert "Shared store is not responding" in page
    assert "SQLite is responding" not in page
    found = desk.get("/admin/", **JSON).json["overview"]  # type: ignore[index]
    assert found["members"] == {
        "members": 1, "verified": 1, "admins": 1, "disabled": 0, "subscriptions": 0, "new_7": 1, "new_30": 1,
    }  # fmt: skip
    assert (found["signed_in"], found["open_reports"]) == (1, 0)
    assert re.search(r'<a href="/admin/live">open chat reports</a></dt>\s*<dd>0</dd>', page)
    assert {"name": "Database", "verdict": "ok", "finding": "SQLite is responding."} in found["parts"]


def test_overview_is_shown_while_the_database_is_down(desk: AdminBrowser, monkeypatch: pytest.MonkeyPatch) -> None:
    def down(*_args: object) -> Any:
        raise DatabaseDownError

    monkeypatch.setattr(counts, "count_members", down)  # not the whole database: the admin must be recognized
    found = desk.get("/admin/")
    assert found.status_code == 200
    assert "there are no numbers" in found.text
