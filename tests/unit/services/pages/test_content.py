"""The pages of a content folder: reading, lists, feeds, and the job that updates the index when the folder changes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from church.config import Settings
from church.database.engines import sqlite_path
from church.extensions import db
from church.jobs.registry import find_handler, registered_schedules
from church.models.jobs import Job
from church.models.pages import PageText
from church.services import pages
from church.services.access import ANONYMOUS, Reader
from church.services.pages import file_check
from church.services.pages.content import Opening, Pages
from church.services.pages.presenters import PageView, TeaserView
from tests.support.pages_fixture import HIDDEN, small_library, write_page
from tests.support.services_fixture import site_settings, wait_until

ORIGIN = "https://church.example"


class Changes:
    """Pages of a folder that is scanned on every read, and how many changes were reported."""

    def __init__(self, content: Path, drafts: bool = False) -> None:
        self.reported = 0
        self._now = 0.0
        self.pages = Pages(content, drafts=drafts, on_change=self._report, clock=self._clock)

    def _report(self) -> None:
        self.reported += 1

    def _clock(self) -> float:
        self._now += 10
        return self._now


@pytest.fixture
def shelf(tmp_path: Path) -> Changes:
    small_library(tmp_path)
    return Changes(tmp_path)


@pytest.mark.parametrize(
    ("slug", "reader", "kind"),
    [
        ("open", ANONYMOUS, PageView),
        ("guide/first", ANONYMOUS, PageView),
        ("club", ANONYMOUS, TeaserView),
        ("club", Reader(member=True), PageView),
        ("gold", Reader(member=True), TeaserView),
        ("gold", Reader(member=True, premium=True), PageView),
        ("gold", Reader(member=True, admin=True), PageView),
        ("later", Reader(member=True, premium=True), type(None)),
        ("later", Reader(member=True, admin=True), PageView),
        ("Open", ANONYMOUS, type(None)),
        ("guide", ANONYMOUS, type(None)),
        ("open.md", ANONYMOUS, type(None)),
        ("../open", ANONYMOUS, type(None)),
        ("", ANONYMOUS, type(None)),
    ],
)
def test_read_returns_page_or_teaser_by_access(shelf: Changes, slug: str, reader: Reader, kind: type) -> None:
    found = shelf.pages.read(slug, reader, ORIGIN)
    assert type(found) is kind
    assert (HIDDEN in repr(found)) == (kind is PageView and slug in {"club", "gold"})


def test_read_neighbours_are_older_and_newer_of_all_levels(shelf: Changes) -> None:
    page = shelf.pages.read("open", ANONYMOUS, ORIGIN)
    assert isinstance(page, PageView)
    assert page.previous
    assert page.next
    assert (page.previous.slug, page.next.slug) == ("guide/first", "club")


def test_recent_is_the_six_newest(tmp_path: Path) -> None:
    for day in range(1, 9):
        write_page(tmp_path, f"p{day}", date=f"2026-01-0{day}")
    assert [card.slug for card in Changes(tmp_path).pages.recent()] == ["p8", "p7", "p6", "p5", "p4", "p3"]


def test_cards_with_a_tag_are_its_pages(shelf: Changes) -> None:
    assert [card.slug for card in shelf.pages.cards("all")] == ["gold", "club", "open"]
    assert [card.slug for card in shelf.pages.cards("wood")] == ["open"]
    assert len(shelf.pages.cards()) == 4


def test_admin_finds_drafts_first_in_lists_and_nobody_else_does(shelf: Changes) -> None:
    admin = Reader(member=True, admin=True)
    assert shelf.pages.cards(reader=admin)[0].title == "Draft: Later"
    assert len(shelf.pages.cards(reader=admin)) == len(shelf.pages.cards(reader=Reader(member=True, premium=True))) + 1
    assert shelf.pages.cards("wood", admin) == shelf.pages.cards("wood")
    draft = shelf.pages.read("later", admin, ORIGIN)
    assert isinstance(draft, PageView)
    assert (draft.previous, draft.next) == (None, None)
    assert shelf.pages.address("later", admin) == "/pages/later"
    assert shelf.pages.address("later") is None


def test_drafts_in_development_are_read_but_in_no_feed_or_sitemap(tmp_path: Path) -> None:
    small_library(tmp_path)
    pages = Changes(tmp_path, drafts=True).pages
    draft = pages.read("later", ANONYMOUS, ORIGIN)
    assert draft is not None
    assert draft.title == "Draft: Later"
    assert b"later" not in pages.feed("Site", ORIGIN).lower()
    assert "/pages/later" not in dict(pages.sitemap_entries(None, 100))


def test_feed_with_a_page_that_cannot_be_rendered_has_its_summary(
    shelf: Changes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(text: str) -> str:
        raise RecursionError

    monkeypatch.setattr("church.services.pages.render.clean_markup", fail)
    feed = shelf.pages.feed("Site", ORIGIN).decode()
    assert "How it begins" in feed
    assert "<content" not in feed


def test_problems_name_file_and_reason(tmp_path: Path) -> None:
    write_page(tmp_path, "bad", date="soon")
    (problem,) = Changes(tmp_path).pages.problems()
    assert (problem.path, problem.reason.startswith("date")) == ("bad.md", True)


def test_library_change_is_reported_once_and_the_first_scan_is_not(shelf: Changes, tmp_path: Path) -> None:
    for _ in range(3):
        shelf.pages.library()
    assert shelf.reported == 0
    write_page(tmp_path, "new")
    for _ in range(3):
        shelf.pages.library()
    assert shelf.reported == 1


def test_page_to_come_is_for_admins_alone_until_its_moment(tmp_path: Path) -> None:
    now = [datetime(2026, 4, 30, 23, 59, tzinfo=UTC)]
    write_page(tmp_path, "now", date="2026-01-01")
    write_page(tmp_path, "soon", f"Not {HIDDEN} yet.", date="2026-05-01", tags="[t]")
    reported: list[bool] = []
    clock = count(step=10)
    pages = Pages(
        tmp_path, drafts=True, on_change=lambda: reported.append(True), clock=lambda: next(clock), now=lambda: now[0]
    )

    def shown() -> set[str]:
        first = pages.read("now", ANONYMOUS, ORIGIN)
        assert isinstance(first, PageView)
        newer = {first.next.slug} if first.next else set()
        cards = {card.slug for card in (*pages.cards(), *pages.recent())} | newer
        return cards | {slug for slug in ("soon",) if f"/pages/{slug}".encode() in pages.feed("Site", ORIGIN)}

    assert shown() == {"now"}
    assert (pages.read("soon", Reader(member=True, premium=True), ORIGIN), pages.address("soon")) == (None, None)
    assert (pages.tags(), "/pages/soon" in dict(pages.sitemap_entries(None, 100))) == ((), False)
    preview = pages.read("soon", Reader(member=True, admin=True), ORIGIN)
    assert preview is not None
    assert preview.opens == datetime(2026, 5, 1, tzinfo=UTC)
    assert [card.slug for card in pages.to_come()] == ["soon"]
    assert pages.next_opening() == Opening(datetime(2026, 5, 1, tzinfo=UTC), timedelta(minutes=1))
    assert (pages.modified() < now[0].timestamp() + 10**9, reported) == (True, [])
    now[0] += timedelta(minutes=1)
    assert shown() == {"now", "soon"}
    assert pages.modified() >= now[0].timestamp()
    assert reported == [True]
    opened = pages.read("soon", ANONYMOUS, ORIGIN)
    assert isinstance(opened, PageView)
    assert opened.opens is None
    assert (pages.tags() != (), "/pages/soon" in dict(pages.sitemap_entries(None, 9)), pages.to_come()) == (
        True,
        True,
        (),
    )


def test_page_closed_by_its_file_is_closed_before_its_row_says_so(tmp_path: Path) -> None:
    now = [100.0]
    write_page(tmp_path, "page", f"Words.\n\n## Part\n\n{HIDDEN}")
    write_page(tmp_path, "gone")
    write_page(tmp_path, "draft")
    pages = Pages(tmp_path, drafts=False, clock=lambda: now[0])
    assert HIDDEN in repr(pages.read("page", ANONYMOUS, ORIGIN))
    with pages.resting():  # nobody looks at the folder
        write_page(tmp_path, "page", f"Words.\n\n## Part\n\n{HIDDEN}", access="premium")
        write_page(tmp_path, "draft", draft="true")
        (tmp_path / "gone.md").unlink()
        now[0] += 1.1
        assert HIDDEN not in repr(pages.read("page", ANONYMOUS, ORIGIN))
        assert HIDDEN in repr(pages.read("page", Reader(member=True, premium=True), ORIGIN))
        assert pages.read("gone", ANONYMOUS, ORIGIN) is None
        assert pages.read("draft", ANONYMOUS, ORIGIN) is None
        assert HIDDEN.encode() not in pages.feed("Site", ORIGIN)


def test_pages_are_confirmed_while_others_drop_what_was_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for slug in ("one", "two", "three"):
        write_page(tmp_path, slug)
    pages = Pages(tmp_path, drafts=False)
    check, (one, two, three) = pages._files, sorted(pages.library().newest(3), key=lambda page: page.title)
    check.confirm(one)
    look = file_check.run_off_hub

    def look_meanwhile(*call: Any) -> Any:
        monkeypatch.setattr(file_check, "run_off_hub", look)
        monkeypatch.setattr(file_check, "_MOST_KEPT", 0)
        check.confirm(three)  # another greenlet
        return look(*call)

    monkeypatch.setattr(file_check, "run_off_hub", look_meanwhile)
    assert check.confirm_all([one, two]) == [one, two]


def test_page_opened_by_its_file_stays_closed_until_its_row_says_so(tmp_path: Path) -> None:
    now = [100.0]
    write_page(tmp_path, "page", f"Words.\n\n## Part\n\n{HIDDEN}", access="premium")
    pages = Pages(tmp_path, drafts=False, clock=lambda: now[0])
    pages.library()
    with pages.resting():
        write_page(tmp_path, "page", f"Words.\n\n## Part\n\n{HIDDEN}")
        now[0] += 1.1
        assert isinstance(pages.read("page", ANONYMOUS, ORIGIN), TeaserView)
    now[0] += 10
    assert isinstance(pages.read("page", ANONYMOUS, ORIGIN), PageView)


def test_parts_of_the_list_follow_each_other(tmp_path: Path) -> None:
    for day in range(1, 8):
        write_page(tmp_path, f"p{day}", date=f"2026-01-0{day}", tags="[odd]" if day % 2 else "[even]")
    write_page(tmp_path, "idea", date="2026-01-04", draft="true")
    pages = Changes(tmp_path).pages
    first = pages.part(limit=3)
    second = pages.part(first.next, limit=3)
    third = pages.part(second.next, limit=3)
    assert [[card.slug for card in part.cards] for part in (first, second, third)] == [
        ["p7", "p6", "p5"],
        ["p4", "p3", "p2"],
        ["p1"],
    ]
    assert (first.previous, third.next, first.total) == (None, None, 7)
    assert pages.part(before=third.previous, limit=3) == second
    assert pages.part(before=second.previous, limit=3) == first
    assert [card.slug for card in pages.part(tag="odd", limit=2).cards] == ["p7", "p5"]
    assert pages.part(tag="odd", limit=2).total == 4
    day = datetime(2026, 1, 4, tzinfo=UTC).date()
    jumped = pages.part(from_day=day, limit=2)
    assert [card.slug for card in jumped.cards] == ["p4", "p3"]
    assert jumped.previous
    admins = pages.part(from_day=day, limit=2, reader=Reader(member=True, admin=True))
    assert ([card.slug for card in admins.cards], admins.total) == (["idea", "p4"], 8)
    with pytest.raises(ValueError, match="no key"):
        pages.part("2026-01-01")


def test_sitemap_entries_are_all_pages_in_parts(tmp_path: Path) -> None:
    for name in ("a", "b/c", "ü", "d"):
        write_page(tmp_path, name)
    write_page(tmp_path, "idea", draft="true")
    pages = Changes(tmp_path, drafts=True).pages
    first = pages.sitemap_entries(None, 3)
    rest = pages.sitemap_entries(first[-1][0], 3)
    assert [path for path, _ in (*first, *rest)] == ["/pages/a", "/pages/b/c", "/pages/d", "/pages/%C3%BC"]
    assert pages.sitemap_entries_at(2, 5) == [*first[2:], *rest]
    assert pages.sitemap_count() == 4


def site_of(settings: Settings) -> Flask:
    app = Flask(__name__)
    app.config["CHURCH"] = settings
    db.init_app(app)
    pages.init_app(app)
    return app


@pytest.fixture
def running(migrated_site: Settings) -> Iterator[Flask]:
    small_library(migrated_site.content)
    app = site_of(migrated_site)
    with app.app_context():
        yield app
        wait_until(lambda: "pages-notice" not in {t.name for t in threading.enumerate()}, "no thread is queueing")
        db.dispose()


def queued() -> list[str]:
    with db.read() as session:
        return list(session.scalars(select(Job.kind)))


def test_queue_index_twice_is_one_job_that_indexes(running: Flask) -> None:
    pages.queue_index(running)
    pages.queue_index(running)
    assert queued() == ["pages.index"]
    find_handler("pages.index")({})
    with db.read() as session:
        slugs = set(session.scalars(select(PageText.slug)))
    assert slugs == {"open", "club", "gold", "guide/first", "later"}


def test_index_job_is_queued_when_the_folder_changes(running: Flask, migrated_site: Settings) -> None:
    pages.current_pages().library()
    write_page(migrated_site.content, "new")

    def is_queued() -> bool:
        pages.current_pages().library()
        return queued() == ["pages.index"]

    wait_until(is_queued, "the index is queued")


@pytest.mark.parametrize(("minutes", "jobs_queued"), [(3, 1), (30, 0)])
def test_index_job_queues_the_next_for_a_page_that_opens_before_the_schedule(
    running: Flask, migrated_site: Settings, minutes: int, jobs_queued: int
) -> None:
    opens = datetime.now(UTC) + timedelta(minutes=minutes)
    write_page(migrated_site.content, "soon", date=opens.strftime("%Y-%m-%dT%H:%M:%SZ"))
    for _ in range(2):
        find_handler("pages.index")({})
    with db.read() as session:
        found = list(session.scalars(select(Job.run_at)))
    assert len(found) == jobs_queued
    assert all(abs(at - opens) < timedelta(seconds=30) for at in found)


def test_index_is_scheduled_every_five_minutes() -> None:
    assert registered_schedules()["pages.index"].total_seconds() == 300


def test_queue_index_without_a_database_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    app = site_of(site_settings(tmp_path, "postgresql://nobody@127.0.0.1:1/none"))
    with caplog.at_level(logging.WARNING, "church.pages"):
        pages.queue_index(app)
    assert [record.event for record in caplog.records] == ["pages.index_not_queued"]  # type: ignore[attr-defined]


def test_queue_index_before_the_migrations_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = site_settings(tmp_path)
    settings.instance.mkdir(exist_ok=True)
    sqlite_path(settings).touch()
    with caplog.at_level(logging.WARNING, "church.pages"):
        pages.queue_index(site_of(settings))
    assert [record.event for record in caplog.records] == ["pages.index_not_queued"]  # type: ignore[attr-defined]
