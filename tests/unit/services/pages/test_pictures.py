"""Pictures beside a page: how they are found, placed in the HTML and noticed when they change."""

from __future__ import annotations

import os
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest

from church.services.access import ANONYMOUS, Reader
from church.services.pages.content import Pages
from church.services.pages.file_check import load_page
from church.services.pages.front_matter import PageFacts
from church.services.pages.library import load_library
from church.services.pages.pictures.files import (
    MAX_BYTES,
    PictureError,
    PictureFolder,
    is_valid_path,
    resolve_reference,
)
from church.services.pages.pictures.use import PictureUse
from church.services.pages.render import Rendered, render_page
from church.services.pages.rows import PageRows
from church.services.pages.update import Update
from tests.support.pages_fixture import HIDDEN, attributes_of, make_page, write_page
from tests.support.pictures import make_png

MEMBER, SUBSCRIBER, ADMIN = Reader(member=True), Reader(member=True, premium=True), Reader(member=True, admin=True)


def put(content: Path, name: str, data: bytes | None = None) -> Path:
    file = content / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(make_png(30, 20) if data is None else data)
    return file


def render(content: Path, body: str, path: str = "guide/first.md") -> Rendered:
    page = make_page(body)
    return render_page(replace(page, stamp=replace(page.stamp, path=path)), PictureFolder(content).find)


@pytest.mark.parametrize(
    ("reference", "path"),
    [
        ("a.png", "guide/a.png"),
        ("./img/a.JPG", "guide/img/a.JPG"),
        ("../shared/b.webp?x=1#y", "shared/b.webp"),
        ("my%20picture.png", "guide/my picture.png"),
        ("100%.png", "guide/100%.png"),
        ("img\\a.png", "guide/img/a.png"),
        ("C#.png", "guide/C#.png"),
        ("u\u0308ber.png", "guide/über.png"),
        ("u%CC%88ber.png", "guide/über.png"),
        ("/static/img/a.png", None),
        ("https://elsewhere.example/a.png", None),
        ("//elsewhere.example/a.png", None),
        ("data:image/png;base64,AAAA", None),
        ("http://[/a.png", None),
        ("", None),
    ],
)
def test_reference_means_a_path_beside_the_page(reference: str, path: str | None) -> None:
    assert resolve_reference("guide/first.md", reference) == path


@pytest.mark.parametrize(
    "reference",
    ["../../a.png", "%2e%2e/%2e%2e/a.png", "..", "x/../../../a.png", ".hidden.png", ".git/a.png", "a.html", "first.md",
     "a\0.png", "x" * 600 + ".png"],
)  # fmt: skip
def test_reference_that_leads_out_or_to_no_picture_is_refused(reference: str) -> None:
    with pytest.raises(PictureError):
        resolve_reference("guide/first.md", reference)


def test_path_of_a_picture_has_nothing_hidden_in_it() -> None:
    assert is_valid_path("guide/a.png")
    for path in ("/a.png", "a//b.png", "../a.png", ".a.png", "x/.git/a.png", "a.md", "a\\b.png", "a\n.png", ""):
        assert not is_valid_path(path)


@pytest.mark.parametrize(
    "body",
    ["![A *cat*](img/a.png)", "![A *cat*][c]\n\n[c]: <img/a.png>", '<img src="img/a.png" alt="A cat" onclick="x">'],
)
def test_picture_is_placed_with_its_size(tmp_path: Path, body: str) -> None:
    put(tmp_path, "guide/img/a.png")
    page = render(tmp_path, body)
    (picture,) = attributes_of(page.html, "img")
    (version,) = page.pictures
    assert picture == {
        "alt": "A cat",
        "src": f"/pictures/guide/img/a.png?v={version.tag}",
        "width": "30",
        "height": "20",
        "loading": "lazy",
        "decoding": "async",
    }


@pytest.mark.parametrize("name", ["my picture.png", "Größe & Maß.png", "100%.png", "(1).png", "日本.png"])
def test_picture_with_any_name_is_found(tmp_path: Path, name: str) -> None:
    put(tmp_path, f"guide/{name}")
    page = render(tmp_path, f"![x](<{name}>)")
    assert [version.path for version in page.pictures] == [f"guide/{name}"]
    assert not page.notices
    if "(" not in name:
        assert render(tmp_path, f"![x]({name})").html == page.html


