"""Write the Atom feed (RFC 4287) and robots.txt (RFC 9309)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from markupsafe import Markup

from church.services.pages.front_matter import PageFacts
from church.services.pages.presenters import page_path
from church.services.pages.sitemap import write_moment

_ATOM = "http://www.w3.org/2005/Atom"
_DECLARATION = '<?xml version="1.0" encoding="utf-8"?>\n'
_XML_BASE = "{http://www.w3.org/XML/1998/namespace}base"


@dataclass(frozen=True)
class FeedEntry:
    """A page in the feed; ``html`` is its text if it is public, else None."""

    page: PageFacts
    html: Markup | None


@dataclass(frozen=True)
class FeedItem:
    """Something else of the site that the feed lists, such as a video; holds public facts only."""

    path: str
    title: str
    summary: str
    published: dt.datetime


def write_atom(
    entries: Sequence[FeedEntry],
    site_name: str,
    origin: str,
    places: Sequence[FeedItem] = (),
    *,
    subtitle: str = "",
    icon: str = "",
) -> bytes:
    """Write the feed of ``entries``, newest first, and ``places``. A page that is not public has only its summary."""
    feed = ET.Element("feed", {"xmlns": _ATOM, "xml:lang": "en"})
    _text(feed, "id", f"{origin}/")
    _text(feed, "title", site_name)
    if subtitle:
        _text(feed, "subtitle", subtitle)
    if icon:
        _text(feed, "icon", origin + icon)
    changes = [*(entry.page.updated for entry in entries), *(place.published for place in places)]
    latest = max(changes, default=dt.datetime.fromtimestamp(0, dt.UTC))
    _text(feed, "updated", write_moment(latest))
    ET.SubElement(feed, "link", {"rel": "self", "type": "application/atom+xml", "href": f"{origin}/feed.xml"})
    ET.SubElement(feed, "link", {"rel": "alternate", "type": "text/html", "href": f"{origin}/"})
    _text(ET.SubElement(feed, "author"), "name", site_name)
    for entry in entries:
        _entry(feed, entry, origin)
    for place in places:
        _place(feed, place, origin)
    return _xml(feed)


def _place(feed: ET.Element, place: FeedItem, origin: str) -> None:
    element = ET.SubElement(feed, "entry")
    _text(element, "id", origin + place.path)
    _text(element, "title", place.title)
    _text(element, "published", write_moment(place.published))
    _text(element, "updated", write_moment(place.published))
    ET.SubElement(element, "link", {"rel": "alternate", "type": "text/html", "href": origin + place.path})
    _text(element, "summary", place.summary or place.title)


def _entry(feed: ET.Element, entry: FeedEntry, origin: str) -> None:
    page = entry.page
    address = origin + page_path(page)
    element = ET.SubElement(feed, "entry")
    _text(element, "id", address)
    _text(element, "title", page.title)
    _text(element, "published", write_moment(page.published))
    _text(element, "updated", write_moment(page.updated))
    ET.SubElement(element, "link", {"rel": "alternate", "type": "text/html", "href": address})
    for tag in page.tags:
        ET.SubElement(element, "category", {"term": tag})
    _text(element, "summary", page.summary or page.title)
    if entry.html is not None:
        content = _text(element, "content", str(entry.html), type="html")
        content.set(_XML_BASE, address)


def write_robots(origin: str) -> str:
    """Write robots.txt: crawlers may read everything except searches, which are endless."""
    searches = "".join(f"Disallow: {path}?{query}\n" for path in ("/pages/", "/video/") for query in ("q=", "*q="))
    return f"User-agent: *\n{searches}\nSitemap: {origin}/sitemap.xml\n"


def _text(parent: ET.Element, name: str, text: str, **attributes: str) -> ET.Element:
    element = ET.SubElement(parent, name, attributes)
    element.text = text
    return element


def _xml(root: ET.Element) -> bytes:
    return (_DECLARATION + ET.tostring(root, encoding="unicode")).encode()
