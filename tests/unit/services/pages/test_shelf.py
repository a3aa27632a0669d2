"""Who looks at the content folder and when, and how other processes of the host learn of a change."""

from __future__ import annotations

import datetime as dt
import errno
import logging
import os
import sqlite3
from pathlib import Path

import pytest

from church import telemetry
from church.services.pages import folder
from church.services.pages.library import Library
from church.services.pages.shelf import Shelf
from church.services.pages.update import Update
from tests.support.clock import Clock
from tests.support.pages_fixture import write_page


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def content(tmp_path: Path) -> Path:
    (tmp_path / "content").mkdir()
    return tmp_path / "content"


def slugs(library: Library) -> list[str]:
    return [page.slug for page in library.newest(-1)]


def shared(content: Path, clock: Clock) -> Shelf:
    """A shelf of another process of the host, over the same rows."""
    return Shelf(content, drafts=False, clock=clock, instance=content.parent)


def test_shelf_scans_at_most_once_a_second(content: Path, clock: Clock) -> None:
    shelf = Shelf(content, drafts=False, clock=clock)
    assert slugs(shelf.current()) == []
    write_page(content, "new")
    clock.now += 0.9
    assert slugs(shelf.current()) == []
    clock.now += 0.2
    assert slugs(shelf.current()) == ["new"]