def test_picture_with_a_decomposed_name_is_found_by_the_composed_one(tmp_path: Path) -> None:
    put(tmp_path, unicodedata.normalize("NFD", "größe/über.png"))
    found = PictureFolder(tmp_path).find("x.md", "größe/über.png")
    assert found is not None
    assert found.version.path == unicodedata.normalize("NFC", "größe/über.png")


def test_picture_that_comes_into_a_listed_folder_is_found(tmp_path: Path) -> None:
    """A folder is listed once for all pictures that it misses, until it changes."""
    folder, name = PictureFolder(tmp_path), unicodedata.normalize("NFD", "\u00e9.png")
    put(tmp_path, "other.png")
    os.utime(tmp_path, (1_700_000_000, 1_700_000_000))
    for missing in ("\u00e9.png", "m.png"):
        assert folder.look(missing).stamp is None
    put(tmp_path, name)
    assert folder.look("\u00e9.png").stamp is not None


def test_size_that_the_author_wrote_stays(tmp_path: Path) -> None:
    put(tmp_path, "guide/a.png")
    (picture,) = attributes_of(render(tmp_path, '<img src="a.png" width="15">').html, "img")
    assert (picture["width"], "height" in picture) == ("15", False)


@pytest.mark.parametrize(
    ("name", "data", "problem"),
    [
        ("gone.png", None, "there is no such file"),
        ("a.PNG", None, "there is no such file; did you mean a.png?"),
        ("page.png", b"<html><script>alert(1)</script>", "is no PNG, JPEG, GIF, WebP, AVIF or SVG"),
        ("photo.heic", b"x", "not a picture that can be shown"),
        ("../../etc/a.png", None, "outside of the content folder"),
        ("out.png", None, "a link that leads out of the content folder"),
        ("folder.png", None, "Is a directory"),
        ("large.png", None, "larger than 32 MB"),
        ("https://elsewhere.example/a.png", None, "pictures of other sites are not loaded"),
    ],
)
def test_picture_that_cannot_be_shown_is_named_and_its_words_stay(
    tmp_path: Path, name: str, data: bytes | None, problem: str
) -> None:
    content = tmp_path / "content"
    put(content, "guide/a.png")
    (content / "guide" / "out.png").symlink_to(put(tmp_path, "secret.png"))
    (content / "guide" / "folder.png").mkdir()
    with put(content, "guide/large.png").open("r+b") as large:
        large.truncate(MAX_BYTES + 1)
    if data is not None:
        put(content, f"guide/{name}", data)
    page = render(content, f'![My "words" & <b>](<{name}>)')
    (notice,) = page.notices.pictures
    assert notice.startswith(f"{name}: ")
    assert problem in notice
    assert "/pictures/" not in page.html
    assert "My" in page.html


def test_link_inside_the_folder_is_followed(tmp_path: Path) -> None:
    put(tmp_path, "..data/a.png")
    (tmp_path / "a.png").symlink_to("..data/a.png")
    opened = PictureFolder(tmp_path).open("a.png")
    opened.file.close()
    assert opened.size == len(make_png(30, 20))


def test_many_missing_pictures_are_counted(tmp_path: Path) -> None:
    notices = render(tmp_path, "\n".join(f"![x]({n}.png)" for n in range(30))).notices.pictures
    assert notices[-1] == "and 20 more"


def test_teaser_has_no_picture_of_the_page_but_its_words(tmp_path: Path) -> None:
    put(tmp_path, "guide/a.png")
    page = render(tmp_path, f"![Shown](a.png)\n\nOne ![b](a.png) two.\n\n## Part\n\n{HIDDEN}\n")
    assert page.html.count("/pictures/") == 2
    assert page.opening == "<p>One  two.</p>"


# -- who may see a picture -------------------------------------------------------------------------------------------


