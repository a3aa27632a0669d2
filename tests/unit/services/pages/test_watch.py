"""The watcher of the content folder: what it sees by inotify, and without."""

from __future__ import annotations

import datetime as dt
import errno
import logging
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import pytest

from church.lib.host import inotify as lib_inotify
from church.lib.host.inotify import Event
from church.services.pages import update, watch
from church.services.pages.shelf import Shelf
from church.services.pages.watch import Watcher, start_watcher
from tests.support.pages_fixture import write_page
from tests.support.services_fixture import wait_until


class Host:
    """A watcher, and a process of the same host that reads."""

    def __init__(self, instance: Path) -> None:
        self.now = 1000.0
        self.moment = dt.datetime(2026, 4, 30, 23, 59, tzinfo=dt.UTC)
        self.changes = 0
        self.content = instance / "content"
        self.content.mkdir()
        self.watcher = Watcher(self._shelf(instance), self.clock)
        self.reader = self._shelf(instance)

    def _shelf(self, instance: Path) -> Shelf:
        return Shelf(
            self.content,
            drafts=False,
            clock=self.clock,
            now=lambda: self.moment,
            instance=instance,
            on_change=self._count,
        )

    def clock(self) -> float:
        return self.now

    def _count(self) -> None:
        self.changes += 1

    def seen(self) -> list[str]:
        """Let the watcher see what there is, and list what the reader has then."""
        self.watcher.step(0)
        return sorted(page.slug for page in self.reader.current().newest(-1))


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    host = Host(tmp_path)
    write_page(host.content, "page")
    host.watcher.begin()
    yield host
    host.watcher.close()


def test_watcher_sees_pages_that_come_change_move_and_go(host: Host) -> None:
    assert host.seen() == ["page"]
    new = write_page(host.content, "new")
    assert host.seen() == ["new", "page"]
    new.rename(host.content / "moved.md")
    assert host.seen() == ["moved", "page"]
    (host.content / "moved.md").unlink()
    assert host.seen() == ["page"]
    write_page(host.content, "page", access="premium")
    host.watcher.step(0)
    page = host.reader.current().find("page")
    assert page
    assert page.access == "premium"


