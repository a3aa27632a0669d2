"""Pages as templates, feeds and crawlers get them."""

from __future__ import annotations

import datetime as dt
import json
from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from church.services.pages.feeds import FeedEntry, write_atom, write_robots, write_sitemap
from church.services.pages.presenters import make_card, make_json_ld, make_teaser, make_view
from church.services.pages.render import render_page
from tests.support.pages_fixture import CLOSED, HIDDEN, make_page

ORIGIN = "https://church.example"
ATOM = "{http://www.w3.org/2005/Atom}"
SITEMAP = "{http://www.sitemaps.org/schemas/sitemap/0.9}"


def test_card_of_a_draft_says_so_in_its_title() -> None:
    assert make_card(make_page("x", draft="true")).title == "Draft: A page"
    assert make_card(make_page("x")).title == "A page"


def test_teaser_contains_nothing_of_the_hidden_text() -> None:
    page = make_page(CLOSED, access="premium")
    shown = make_teaser(page, render_page(page), ORIGIN)
    assert HIDDEN not in repr(shown)
    assert (shown.headings, shown.access, shown.canonical) == (("First part",), "premium", f"{ORIGIN}/pages/made")


def test_json_ld_describes_a_page() -> None:
    page = make_page("x", title="Hi", tags="[a]", summary="Sum")
    found = json.loads(make_json_ld(make_view(page, render_page(page), ORIGIN, None, None), "Site", ORIGIN))
    assert (found["@type"], found["headline"], found["description"]) == ("Article", "Hi", "Sum")
    assert (found["datePublished"], found["isAccessibleForFree"]) == ("2026-01-02", True)
    assert found["url"] == f"{ORIGIN}/pages/made"


def test_json_ld_of_a_closed_page_is_not_free() -> None:
    page = make_page(CLOSED, access="members")
    assert (
        json.loads(make_json_ld(make_teaser(page, render_page(page), ORIGIN), "Site", ORIGIN))["isAccessibleForFree"]
        is False
    )


@given(st.text(max_size=60))
def test_json_ld_cannot_leave_its_script(name: str) -> None:
    page = make_page("x", title='"</script><script>alert(1)//<!--"')
    text = str(make_json_ld(make_view(page, render_page(page), ORIGIN, None, None), name, ORIGIN))
    assert not set("<>&'") & set(text)
    assert json.loads(text)["headline"] == "</script><script>alert(1)//<!--"
    assert json.loads(text)["publisher"]["name"] == name


def test_atom_has_public_pages_whole_and_only_summaries_of_others() -> None:
    public = make_page("Some <b>bold</b> & [link](other)", title="A & <b>", tags="[x]", date="2026-01-02")
    closed = make_page(CLOSED, access="premium", summary="Only this")
    data = write_atom([FeedEntry(public, render_page(public).html), FeedEntry(closed, None)], "My <site>", ORIGIN)
    feed = ET.fromstring(data)
    first, second = feed.findall(f"{ATOM}entry")
    assert (feed.findtext(f"{ATOM}title"), feed.findtext(f"{ATOM}id")) == ("My <site>", f"{ORIGIN}/")
    assert feed.findtext(f"{ATOM}author/{ATOM}name") == "My <site>"
    assert (first.findtext(f"{ATOM}title"), first.findtext(f"{ATOM}published")) == ("A & <b>", "2026-01-02T00:00:00Z")
    content = first.find(f"{ATOM}content")
    assert content is not None
    assert content.get("type") == "html"
    assert content.get("{http://www.w3.org/XML/1998/namespace}base") == f"{ORIGIN}/pages/made"
    assert "<b>bold</b> &amp; <a" in (content.text or "")
    assert second.find(f"{ATOM}content") is None
    assert second.findtext(f"{ATOM}summary") == "Only this"
    assert HIDDEN.encode() not in data
    for element in (feed, first, second):
        dt.datetime.fromisoformat(element.findtext(f"{ATOM}updated") or "")


def test_atom_without_pages_is_a_valid_feed() -> None:
    assert ET.fromstring(write_atom([], "Site", ORIGIN)).findtext(f"{ATOM}updated") == "1970-01-01T00:00:00Z"


def test_sitemap_lists_the_lists_and_the_pages() -> None:
    urls = ET.fromstring(write_sitemap([make_page("x")], ORIGIN)).findall(f"{SITEMAP}url/{SITEMAP}loc")
    assert [url.text for url in urls] == [f"{ORIGIN}/", f"{ORIGIN}/pages/", f"{ORIGIN}/video/", f"{ORIGIN}/pages/made"]


def test_robots_names_the_sitemap() -> None:
    assert f"Sitemap: {ORIGIN}/sitemap.xml" in write_robots(ORIGIN).splitlines()