@pytest.fixture
def content(tmp_path: Path) -> Path:
    content = tmp_path / "content"
    for name in ("open.png", "club.png", "gold.png", "both.png", "later.png", "code.png", "unused.png"):
        put(content, name)
    write_page(content, "open", "![x](open.png) ![x](both.png)\n\n`![x](code.png)`")
    write_page(content, "club", "![x](club.png) ![x](both.png)", access="members")
    write_page(content, "folder/gold", "<img src='../gold.png'> ![x](<../both.png>)", access="premium")
    write_page(content, "later", "![x](later.png)", date="2999-01-01")
    return content


def visible(pages: Pages, reader: Reader) -> set[str]:
    names = {"open.png", "club.png", "gold.png", "both.png", "later.png", "code.png", "unused.png", "none.png"}
    found = {name: pages.open_picture(name, reader) for name in names}
    for sent in found.values():
        if sent is not None:
            sent.opened.file.close()
    return {name for name, sent in found.items() if sent is not None}


def test_picture_is_seen_by_those_who_may_read_a_page_that_shows_it(content: Path) -> None:
    pages = Pages(content, drafts=False)
    assert visible(pages, ANONYMOUS) == {"open.png", "both.png"}
    assert visible(pages, MEMBER) == {"open.png", "both.png", "club.png"}
    assert visible(pages, SUBSCRIBER) == {"open.png", "both.png", "club.png", "gold.png"}
    assert visible(pages, ADMIN) == {name.name for name in content.glob("*.png")}


@pytest.mark.parametrize(("name", "is_public"), [("both.png", True), ("club.png", False)])
def test_picture_says_whether_everyone_may_see_it(content: Path, name: str, is_public: bool) -> None:
    sent = Pages(content, drafts=False).open_picture(name, SUBSCRIBER)
    assert sent is not None
    sent.opened.file.close()
    assert sent.is_public is is_public


def test_picture_of_a_page_that_is_closed_by_an_edit_is_closed(content: Path) -> None:
    moment = [0.0]
    pages = Pages(content, drafts=False, clock=lambda: moment[0])
    assert "open.png" in visible(pages, ANONYMOUS)
    write_page(content, "open", "![x](open.png) longer", access="premium")
    moment[0] += 2
    assert visible(pages, ANONYMOUS) == set()
    assert "open.png" in visible(pages, SUBSCRIBER)


def test_page_shows_a_picture_that_comes_changes_and_goes(content: Path) -> None:
    moment = [0.0]
    pages = Pages(content, drafts=False, clock=lambda: moment[0])

    def shown() -> str | None:
        moment[0] += 2
        view = pages.read("open", ANONYMOUS, "")
        assert view is not None
        return next((p["src"] for p in attributes_of(view.html, "img") if "open" in (p["src"] or "")), None)

    first = shown()
    assert first == shown()
    os.utime(put(content, "open.png", make_png(9, 9)), (1, 1))
    second = shown()
    assert second not in {None, first}
    (content / "open.png").unlink()
    assert shown() is None
    put(content, "open.png")
    assert shown() not in {None, first, second}


def test_picture_asked_for_while_the_folder_changes_keeps_the_newer_pages(tmp_path: Path) -> None:
    put(tmp_path, "a.png")
    write_page(tmp_path, "page", "![](a.png)")
    rows = PageRows(None)
    Update(rows, tmp_path, drafts=False).look_at_all()
    old = load_library(rows)
    waiting = [True]

    def render_slowly(page: PageFacts) -> Rendered:
        if waiting:  # meanwhile another request finds the newer folder
            waiting.clear()
            write_page(tmp_path, "new", "![](a.png)")
            Update(rows, tmp_path, drafts=False).look_at_all()
            assert [found.slug for found in use.find_pages(load_library(rows), "a.png")] == ["new", "page"]
        return render_page(load_page(tmp_path, page), PictureFolder(tmp_path).find)

    use = PictureUse(render_slowly)
    assert [found.slug for found in use.find_pages(old, "a.png")] == ["page"]
    assert [found.slug for found in use.find_pages(load_library(rows), "a.png")] == ["new", "page"]
