"""What the authors of pages should know, kept by the index for the other processes and for the doctor."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask

from church.config import Settings
from church.extensions import db
from church.services.access import ANONYMOUS
from church.services.pages.content import Pages, report_on_folder
from church.services.pages.page_reports import FolderReport, PageReport, check_pages
from tests.support.pages_fixture import make_page, write_page
from tests.support.pictures import make_png


@pytest.fixture
def site(migrated_site: Settings) -> Iterator[Settings]:
    app = Flask(__name__)
    app.config["CHURCH"] = migrated_site
    db.init_app(app)
    content = migrated_site.content
    write_page(content, "good", "Words.")
    write_page(content, "script", "<script>x</script>")
    write_page(content, "part/missing", "![x](none.png)", access="premium")
    write_page(content, "draft", "<b onclick=x>y</b>", draft="true")
    with app.app_context():
        yield migrated_site
        db.dispose()


def open_pages(site: Settings, **options: Any) -> Pages:
    return Pages(site.content, drafts=False, instance=site.instance, **options)


MISSING = PageReport("part/missing.md", (), ("none.png: there is no such file",))
ALL = (PageReport("draft.md", ("onclick of <b>",), ()), MISSING, PageReport("script.md", ("<script>",), ()))


def test_reports_of_an_index_are_those_of_another_process(site: Settings) -> None:
    assert open_pages(site).reports() == ()
    open_pages(site).reindex(db)
    assert open_pages(site).reports() == ALL


def test_report_of_a_changed_page_is_dropped_until_it_is_rendered(site: Settings) -> None:
    moment = [0.0]
    pages = open_pages(site, clock=lambda: moment[0])
    pages.reindex(db)
    write_page(site.content, "script", "Mended by <blink>its</blink> author.")
    moment[0] += 10
    assert pages.reports() == ALL[:2]
    pages.reindex(db)
    assert pages.reports() == (*ALL[:2], PageReport("script.md", ("<blink>",), ()))


def test_report_of_a_page_that_was_only_read_is_of_this_process(site: Settings) -> None:
    pages = open_pages(site)
    assert pages.read("part/missing", ANONYMOUS, "")
    assert pages.reports() == (MISSING,)
    assert open_pages(site).reports() == ()


def test_picture_that_comes_is_no_longer_reported_anywhere(site: Settings) -> None:
    moment = [0.0]
    first, second = (open_pages(site, clock=lambda: moment[0]) for _ in range(2))
    first.reindex(db)
    second.read("part/missing", ANONYMOUS, "")
    assert MISSING in second.reports()
    (site.content / "part" / "none.png").write_bytes(make_png(2, 2))
    moment[0] += 2
    first.reindex(db)
    assert MISSING not in (*first.reports(), *second.reports())


def test_reports_without_a_folder_to_keep_them_are_in_memory(site: Settings) -> None:
    pages = Pages(site.content, drafts=False, instance=site.instance / "none")
    pages.reindex(db)
    assert pages.reports() == ALL


def test_folder_is_reported_without_an_app_and_without_an_index(site: Settings) -> None:
    assert report_on_folder(site, 60.0) == FolderReport(ALL)


def test_folder_is_reported_by_the_last_index(site: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    (site.content / "part" / "missing.md").unlink()
    open_pages(site).reindex(db)
    monkeypatch.setattr("church.services.pages.content.render_page", None)
    assert report_on_folder(site, 60.0) == FolderReport((ALL[0], ALL[2]))


def test_folder_is_reported_as_far_as_time_allows() -> None:
    def render(_page: object) -> Any:
        raise AssertionError("no time for this")

    assert check_pages([make_page("x")], {}, render, 0.0) == FolderReport((), unchecked=1)
