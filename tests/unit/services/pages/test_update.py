"""Updates of the rows from the content folder: what they find, and which files they read."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path

import pytest

from church.services.pages import folder, update
from church.services.pages.front_matter import PageFacts
from church.services.pages.library import Library, load_library
from church.services.pages.rows import PageRows
from church.services.pages.update import Update
from tests.support.pages_fixture import write_page


def look(
    root: Path,
    known: Library | None = None,
    drafts: bool = False,
    now: dt.datetime | None = None,
    only_folders: bool = False,
) -> Library:
    """Bring the rows of ``known``, or new ones, up to date."""
    update = Update(known.rows if known else PageRows(None), root, drafts)
    if now is not None:
        update.now = lambda: now
    update.look_at_folders() if only_folders else update.look_at_all()
    return load_library(update.rows)


def slugs(library: Library) -> list[str]:
    return [page.slug for page in library.newest(-1)]


def page_at(library: Library, slug: str) -> PageFacts:
    page = library.find(slug)
    assert page is not None
    return page


def problems(library: Library) -> dict[str, str]:
    return {problem.path: problem.reason for problem in library.problems()}


def test_update_orders_by_date_then_name_and_counts_tags(tmp_path: Path) -> None:
    write_page(tmp_path, "old", date="2025-01-01", tags="[b]")
    write_page(tmp_path, "sub/dir/new", date="2026-01-01", tags="[a, b]")
    write_page(tmp_path, "also", date="2026-01-01")
    (tmp_path / "notes.txt").write_text("not a page")
    library = look(tmp_path)
    assert slugs(library) == ["also", "sub/dir/new", "old"]
    assert [(tag.name, tag.count) for tag in library.tags] == [("a", 1), ("b", 2)]
    assert [page and page.slug for page in library.neighbours(page_at(library, "sub/dir/new"))] == ["old", "also"]
    assert library.neighbours(page_at(library, "old"))[0] is None
    assert library.neighbours(page_at(library, "also"))[1] is None


def test_update_leaves_out_an_invalid_file_and_keeps_the_rest(tmp_path: Path) -> None:
    write_page(tmp_path, "good")
    write_page(tmp_path, "bad", access="everyone")
    library = look(tmp_path)
    assert slugs(library) == ["good"]
    assert [(problem.path, "access" in problem.reason) for problem in library.problems()] == [("bad.md", True)]


def test_update_includes_drafts_only_if_drafts_are_on(tmp_path: Path) -> None:
    write_page(tmp_path, "idea", draft="true", tags="[t]")
    assert slugs(look(tmp_path)) == []
    assert not look(tmp_path).tags
    assert slugs(look(tmp_path, drafts=True)) == ["idea"]


def test_update_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    content = tmp_path / "content"
    outside = write_page(tmp_path / "outside", "secret")
    write_page(content, "inside")
    (content / "leak.md").symlink_to(outside)
    (content / "folder").symlink_to(outside.parent)
    (content / "same.md").symlink_to(content / "inside.md")
    (content / "gone.md").symlink_to(content / "nowhere.md")
    library = look(content)
    assert slugs(library) == ["inside", "same"]
    assert problems(library) == {
        "folder": "a link that leads out of the content folder",
        "leak.md": "a link that leads out of the content folder",
        "gone.md": "cannot be read: No such file or directory",
    }


@pytest.mark.parametrize(("name", "target"), [("x.md", "x.md"), ("x", "x"), ("x", "page.md/y"), ("x", "z" * 300)])
def test_update_link_that_leads_nowhere_leaves_the_other_pages(tmp_path: Path, name: str, target: str) -> None:
    write_page(tmp_path, "page")
    (tmp_path / name).symlink_to(target)
    library = look(tmp_path)
    assert slugs(library) == ["page"]
    assert [problem.path for problem in library.problems()] == [name]
    assert library.problems()[0].reason.startswith("cannot be read: ")


def test_update_serves_pages_that_are_links_within_the_folder(tmp_path: Path) -> None:
    """As Kubernetes lays out a ConfigMap: names at the top lead through ..data to the files of one version."""
    write_page(tmp_path, "..2026_11_01/about")
    write_page(tmp_path, "..2026_11_01/notes/spring")
    (tmp_path / "..data").symlink_to("..2026_11_01")
    (tmp_path / "about.md").symlink_to("..data/about.md")
    (tmp_path / "notes").symlink_to("..data/notes")
    library = look(tmp_path)
    assert slugs(library) == ["about", "notes/spring"]
    assert library.problems() == ()


def test_update_follows_links_to_folders_neither_in_circles_nor_twice(tmp_path: Path) -> None:
    write_page(tmp_path, "sub/page")
    (tmp_path / "sub" / "up").symlink_to("..")
    (tmp_path / "sub" / "self").symlink_to("../sub")
    (tmp_path / "twin").symlink_to("sub")
    (tmp_path / "twin2").symlink_to("sub")
    library = look(tmp_path)
    assert slugs(library) == ["sub/page", "twin/page"]
    assert problems(library) == {
        "sub/self": "a link to a folder that it is in",
        "sub/up": "a link to a folder that it is in",
        "twin/self": "a link to a folder that it is in",
        "twin/up": "a link to a folder that it is in",
        "twin2": "a second link to the same folder",
    }


def test_update_of_a_content_folder_that_is_a_link_works(tmp_path: Path) -> None:
    write_page(tmp_path / "real", "page")
    (tmp_path / "content").symlink_to(tmp_path / "real")
    assert slugs(look(tmp_path / "content")) == ["page"]


def test_update_skips_what_is_not_a_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.md")
    (tmp_path / "folder.md").mkdir()
    write_page(tmp_path, ".hidden")
    library = look(tmp_path)
    assert slugs(library) == []
    assert [problem.reason for problem in library.problems()] == ["not a file"]


def test_update_of_a_missing_folder_reports_a_problem(tmp_path: Path) -> None:
    library = look(tmp_path / "nowhere")
    assert slugs(library) == []
    assert "No such file" in library.problems()[0].reason


def test_update_unchanged_files_are_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
    assert page_at(second, "changing").title == "Changed"
    assert (second.version != first.version, len(second.problems())) == (True, 1)
    assert look(tmp_path, second).version == second.version


def test_update_of_two_files_with_one_address_keeps_the_first(tmp_path: Path) -> None:
    write_page(tmp_path, "u\u0308ber", title="first")
    write_page(tmp_path, "\u00fcber", title="second")
    library = look(tmp_path)
    assert [page.title for page in library.newest(-1)] == ["first"]
    assert "same address" in library.problems()[0].reason


def test_update_after_a_deletion_changes_the_modified_time(tmp_path: Path) -> None:
    write_page(tmp_path, "stays", date="2020-01-02")
    gone = write_page(tmp_path, "gone", date="2020-01-02")
    for path in (tmp_path / "stays.md", gone, tmp_path):
        os.utime(path, (1_600_000_000, 1_600_000_000))
    before = look(tmp_path)
    gone.unlink()
    after = look(tmp_path, before)
    assert before.modified == 1_600_000_000
    assert after.modified > before.modified
    assert slugs(after) == ["stays"]


NOON = dt.datetime(2026, 6, 1, 12, tzinfo=dt.UTC)


def test_page_to_come_opens_at_its_moment_and_changes_version_and_modified_time(tmp_path: Path) -> None:
    write_page(tmp_path, "soon", date="2026-06-01T12:00:00+00:00", tags="[t]")
    write_page(tmp_path, "later", date="2026-06-02")
    os.utime(tmp_path / "soon.md", (1_600_000_000, 1_600_000_000))
    before = look(tmp_path, now=NOON - dt.timedelta(seconds=1))
    assert (slugs(before), [page.slug for page in before.unpublished()]) == ([], ["later", "soon"])
    assert (before.tags, before.next_opening()) == ((), NOON)
    opened = look(tmp_path, before, now=NOON)
    assert (slugs(opened), [page.slug for page in opened.unpublished()]) == (["soon"], ["later"])
    assert [(page.to_come, page.opens) for page in opened.newest(-1)] == [(False, NOON)]
    assert opened.version != before.version
    assert opened.modified >= NOON.timestamp()
    assert look(tmp_path, opened, now=NOON + dt.timedelta(hours=1)).version == opened.version
    assert slugs(look(tmp_path, opened, now=NOON + dt.timedelta(hours=12))) == ["later", "soon"]


def test_draft_to_come_is_hidden_in_development_too(tmp_path: Path) -> None:
    write_page(tmp_path, "idea", draft="true", date="2026-06-02")
    assert slugs(look(tmp_path, drafts=True, now=NOON)) == []


def test_file_of_a_clock_that_is_ahead_was_changed_when_the_file_system_says(tmp_path: Path) -> None:
    path = tmp_path / "ahead.md"
    path.write_text("---\ntitle: Ahead\n---\n")
    os.utime(path, (1_924_992_000, 1_924_992_000))  # 2031
    changed = dt.datetime.fromtimestamp(int(path.stat().st_ctime), dt.UTC)
    now = changed + dt.timedelta(days=1)
    library = look(tmp_path, now=now)
    (page,) = library.newest(-1)
    assert (page.updated, page.date) == (changed, changed.date())
    assert library.modified <= now.timestamp()
    assert look(tmp_path, library, now=now + dt.timedelta(hours=1)).version == library.version
    long_before = look(tmp_path, now=dt.datetime(2020, 5, 5, 13, tzinfo=dt.UTC))  # the ctime is to come as well
    assert long_before.newest(1)[0].updated == dt.datetime(2020, 5, 5, tzinfo=dt.UTC)


def test_update_without_time_stops_and_the_next_one_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(update, "_BATCH", 2)
    for name in "abcdef":
        write_page(tmp_path, f"folder-{name}/page")
    rows, counts = PageRows(None), []
    for _ in range(5):
        step = Update(rows, tmp_path, drafts=False, most_seconds=0.0)
        step.look_at_all()
        library = load_library(rows)
        counts.append((library.count, library.is_complete, step.is_unfinished))
    assert counts[:3] == [(2, False, True), (4, False, True), (6, False, True)]
    assert counts[3:] == [(6, True, False)] * 2