def test_watcher_reads_only_the_file_that_changed(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    write_page(host.content, "other")
    host.seen()
    read: list[str] = []
    read_file = update.read_file
    monkeypatch.setattr(update, "read_file", lambda root, path: (read.append(path), read_file(root, path))[1])
    monkeypatch.setattr("church.services.pages.folder.os.scandir", None)
    page = host.content / "page.md"
    saved = host.content / ".page.md.swp"  # as editors do
    saved.write_text(page.read_text().replace("Some", "Other"))
    saved.rename(page)
    (host.content / "notes.txt").write_text("not a page")
    assert host.seen() == ["other", "page"]
    assert read == ["page.md"]


def test_watcher_says_once_that_many_files_changed(host: Host) -> None:
    before = host.changes
    for number in range(300):
        write_page(host.content, f"many/p{number}")
    assert len(host.seen()) == 301
    assert host.changes == before + 1
    host.watcher.step(0)
    assert host.changes == before + 1


def test_watcher_follows_folders_that_come_move_and_go(host: Host) -> None:
    write_page(host.content, "sub/deep/first")
    assert host.seen() == ["page", "sub/deep/first"]
    write_page(host.content, "sub/deep/second")
    assert host.seen() == ["page", "sub/deep/first", "sub/deep/second"]
    (host.content / "sub").rename(host.content / "part")
    assert host.seen() == ["page", "part/deep/first", "part/deep/second"]
    write_page(host.content, "part/deep/third")
    assert "part/deep/third" in host.seen()
    (host.content / "part").rename(host.content.parent / "elsewhere")
    assert host.seen() == ["page"]


def test_watcher_follows_links_within_the_folder(host: Host) -> None:
    """As Kubernetes lays out a ConfigMap: names at the top lead through ..data to the files of one version."""
    for version, title in (("..1", "one"), ("..2", "two")):
        write_page(host.content, f"{version}/about", title=title)
    (host.content / "..data").symlink_to("..1")
    (host.content / "about.md").symlink_to("..data/about.md")
    (host.content / "twin").symlink_to("..data")
    host.seen()
    write_page(host.content, "..1/about", title="changed")
    host.watcher.step(0)
    assert {page.title for page in host.reader.current().newest(-1)} == {"page", "changed"}
    (host.content / "..next").symlink_to("..2")
    (host.content / "..next").rename(host.content / "..data")
    host.watcher.step(0)
    assert {page.title for page in host.reader.current().newest(-1)} == {"page", "two"}


def test_watcher_follows_a_content_folder_that_is_a_link_to_another_release(tmp_path: Path) -> None:
    for release, day in (("1", "2026-01-01"), ("2", "2026-01-02")):
        os.utime(write_page(tmp_path / "releases" / release, "page", date=day), (1_700_000_000, 1_700_000_000))
    host = Host(tmp_path)
    host.content.rmdir()
    host.content.symlink_to("releases/1")
    host.watcher.begin()
    assert host.seen() == ["page"]
    (tmp_path / "next").symlink_to("releases/2")
    (tmp_path / "next").rename(host.content)
    assert host.seen() == ["page"]
    (page,) = host.reader.current().newest(-1)
    assert page.date == dt.date(2026, 1, 2)
    write_page(host.content, "new")
    assert host.seen() == ["new", "page"]
    host.watcher.close()


def test_watcher_whose_queue_overflowed_looks_at_all_files(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    def lose(self: lib_inotify.Inotify, seconds: float) -> list[Event]:
        return [Event(-1, "", is_lost=True)] if seconds == 0 else []

    write_page(host.content, "new")
    monkeypatch.setattr(lib_inotify.Inotify, "wait", lose)
    assert host.seen() == ["new", "page"]


def test_watcher_opens_a_page_at_its_moment(host: Host) -> None:
    write_page(host.content, "soon", date="2026-05-01")
    assert host.seen() == ["page"]
    host.moment += dt.timedelta(minutes=1)
    before = host.changes
    assert host.seen() == ["page", "soon"]
    assert host.changes == before + 1


def test_watcher_says_that_a_picture_changed(host: Host) -> None:
    before = host.reader.version()
    (host.content / "a.png").write_bytes(b"one")
    host.watcher.step(0)
    second = host.reader.version()
    (host.content / "a.png").write_bytes(b"other")
    host.watcher.step(0)
    assert len({before, second, host.reader.version()}) == 3


@pytest.fixture
def blind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """A host whose watcher has no inotify, as on a network file system."""
    monkeypatch.setattr(watch, "is_on_network", lambda _folder: True)
    host = Host(tmp_path)
    write_page(host.content, "page")
    os.utime(host.content, (1_700_000_000, 1_700_000_000))
    host.watcher.begin()
    yield host
    host.watcher.close()


def test_watcher_without_inotify_looks_at_the_times_of_folders(blind: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    assert blind.seen() == ["page"]
    write_page(blind.content, "new")
    blind.now += 4
    assert blind.seen() == ["page"]
    blind.now += 1
    assert blind.seen() == ["new", "page"]


def test_watcher_without_inotify_finds_a_change_in_place_by_looking_at_all_files(blind: Host) -> None:
    write_page(blind.content, "page", title="Changed in place")
    blind.now += 61
    blind.seen()
    assert [page.title for page in blind.reader.current().newest(-1)] == ["Changed in place"]


def test_watcher_looks_when_a_reader_doubts(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network file system that says that it is none."""
    write_page(host.content, "new")
    monkeypatch.setattr(lib_inotify.Inotify, "wait", lambda *_: [])
    assert host.seen() == ["page"]
    host.reader.doubt()
    assert host.seen() == ["new", "page"]


def test_watcher_looks_again_soon_after_a_change_that_it_could_not_store(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.watcher._next_all = host.now + 600  # as in a large folder
    with monkeypatch.context() as full:
        for look in ("look_at_all", "look_at_some"):
            full.setattr(update.Update, look, Mock(side_effect=sqlite3.OperationalError("database or disk is full")))
        write_page(host.content, "new")
        assert host.seen() == ["page"]
        host.now += 5
        assert host.seen() == ["page"]
    host.now += 5
    assert host.seen() == ["new", "page"]


def test_watcher_beyond_the_limit_of_watches_looks_at_the_times_of_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(self: lib_inotify.Inotify, folder: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(lib_inotify.Inotify, "watch", refuse)
    host = Host(tmp_path)
    with caplog.at_level(logging.WARNING, "church.pages"):
        host.watcher.begin()
    assert [record.event for record in caplog.records] == ["pages.watch_limit"]  # type: ignore[attr-defined]
    write_page(host.content, "page")
    host.now += 5
    assert host.seen() == ["page"]


def test_second_watcher_of_a_host_waits_and_takes_over(tmp_path: Path) -> None:
    content = tmp_path / "content"
    content.mkdir()
    shelves = [Shelf(content, drafts=False, instance=tmp_path) for _ in range(2)]
    stops = [threading.Event() for _ in shelves]
    with shelves[1].watch_lock() as is_ours:
        assert is_ours
        first = start_watcher(shelves[0], stops[0])
        stops[0].set()
        first.join(10)
        assert not first.is_alive()
        assert not shelves[1].is_watched()
    second = start_watcher(shelves[1], stops[1])
    wait_until(shelves[0].is_watched, "it watches")
    stops[1].set()
    write_page(content, "page")  # wakes it
    second.join(10)
    assert not shelves[0].is_watched()


def test_watcher_follows_links_to_names_that_are_no_text(host: Host) -> None:
    folder = os.fsencode(host.content) + b"/odd\xff\nname"
    os.mkdir(folder)
    with open(folder + b"/there.md", "w") as file:
        file.write("---\ntitle: There\n---\nText.")
    os.symlink(b"odd\xff\nname/there.md", host.content / "linked.md")
    assert host.seen() == ["linked", "page"]
    assert host.reader.list_link_targets() == {os.path.realpath(os.fsdecode(folder))}


def test_watcher_that_failed_watches_again(
    host: Host, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stop = threading.Event()
    watched: list[bool] = []

    def fail_once(_stop: threading.Event) -> None:
        watched.append(True)
        if len(watched) == 1:
            raise RuntimeError("an error that nobody expects")
        stop.set()

    monkeypatch.setattr(watch, "_RETRY_SECONDS", 0.0)
    monkeypatch.setattr(host.watcher, "_watch", fail_once)
    host.watcher.run(stop)
    assert len(watched) == 2
    assert [record.event for record in caplog.records] == ["pages.watch_failed"]  # type: ignore[attr-defined]
