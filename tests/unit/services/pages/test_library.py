"""What lists and look-ups find in the rows of a content folder, and slugs that try to leave the folder."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path
from urllib.parse import quote

import pytest

from church.services.access import Access
from church.services.pages.folder import FileProblem
from church.services.pages.library import Library, MonthCount, TagCount, load_library, looks_like_traversal
from church.services.pages.rows import PageRows
from church.services.pages.update import Update
from tests.support.pages_fixture import write_page


def read(root: Path, *, drafts: bool = False) -> Library:
    """Read a content folder into rows."""
    update = Update(PageRows(None), root, drafts)
    update.look_at_all()
    return load_library(update.rows)


def slugs(library: Library) -> list[str]:
    return [page.slug for page in library.newest(-1)]


def test_library_orders_pages_newest_first_and_counts_tags(tmp_path: Path) -> None:
    write_page(tmp_path, "a", date="2026-01-01", tags="[x]")
    write_page(tmp_path, "b", date="2026-02-01", tags="[y, x]")
    write_page(tmp_path, "c", date="2026-01-01")
    library = read(tmp_path)
    assert slugs(library) == ["b", "a", "c"]
    assert library.tags == (TagCount("x", 2), TagCount("y", 1))
    assert library.months() == (MonthCount(2026, 2, 1), MonthCount(2026, 1, 2))
    assert library.months("x") == (MonthCount(2026, 2, 1), MonthCount(2026, 1, 1))
    assert (library.count, library.count_with("x"), library.count_with("none")) == (3, 2, 0)


def test_library_page_that_opened_after_its_last_change_was_changed_then(tmp_path: Path) -> None:
    write_page(tmp_path, "a", date="2026-01-01T10:00:00Z")
    write_page(tmp_path, "b", date="2020-01-01")
    for path in (*tmp_path.iterdir(), tmp_path):
        os.utime(path, (1_700_000_000, 1_700_000_000))
    library = read(tmp_path)
    assert [page.updated for page in library.newest(-1)] == [
        dt.datetime(2026, 1, 1, 10, tzinfo=dt.UTC),
        dt.datetime(2023, 11, 14, 22, 13, 20, tzinfo=dt.UTC),  # its file's
    ]
    assert library.modified == dt.datetime(2026, 1, 1, 10, tzinfo=dt.UTC).timestamp()  # when the newest page opened


def test_library_keeps_the_first_of_two_files_with_one_address_and_every_problem(tmp_path: Path) -> None:
    write_page(tmp_path, "u\u0308ber", title="first")
    write_page(tmp_path, "\u00fcber", title="second")
    write_page(tmp_path, "bad", title="")
    library = read(tmp_path)
    assert [page.title for page in library.newest(-1)] == ["first"]
    bad, second = library.problems()
    assert (bad.path, bad.reason.startswith("title")) == ("bad.md", True)
    assert second == FileProblem("\u00fcber.md", "u\u0308ber.md has the same address")
    assert (library.count_problems(), library.problems(1)) == (2, (bad,))


def test_library_file_that_gives_its_address_up_leaves_it_to_the_next(tmp_path: Path) -> None:
    first = write_page(tmp_path, "u\u0308ber", title="first")
    write_page(tmp_path, "\u00fcber", title="second")
    library = read(tmp_path)
    first.unlink()
    Update(library.rows, tmp_path, drafts=False).look_at_all()
    after = load_library(library.rows)
    assert [page.title for page in after.newest(-1)] == ["second"]
    assert after.problems() == ()


@pytest.mark.parametrize(("drafts", "found"), [(True, ["a"]), (False, [])])
def test_library_includes_drafts_only_if_they_are_on(tmp_path: Path, drafts: bool, found: list[str]) -> None:
    write_page(tmp_path, "a", draft="true")
    library = read(tmp_path, drafts=drafts)
    assert slugs(library) == found
    assert [page.slug for page in library.unpublished()] == ([] if drafts else ["a"])
    assert library.newest(-1, drafts=False) == []


def test_neighbours_of_the_first_and_last_page_are_missing(tmp_path: Path) -> None:
    for day, name in enumerate(("old", "mid", "new"), 1):
        write_page(tmp_path, name, date=f"2026-01-0{day}")
    library = read(tmp_path)
    found = {page.slug: library.neighbours(page) for page in library.newest(-1)}
    assert {slug: [page and page.slug for page in pages] for slug, pages in found.items()} == {
        "old": [None, "mid"],
        "mid": ["old", "new"],
        "new": ["mid", None],
    }


def test_find_all_finds_published_pages_by_slug(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_page(tmp_path, name)
    write_page(tmp_path, "idea", draft="true")
    library = read(tmp_path)
    assert set(library.find_all(["a", "idea", "none"] + [f"x{number}" for number in range(600)])) == {"a"}
    assert (library.find("idea"), library.find("none")) == (None, None)
    assert library.find("idea", unpublished=True)


def test_newest_of_a_level_are_its_own(tmp_path: Path) -> None:
    for day, (name, level) in enumerate({"a": "public", "b": "premium", "c": "premium", "d": "members"}.items(), 1):
        write_page(tmp_path, name, access=level, date=f"2026-01-0{day}")
    library = read(tmp_path)
    assert [page.slug for page in library.newest(1, access=Access.PREMIUM)] == ["c"]
    assert [page.slug for page in library.newest(9, access=Access.PREMIUM)] == ["c", "b"]


def test_by_slug_lists_all_pages_in_parts(tmp_path: Path) -> None:
    for name in ("c", "a/b", "a"):
        write_page(tmp_path, name)
    library = read(tmp_path)
    assert [page.slug for page in library.by_slug(None, 2)] == ["a", "a/b"]
    assert [page.slug for page in library.by_slug("a/b", 2)] == ["c"]


def test_look_ups_take_an_index_and_walk_no_rows(tmp_path: Path) -> None:
    """A look-up that walks all rows is quick on a small site and takes the site down with 20,000 pages."""
    write_page(tmp_path, "a", tags="[x]")
    library = read(tmp_path)
    asked: list[str] = []
    rows = library.rows

    def explain(statement: str, *values: object) -> list[tuple[object, ...]]:
        asked.extend(str(plan[-1]) for plan in PageRows.read(rows, f"EXPLAIN QUERY PLAN {statement}", *values))
        return PageRows.read(rows, statement, *values)

    rows.read = explain  # type: ignore[method-assign]
    page = library.newest(1)[0]
    library.find("b")
    library.find_all(["b"])
    library.neighbours(page)
    library.newest(5, access=Access.PREMIUM, drafts=False)
    library.by_slug("a", 5)
    for tag in (None, "x"):
        for place in (None, (-730000, "a")):
            library.part(place, 5, tag=tag, all_states=True)
            library.part(place, 5, tag=tag, back=True)
    library.unpublished(5)
    library.to_come(5)
    library.shows("x.png")
    library.may_show("x")
    library.next_opening()
    library.problems(5)
    walks = [plan for plan in asked if "USE TEMP B-TREE" in plan or (plan.startswith("SCAN") and " INDEX " not in plan)]
    assert len(asked) > 20
    assert walks == []


@pytest.mark.parametrize(
    "slug",
    [
        "../etc",
        "%uff0e%uff0e/",
        "%u002e%u002E/",
        "%25uff0e%25uff0e/",
        "\uff05\uff12e\uff05\uff12e",
        "%uff052e%uff052e",
        "a%u2216b%u005cc",
        "%u0000",
        *("%" + "25" * fold + "2e%" + "25" * fold + "2e" for fold in range(12)),
    ],
)
def test_looks_like_traversal_finds_every_encoding(slug: str) -> None:
    assert looks_like_traversal(slug)


@pytest.mark.parametrize(
    "slug", ["open", "guide/first", "a.b-c_d", "über", "what is this?", "50%", "%u", "%ud83d", "a%2eb"]
)
def test_looks_like_traversal_ignores_typos(slug: str) -> None:
    assert not looks_like_traversal(slug)


@pytest.mark.parametrize("slug", ["50% off", "über uns/erste", "a%b"])
def test_looks_like_traversal_ignores_a_page_encoded_twice(slug: str) -> None:
    assert not looks_like_traversal(quote(quote(slug)))
