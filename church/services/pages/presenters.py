"""Prepare pages for the templates: a card in a list, the whole page, or the public part of a restricted page."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from church.services.pages.front_matter import PageFacts
from church.services.pages.render import Rendered, TocEntry


@dataclass(frozen=True)
class PageCard:
    """A page in a list. ``snippet``: the text around the words of a search, which are in <mark>.

    ``opens`` is set for pages to come, which only admins see.
    """

    slug: str
    url: str
    title: str
    summary: str
    date: dt.date
    updated: dt.datetime
    access: str
    tags: tuple[str, ...]
    minutes: int
    draft: bool = False
    opens: dt.datetime | None = None
    snippet: Markup | None = None


@dataclass(frozen=True)
class PagePart:
    """Some pages of a list, and the keys of the parts after and before it. ``total`` counts the pages of all parts."""

    cards: list[PageCard]
    next: str | None
    previous: str | None
    total: int


@dataclass(frozen=True)
class FoundPages:
    """Some results of a search, best first, and where the results after and before them begin.

    ``most`` is how many are shown of a search that finds more; None if these are not the last of them.
    """

    cards: list[PageCard]
    next: int | None = None
    previous: int | None = None
    most: int | None = None


@dataclass(frozen=True, kw_only=True)
class PageView(PageCard):
    """A whole page, for a reader with access to it."""

    canonical: str
    html: Markup
    toc: tuple[TocEntry, ...]
    previous: PageCard | None = None
    next: PageCard | None = None


@dataclass(frozen=True, kw_only=True)
class TeaserView(PageCard):
    """A page for a reader without access to it; contains nothing of the hidden text."""

    canonical: str
    opening: Markup
    headings: tuple[str, ...]


def make_card(page: PageFacts, snippet: Markup | None = None) -> PageCard:
    """Make the list entry of ``page``. The title of a draft, which only admins see in production, says so."""
    return PageCard(snippet=snippet, **_facts(page))


def make_view(
    page: PageFacts, rendered: Rendered, origin: str, older: PageFacts | None, newer: PageFacts | None
) -> PageView:
    """Make the view of the whole ``page``; ``origin`` is the scheme and host of its canonical address."""
    facts = _facts(page)
    return PageView(
        canonical=origin + facts["url"],
        html=rendered.html,
        toc=rendered.toc,
        previous=make_card(older) if older else None,
        next=make_card(newer) if newer else None,
        **facts,
    )


def make_teaser(page: PageFacts, rendered: Rendered, origin: str) -> TeaserView:
    """Make the view of the public part of ``page``."""
    facts = _facts(page)
    return TeaserView(canonical=origin + facts["url"], opening=rendered.opening, headings=rendered.headings, **facts)


def _facts(page: PageFacts) -> dict[str, Any]:
    return {
        "slug": page.slug,
        "url": page_path(page),
        "title": f"Draft: {page.title}" if page.draft else page.title,
        "summary": page.summary,
        "date": page.date,
        "updated": page.updated,
        "access": page.access.value,
        "tags": page.tags,
        "minutes": page.minutes,
        "draft": page.draft,
        "opens": page.opens if page.to_come else None,
    }


def page_path(page: PageFacts) -> str:
    """Return the path of ``page`` on the site."""
    return f"/pages/{quote(page.slug)}"


def make_key(page: PageFacts) -> str:
    """Return the key by which the list goes on after ``page``, or before it."""
    return f"{page.date.isoformat()}~{page.slug}"


def read_key(key: str) -> tuple[int, str]:
    """Return the place in the list that a key means: age and slug. Raises ValueError for a key of no list."""
    day, mark, slug = key.partition("~")
    if not mark or not slug:
        raise ValueError(f"{key!r} is no key of the list")
    return -dt.date.fromisoformat(day).toordinal(), slug


def make_json_ld(shown: PageView | TeaserView, site_name: str, origin: str) -> Markup:
    """Describe ``shown`` as schema.org's Article, safe inside a <script>. Nothing is in it that the page hides.

    ``isAccessibleForFree`` follows developers.google.com/search/docs/appearance/structured-data/paywalled-content.
    """
    article = {
        "@context": "https://schema.org",
        "@type": "Article",
        "headline": shown.title,
        "description": shown.summary,
        "datePublished": shown.date.isoformat(),
        "dateModified": shown.updated.isoformat(timespec="seconds"),
        "mainEntityOfPage": shown.canonical,
        "url": shown.canonical,
        "keywords": list(shown.tags),
        "isAccessibleForFree": shown.access == "public",
        "publisher": {"@type": "Organization", "name": site_name, "url": f"{origin}/"},
    }
    text = json.dumps(article)
    for character in "<>&'":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704 - every special character of HTML is escaped
