"""The page of the health of each part, the content and the last errors."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask import Flask

from church.extensions import db
from church.services.admin_overview.content import ContentState
from church.services.admin_overview.health import judge_content
from church.services.pages.content import Pages
from tests.support.desk import JSON, AdminBrowser
from tests.support.pages_fixture import write_page


def test_health_shows_parts_and_errors_escaped(desk: AdminBrowser, app: Flask) -> None:
    log = app.config["CHURCH"].log_dir / "error.log"
    log.parent.mkdir(exist_ok=True)
    log.write_text('{"timestamp": "2026-11-23T10:00:00Z", "event": "e", "message": "<svg onload=x>"}\n')
    page = desk.get("/admin/health").text
    assert "<svg onload" not in page
    assert "&lt;svg onload=x&gt;" in page
    assert "Shared store is not responding" in page
    found = desk.get("/admin/health", **JSON).json["health"]  # type: ignore[index]
    assert {"name": "Database", "verdict": "ok", "finding": "SQLite is responding."} in found["parts"]
    assert found["errors"]["records"][0]["message"] == "<svg onload=x>"


def test_health_counts_many_pages_as_their_list_does() -> None:
    assert judge_content(ContentState(20_000, 0, (), 0, ())).finding == "20,000 pages."


def test_health_lists_pages_left_out_and_to_come(
    desk: AdminBrowser, app: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = tmp_path / "pages"
    write_page(content, "a-twice", access="premium", Access="public")
    for number in range(25):
        write_page(content, f"hidden{number:02}", published="false", title="<b>")
    write_page(content, "soon", title="Next & new", date="2999-05-01")
    monkeypatch.setitem(app.extensions, "pages", Pages(content, drafts=False))
    found = desk.get("/admin/health", **JSON).json["health"]  # type: ignore[index]
    part = next(part for part in found["parts"] if part["name"] == "Content")
    assert (part["verdict"], part["finding"]) == ("warn", "0 pages, 1 to come. 26 left out: see below why.")
    page = desk.get("/admin/health").text
    assert "<code>access</code> and <code>Access</code> are the same name" in page
    assert "published: false hides nothing on this site" in page
    assert "The first 20 of 26" in page
    assert "hidden24.md" not in page
    assert '<a href="/pages/soon">Next &amp; new</a>' in page
    assert "2999-05-01 00:00" in page
    assert "This page opens on" in desk.get("/pages/soon").text


def test_health_names_what_was_removed_from_pages_and_missing_pictures(
    desk: AdminBrowser, app: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = tmp_path / "pages"
    assert "Pages changed by cleaning" not in desk.get("/admin/health").text
    for number in range(22):
        write_page(content, f"page-{number:02}", "<blink onclick=x>")
    write_page(content, "trip", "![x](<s&ea.png>)")
    pages = Pages(content, drafts=True)
    monkeypatch.setitem(app.extensions, "pages", pages)
    with app.app_context():
        pages.reindex(db)
    page = desk.get("/admin/health").text
    assert page.count("&lt;blink&gt;") == 20
    assert "The first 20 of 22" in page
    assert "s&amp;ea.png: there is no such file" in page
    assert desk.get("/admin/health", **JSON).json["health"]["reports"]["changed"] == 22  # type: ignore[index]
