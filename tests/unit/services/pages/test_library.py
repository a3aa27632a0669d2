"""The library of one scan, and slugs that try to leave the content folder."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from urllib.parse import quote

import pytest

from church.services.pages.library import FileProblem, ScannedFile, build_library, looks_like_traversal
from tests.support.pages_fixture import make_page


def file(path: str, slug: str, **front: object) -> ScannedFile:
    """A file of a scan with a page at ``slug``."""
    page = make_page("Hi", **front)
    return ScannedFile(page.stamp, replace(page, slug=slug, stamp=replace(page.stamp, path=path)))


def test_build_library_orders_pages_newest_first_and_counts_tags() -> None:
    files = {
        "a.md": file("a.md", "a", date="2026-01-01", tags="[x]"),
        "b.md": file("b.md", "b", date="2026-02-01", tags="[y, x]"),
        "c.md": file("c.md", "c", date="2026-01-01"),
    }
    library = build_library(files, drafts=False, modified=5.0, version="v")
    assert [page.slug for page in library.pages] == ["b", "a", "c"]
    assert [(tag.name, tag.count) for tag in library.tags] == [("x", 2), ("y", 1)]
    assert (library.version, library.stamp_of("a.md")) == ("v", files["a.md"].stamp)
    assert library.modified == dt.datetime(2026, 2, 1, tzinfo=dt.UTC).timestamp()  # when the newest page opened
    assert library.stamp_of("none.md") is None


def test_build_library_page_that_opened_after_its_last_change_was_changed_then() -> None:
    files = {"a.md": file("a.md", "a", date="2026-01-01T10:00:00Z"), "b.md": file("b.md", "b", date="2020-01-01")}
    library = build_library(files, drafts=False, modified=0.0, version="")
    assert library.by_slug["a"].updated == dt.datetime(2026, 1, 1, 10, tzinfo=dt.UTC)
    assert library.by_slug["b"].updated == dt.datetime(2023, 11, 14, 22, 13, 20, tzinfo=dt.UTC)  # its file's


def test_build_library_keeps_the_first_of_two_files_with_one_address_and_every_problem() -> None:
    bad = ScannedFile(make_page("x").stamp, FileProblem("bad.md", "title: missing"))
    files = {"a.md": file("a.md", "a"), "A.md": file("A.md", "a"), "bad.md": bad}
    library = build_library(files, drafts=False, modified=0.0, version="")
    assert [page.stamp.path for page in library.pages] == ["a.md"]
    assert library.problems == (
        FileProblem("A.md", "a.md has the same address"),
        FileProblem("bad.md", "title: missing"),
    )


@pytest.mark.parametrize(("drafts", "slugs"), [(True, ["a"]), (False, [])])
def test_build_library_includes_drafts_only_if_they_are_on(drafts: bool, slugs: list[str]) -> None:
    library = build_library({"a.md": file("a.md", "a", draft="true")}, drafts, 0.0, "")
    assert list(library.by_slug) == slugs


def test_neighbours_of_the_first_and_last_page_are_missing() -> None:
    files = {name: file(name, name, date=f"2026-01-0{day}") for day, name in enumerate(("old", "mid", "new"), 1)}
    library = build_library(files, drafts=False, modified=0.0, version="")
    found = {slug: library.neighbours(page) for slug, page in library.by_slug.items()}
    assert {slug: [page and page.slug for page in pages] for slug, pages in found.items()} == {
        "old": [None, "mid"],
        "mid": ["old", "new"],
        "new": ["mid", None],
    }


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
