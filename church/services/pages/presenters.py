"""What the templates get of a page: a card in a list, the whole page, or the part that is open to everybody."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from church.services.pages.front_matter import Page
from church.services.pages.render import Rendered, TocEntry


@dataclass(frozen=True)
class PageCard:
    """A page in a list. ``snippet``: where a search found its words, with them in <mark>."""

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
    snippet: Markup | None = None


@dataclass(frozen=True, kw_only=True)
class PageView(PageCard):
    """A whole page, for a reader who may have it."""

    canonical: str
    html: Markup
    toc: tuple[TocEntry, ...]
    previous: PageCard | None = None
    next: PageCard | None = None


@dataclass(frozen=True, kw_only=True)
class TeaserView(PageCard):
    """A page for a reader who may not have it; holds nothing of the hidden text."""

    canonical: str
    opening: Markup
    headings: tuple[str, ...]


def card(page: Page, snippet: Markup | None = None) -> PageCard:
    """``page`` as an entry of a list. A draft, which only development shows, says so in its title."""
    return PageCard(snippet=snippet, **_facts(page))


def view(page: Page, rendered: Rendered, origin: str, older: Page | None, newer: Page | None) -> PageView:
    """The whole of ``page``; ``origin`` is the scheme and host of its canonical address."""
    facts = _facts(page)
    return PageView(
        canonical=origin + facts["url"],
        html=rendered.html,
        toc=rendered.toc,
        previous=card(older) if older else None,
        next=card(newer) if newer else None,
        **facts,
    )


def teaser(page: Page, rendered: Rendered, origin: str) -> TeaserView:
    """What of ``page`` everybody may see."""
    facts = _facts(page)
    return TeaserView(canonical=origin + facts["url"], opening=rendered.opening, headings=rendered.headings, **facts)


def _facts(page: Page) -> dict[str, Any]:
    return {
        "slug": page.slug,
        "url": url_of(page),
        "title": f"Draft: {page.title}" if page.draft else page.title,
        "summary": page.summary,
        "date": page.date,
        "updated": page.updated,
        "access": page.access.value,
        "tags": page.tags,
        "minutes": page.minutes,
        "draft": page.draft,
    }


def url_of(page: Page) -> str:
    """The path of ``page`` on the site."""
    return f"/pages/{quote(page.slug)}"


def json_ld(shown: PageView | TeaserView, site_name: str, origin: str) -> Markup:
    """schema.org's Article for ``shown``, from what is shown and nothing else, safe inside a <script>.

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
    return Markup(text)  # noqa: S704 - every character that HTML knows is escaped
