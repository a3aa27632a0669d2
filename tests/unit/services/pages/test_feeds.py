"""The Atom feed, the sitemap and robots.txt."""

from __future__ import annotations

import datetime as dt
from xml.etree import ElementTree as ET

from church.services.pages.feeds import FeedEntry, FeedItem, write_atom, write_robots
from church.services.pages.render import render_page
from tests.support.pages_fixture import CLOSED, HIDDEN, make_page

ORIGIN = "https://church.example"
ATOM = "{http://www.w3.org/2005/Atom}"
SITEMAP = "{http://www.sitemaps.org/schemas/sitemap/0.9}"


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


def test_robots_names_the_sitemap() -> None:
    lines = write_robots(ORIGIN).splitlines()
    assert f"Sitemap: {ORIGIN}/sitemap.xml" in lines
    assert {"Disallow: /pages/?q=", "Disallow: /video/?q="} < set(lines)


def test_atom_has_places_with_their_title_as_summary() -> None:
    place = FeedItem("/video/harbour", "The Harbour", "", dt.datetime(2026, 3, 4, tzinfo=dt.UTC))
    feed = ET.fromstring(write_atom([], "Site", ORIGIN, [place]))
    entry = feed.find(f"{ATOM}entry")
    assert entry is not None
    assert (entry.findtext(f"{ATOM}id"), entry.findtext(f"{ATOM}summary")) == (f"{ORIGIN}/video/harbour", "The Harbour")
    assert feed.findtext(f"{ATOM}updated") == "2026-03-04T00:00:00Z"
