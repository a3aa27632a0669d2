"""Scans of the content folder: what they find, and how often they run."""

from __future__ import annotations

import errno
import logging
import os
import threading
from pathlib import Path

import pytest

from church.services.pages import folder
from church.services.pages.folder import ContentFolder, scan_folder
from church.services.pages.library import Library
from tests.support.pages_fixture import write_page


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def look(root: Path, known: Library | None = None, drafts: bool = False) -> Library:
    return scan_folder(root, known or Library(), drafts)


def slugs(library: Library) -> list[str]:
    return [page.slug for page in library.pages]


def test_scan_orders_by_date_then_name_and_counts_tags(tmp_path: Path) -> None:
    write_page(tmp_path, "old", date="2025-01-01", tags="[b]")
    write_page(tmp_path, "sub/dir/new", date="2026-01-01", tags="[a, b]")
    write_page(tmp_path, "also", date="2026-01-01")
    (tmp_path / "notes.txt").write_text("not a page")
    library = look(tmp_path)
    assert slugs(library) == ["also", "sub/dir/new", "old"]
    assert [(tag.name, tag.count) for tag in library.tags] == [("a", 1), ("b", 2)]
    assert [page and page.slug for page in library.neighbours(library.by_slug["sub/dir/new"])] == ["old", "also"]
    assert library.neighbours(library.by_slug["old"])[0] is None
    assert library.neighbours(library.by_slug["also"])[1] is None


def test_scan_leaves_out_an_invalid_file_and_keeps_the_rest(tmp_path: Path) -> None:
    write_page(tmp_path, "good")
    write_page(tmp_path, "bad", access="everyone")
    library = look(tmp_path)
    assert slugs(library) == ["good"]
    assert [(problem.path, "access" in problem.reason) for problem in library.problems] == [("bad.md", True)]


def test_scan_includes_drafts_only_if_drafts_are_on(tmp_path: Path) -> None:
    write_page(tmp_path, "idea", draft="true", tags="[t]")
    assert slugs(look(tmp_path)) == []
    assert not look(tmp_path).tags
    assert slugs(look(tmp_path, drafts=True)) == ["idea"]


def test_scan_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    content = tmp_path / "content"
    outside = write_page(tmp_path / "outside", "secret")
    write_page(content, "inside")
    (content / "leak.md").symlink_to(outside)
    (content / "folder").symlink_to(outside.parent)
    (content / "same.md").symlink_to(content / "inside.md")
    (content / "gone.md").symlink_to(content / "nowhere.md")
    library = look(content)
    assert slugs(library) == ["inside", "same"]
    assert {problem.path: problem.reason for problem in library.problems} == {
        "leak.md": "a link that leads out of the content folder",
        "gone.md": "cannot be read: No such file or directory",
    }


def test_scan_of_a_content_folder_that_is_a_link_works(tmp_path: Path) -> None:
    write_page(tmp_path / "real", "page")
    (tmp_path / "content").symlink_to(tmp_path / "real")
    assert slugs(look(tmp_path / "content")) == ["page"]


def test_scan_skips_what_is_not_a_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.md")
    (tmp_path / "folder.md").mkdir()
    write_page(tmp_path, ".hidden")
    library = look(tmp_path)
    assert slugs(library) == []
    assert [problem.reason for problem in library.problems] == ["not a file"]


def test_scan_of_a_missing_folder_reports_a_problem(tmp_path: Path) -> None:
    library = look(tmp_path / "nowhere")
    assert slugs(library) == []
    assert "No such file" in library.problems[0].reason


def test_scan_unchanged_files_are_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_page(tmp_path, "same")
    changing = write_page(tmp_path, "changing")
    write_page(tmp_path, "bad", access="x")
    first = look(tmp_path)
    read = []
    open_file = folder.os.open
    monkeypatch.setattr(
        folder.os, "open", lambda path, flags: (read.append(Path(path).name), open_file(path, flags))[1]
    )
    changing.write_text("---\ntitle: Changed\n---\n")
    second = look(tmp_path, first)
    assert read == ["changing.md"]
    assert second.by_slug["same"] is first.by_slug["same"]
    assert second.by_slug["changing"].title == "Changed"
    assert (second.version != first.version, len(second.problems)) == (True, 1)
    assert look(tmp_path, second).version == second.version


def test_scan_of_two_files_with_one_address_keeps_the_first(tmp_path: Path) -> None:
    write_page(tmp_path, "u\u0308ber", title="first")
    write_page(tmp_path, "\u00fcber", title="second")
    library = look(tmp_path)
    assert [page.title for page in library.pages] == ["first"]
    assert "same address" in library.problems[0].reason


def test_scan_after_a_deletion_changes_the_modified_time(tmp_path: Path) -> None:
    write_page(tmp_path, "stays")
    gone = write_page(tmp_path, "gone")
    for path in (tmp_path / "stays.md", gone, tmp_path):
        os.utime(path, (1_600_000_000, 1_600_000_000))
    before = look(tmp_path)
    gone.unlink()
    after = look(tmp_path, before)
    assert before.modified == 1_600_000_000
    assert after.modified > before.modified
    assert slugs(after) == ["stays"]


def test_shelf_scans_at_most_once_a_second(tmp_path: Path) -> None:
    clock = Clock()
    shelf = ContentFolder(tmp_path, drafts=False, clock=clock)
    assert slugs(shelf.current()) == []
    write_page(tmp_path, "new")
    clock.now += 0.9
    assert slugs(shelf.current()) == []
    clock.now += 0.2
    assert slugs(shelf.current()) == ["new"]


def test_shelf_without_file_handles_keeps_the_last_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    shelf = ContentFolder(tmp_path, drafts=False, clock=clock)
    write_page(tmp_path, "page")
    shelf.current()

    def refuse(path: str) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(folder.os, "scandir", refuse)
        clock.now += 2
        assert slugs(shelf.current()) == ["page"]
    write_page(tmp_path, "another")
    clock.now += 2
    assert slugs(shelf.current()) == ["another", "page"]


def test_shelf_logs_a_problem_once_for_each_version_of_a_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    shelf = ContentFolder(tmp_path, drafts=False, clock=clock)
    bad = write_page(tmp_path, "bad", access="x")
    with caplog.at_level(logging.WARNING, "church.pages"):
        for _ in range(3):
            shelf.current()
            clock.now += 2
        write_page(tmp_path, "good")
        shelf.current()
        assert [(r.event, r.page) for r in caplog.records] == [("pages.invalid", "bad.md")]  # type: ignore[attr-defined]
        bad.write_text(bad.read_text() + "longer")
        clock.now += 2
        shelf.current()
    assert len(caplog.records) == 2
    assert "access" in caplog.records[1].reason  # type: ignore[attr-defined]


def test_shelf_serves_the_last_library_during_a_scan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    shelf = ContentFolder(tmp_path, drafts=False, clock=clock)
    write_page(tmp_path, "page")
    known = shelf.current()
    looking, go_on = threading.Event(), threading.Event()

    def slow_scan(root: Path, before: Library, drafts: bool) -> Library:
        looking.set()
        assert go_on.wait(10)
        return scan_folder(root, before, drafts)

    monkeypatch.setattr("church.services.pages.folder.scan_folder", slow_scan)
    write_page(tmp_path, "new")
    clock.now += 2
    looker = threading.Thread(target=shelf.current)
    looker.start()
    assert looking.wait(10)
    assert shelf.current() is known
    go_on.set()
    looker.join(10)
    assert slugs(shelf.current()) == ["new", "page"]