def test_shelf_without_file_handles_keeps_the_last_library(
    content: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = Shelf(content, drafts=False, clock=clock)
    write_page(content, "page")
    shelf.current()

    def refuse(path: str) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(folder.os, "scandir", refuse)
        clock.now += 2
        assert slugs(shelf.current()) == ["page"]
    write_page(content, "another")
    clock.now += 2
    assert slugs(shelf.current()) == ["another", "page"]


def test_shelf_logs_a_problem_once_for_each_version_of_a_file(
    content: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    shelf = Shelf(content, drafts=False, clock=clock)
    bad = write_page(content, "bad", access="x")
    with caplog.at_level(logging.WARNING, "church.pages"):
        for _ in range(3):
            shelf.current()
            clock.now += 2
        write_page(content, "good")
        shelf.current()
        assert [(r.event, r.page) for r in caplog.records] == [("pages.invalid", "bad.md")]  # type: ignore[attr-defined]
        bad.write_text(bad.read_text() + "longer")
        clock.now += 2
        shelf.current()
    assert len(caplog.records) == 2
    assert "access" in caplog.records[1].reason  # type: ignore[attr-defined]


def test_shelves_of_one_host_log_a_problem_once_together(
    content: Path, clock: Clock, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_page(content, "bad", access="x")
    shelves = [shared(content, clock) for _ in range(4)]
    shelves[0].current()  # a command: its records are in no log folder
    caplog.clear()
    monkeypatch.setattr(telemetry, "is_logging", lambda: True)
    with caplog.at_level(logging.WARNING, "church.pages"):
        for shelf in shelves[1:]:
            shelf.current()
        write_page(content, "worse", published="false")
        clock.now += 2
        for shelf in shelves[1:]:
            shelf.current()
    assert [r.page for r in caplog.records] == ["bad.md", "worse.md"]  # type: ignore[attr-defined]


def test_version_changes_at_once_for_every_process_of_the_host(content: Path, clock: Clock) -> None:
    write_page(content, "page")
    first, second = shared(content, clock), shared(content, clock)
    before = first.version()
    assert (slugs(second.current()), second.version()) == (["page"], before)
    write_page(content, "new")
    first.beat()  # it watches
    assert second.version() == before
    first.look(Update.look_at_all)
    assert second.version() == first.version() != before
    assert slugs(second.current()) == ["new", "page"]


def test_version_stays_while_nothing_changes(content: Path, clock: Clock) -> None:
    write_page(content, "page")
    before = Shelf(content, drafts=False, clock=clock, instance=content.parent).version()
    for _ in range(3):
        clock.now += 100
        assert shared(content, clock).version() == before


def test_version_changes_when_a_page_opens(content: Path, clock: Clock) -> None:
    moment = [dt.datetime(2026, 4, 30, 23, 59, tzinfo=dt.UTC)]
    write_page(content, "soon", date="2026-05-01")
    shelf = Shelf(content, drafts=False, clock=clock, now=lambda: moment[0])
    before = shelf.version()
    moment[0] += dt.timedelta(minutes=1)
    clock.now += 0.6
    assert shelf.version() != before
    assert slugs(shelf.current()) == ["soon"]


def test_shelf_that_is_watched_looks_at_nothing_until_the_watcher_is_lost(content: Path, clock: Clock) -> None:
    watcher, reader = shared(content, clock), shared(content, clock)
    watcher.current()
    watcher.beat()
    write_page(content, "page")
    clock.now += 9
    assert slugs(reader.current()) == []
    clock.now += 2
    assert slugs(reader.current()) == ["page"]
    watcher.beat()
    write_page(content, "new")
    watcher.stop_beating()
    clock.now += 1
    assert slugs(reader.current()) == ["new", "page"]


def test_shelf_that_starts_reads_no_file(content: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    write_page(content, "page")
    watcher = shared(content, clock)
    watcher.current()
    watcher.beat()
    monkeypatch.setattr(folder.os, "scandir", None)
    monkeypatch.setattr("church.services.pages.update.read_file", None)
    assert slugs(shared(content, clock).current()) == ["page"]


def test_folder_without_rows_is_read_by_the_process_that_starts_the_others(content: Path, clock: Clock) -> None:
    write_page(content, "one")
    shelf = shared(content, clock)
    shelf.is_resting = True
    shelf.prepare(60)
    assert slugs(shelf.current()) == ["one"]
    write_page(content, "two")
    shelf.prepare(60)
    assert slugs(shelf.current()) == ["one"]  # the processes that serve it see to changes


def test_large_folder_without_rows_is_read_for_so_long_at_most(content: Path, clock: Clock) -> None:
    for number in range(450):
        write_page(content, f"page-{number:03}")
    shelf = shared(content, clock)
    shelf.is_resting = True
    shelf.prepare(0)
    assert 0 < len(slugs(shelf.current())) < 450
    other = shared(content, clock)
    assert len(slugs(other.current())) == 450


def test_shelf_with_damaged_rows_makes_them_anew(content: Path, clock: Clock) -> None:
    write_page(content, "page")
    assert slugs(shared(content, clock).current()) == ["page"]
    (file,) = content.parent.glob("pages-*.db")
    file.write_bytes(b"not a database" * 1000)
    for rest in content.parent.glob("pages-*.db-*"):
        rest.unlink()
    clock.now += 10
    assert slugs(shared(content, clock).current()) == ["page"]


def test_shelf_whose_rows_were_removed_reads_the_folder_again(content: Path, clock: Clock) -> None:
    write_page(content, "page")
    shelf = shared(content, clock)
    shelf.current()
    for file in content.parent.glob("pages-*.db*"):
        file.unlink()
    write_page(content, "new")
    clock.now += 10
    assert slugs(shelf.current()) == ["new", "page"]


def test_shelf_without_a_folder_for_its_rows_keeps_them_in_memory(content: Path, clock: Clock) -> None:
    write_page(content, "page")
    shelf = Shelf(content, drafts=False, clock=clock, instance=content.parent / "none")
    assert slugs(shelf.current()) == ["page"]
    assert not shelf.rows.is_shared


def test_shelves_with_and_without_drafts_have_rows_of_their_own(content: Path, clock: Clock) -> None:
    write_page(content, "idea", draft="true")
    drafts = Shelf(content, drafts=True, clock=clock, instance=content.parent)
    assert slugs(drafts.current()) == ["idea"]
    assert slugs(shared(content, clock).current()) == []
    assert slugs(drafts.current()) == ["idea"]


def test_shelf_after_a_fork_opens_the_rows_anew(content: Path, clock: Clock) -> None:
    write_page(content, "page")
    shelf = shared(content, clock)
    shelf.current()
    connection = shelf.rows._connection
    child = os.fork()
    if not child:
        is_new = slugs(shelf.current()) == ["page"] and shelf.rows._connection is not connection
        os._exit(0 if is_new else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_update_while_another_process_updates_is_left_to_it(content: Path, clock: Clock) -> None:
    first, second = shared(content, clock), shared(content, clock)
    first.current()
    write_page(content, "page")
    with first.rows.lock() as is_ours:
        assert is_ours
        assert not second.look(Update.look_at_all)
    assert second.look(Update.look_at_all)


def test_shelf_that_cannot_write_its_rows_logs_it_and_serves_the_last(
    content: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write_page(content, "page")
    shelf = shared(content, clock)
    shelf.current()

    def refuse(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    write_page(content, "new")
    clock.now += 10
    monkeypatch.setattr("church.services.pages.rows.PageRows.write", refuse)
    with caplog.at_level(logging.ERROR, "church.pages"):
        assert slugs(shelf.current()) == ["page"]
    assert [record.event for record in caplog.records] == ["pages.rows_failed"]  # type: ignore[attr-defined]


def test_prepare_with_a_full_disk_leaves_the_folder_to_the_next_look(
    content: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    write_page(content, "page")
    with monkeypatch.context() as patch:
        patch.setattr("church.services.pages.rows.PageRows.write", refuse)
        shared(content, clock).prepare(60)
    assert slugs(shared(content, clock).current()) == ["page"]


def test_change_is_seen_by_processes_for_whose_mark_the_disk_had_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("church.lib.host.host_mark._map", lambda _file: None)
    content = tmp_path / "content"
    write_page(content, "one")
    looking, reading = (Shelf(content, drafts=False, instance=tmp_path) for _ in range(2))
    looking.refresh()
    assert reading.current().find("one")
    reading.is_resting = True
    before = reading.version()
    write_page(content, "two")
    looking.refresh()
    assert reading.current().find("two")
    assert reading.version() != before
