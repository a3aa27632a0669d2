"""What the authors of pages should know, kept by the index for the other processes and for the doctor."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from church.services.access import ANONYMOUS
from church.services.pages import search as pages_search
from church.services.pages.content import Pages, report_on_folder
from church.services.pages.page_reports import FolderReport, PageReport, check_pages, read_notices
from tests.support.pages_fixture import make_page, write_page
from tests.support.pictures import make_png
from tests.support.services_fixture import site_settings


@pytest.fixture
def content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(pages_search, "write_rows", lambda _db, rows: len(rows))
    content = tmp_path / "content"
    write_page(content, "good", "Words.")
    write_page(content, "script", "<script>x</script>")
    write_page(content, "part/missing", "![x](none.png)", access="premium")
    write_page(content, "draft", "<b onclick=x>y</b>", draft="true")
    return content


def open_pages(content: Path, **options: Any) -> Pages:
    return Pages(content, drafts=False, reports=content.parent / "reports.json", **options)


MISSING = PageReport("part/missing.md", (), ("none.png: there is no such file",))
ALL = (PageReport("draft.md", ("onclick of <b>",), ()), MISSING, PageReport("script.md", ("<script>",), ()))


def test_reports_of_an_index_are_those_of_another_process(content: Path) -> None:
    assert open_pages(content).reports() == ()
    open_pages(content).reindex(None)  # type: ignore[arg-type]  # nothing is written
    assert open_pages(content).reports() == ALL


def test_report_of_a_changed_page_is_dropped_until_it_is_rendered(content: Path) -> None:
    open_pages(content).reindex(None)  # type: ignore[arg-type]  # as above
    write_page(content, "script", "Mended by <blink>its</blink> author.")
    pages = open_pages(content)
    assert pages.reports() == ALL[:2]
    pages.reindex(None)  # type: ignore[arg-type]  # as above
    assert pages.reports() == (*ALL[:2], PageReport("script.md", ("<blink>",), ()))


def test_picture_that_comes_is_no_longer_reported_anywhere(content: Path) -> None:
    moment = [0.0]
    first, second = open_pages(content, clock=lambda: moment[0]), open_pages(content)
    first.reindex(None)  # type: ignore[arg-type]  # as above
    second.read("part/missing", ANONYMOUS, "")
    assert MISSING in second.reports()
    (content / "part" / "none.png").write_bytes(make_png(2, 2))
    moment[0] += 2
    first.reindex(None)  # type: ignore[arg-type]  # as above
    assert MISSING not in (*first.reports(), *second.reports())


def test_reports_are_written_only_if_they_changed(content: Path) -> None:
    pages, file = open_pages(content), content.parent / "reports.json"
    pages.reindex(None)  # type: ignore[arg-type]  # as above
    os.utime(file, (1, 1))
    pages.reindex(None)  # type: ignore[arg-type]  # as above
    assert file.stat().st_mtime == 1


@pytest.mark.parametrize("damage", ["", "{", "[[1]]", '[["a", "b", 1, [], []]]', "{}"])
def test_damaged_reports_are_none(tmp_path: Path, damage: str) -> None:
    file = tmp_path / "reports.json"
    file.write_text(damage)
    assert read_notices(file) == {}


def test_reports_that_cannot_be_saved_are_kept_in_memory(content: Path) -> None:
    pages = Pages(content, drafts=False, reports=content / "good.md" / "reports.json")
    pages.reindex(None)  # type: ignore[arg-type]  # as above
    assert pages.reports() == ALL


def test_folder_is_reported_without_an_app_and_without_an_index(content: Path) -> None:
    settings = site_settings(content.parent)
    assert report_on_folder(settings, 60.0) == FolderReport(ALL)


def test_folder_is_reported_as_far_as_time_allows() -> None:
    def render(_page: object) -> Any:
        raise AssertionError("no time for this")

    assert check_pages([make_page("x")], {}, render, 0.0) == FolderReport((), unchecked=1)
