"""Markdown to HTML: each page once, off the hub, kept while there is room."""

from __future__ import annotations

import html
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import markdown
from markdown.extensions.toc import slugify_unicode
from markupsafe import Markup

from church.lib.threads import off_hub
from church.services.pages.clean_html import RESERVED_IDS, clean
from church.services.pages.front_matter import Page, Stamp
from church.services.pages.teaser import read

log = logging.getLogger("church.pages")

_EXTENSIONS = ("toc", "tables", "fenced_code", "codehilite", "footnotes", "admonition", "sane_lists")


class RenderError(Exception):
    """The markdown of one page cannot be rendered; the message says why, for the person who wrote it."""


@dataclass(frozen=True)
class TocEntry:
    """One line of a table of contents."""

    id: str
    title: str
    level: int
    children: tuple[TocEntry, ...] = ()


@dataclass(frozen=True)
class Rendered:
    """What a page is after rendering. ``headings`` are those of its highest level, for who may not read it."""

    html: Markup
    toc: tuple[TocEntry, ...]
    headings: tuple[str, ...]
    opening: Markup
    opening_text: str
    text: str

    @property
    def weight(self) -> int:
        """About how many characters this holds."""
        return len(self.html) + len(self.text) + len(self.opening)


def render(page: Page) -> Rendered:
    """Render ``page``. Computes for long: call it off the hub. Raises RenderError."""
    engine = markdown.Markdown(
        extensions=list(_EXTENSIONS),
        extension_configs={
            "toc": {"marker": "", "slugify": _slugify},
            "tables": {"use_align_attribute": True},
            "codehilite": {"guess_lang": False, "css_class": "codehilite"},
        },
        output_format="html",
    )
    try:
        raw = engine.convert(_without_title(page))
        cleaned = clean(raw)
        reading = read(cleaned)
    except Exception as error:
        raise RenderError(f"{type(error).__name__}: {str(error)[:200]}") from error
    toc = _toc(getattr(engine, "toc_tokens", []))
    return Rendered(
        html=Markup(cleaned),  # noqa: S704 - cleaned by nh3 a few lines up
        toc=toc,
        headings=tuple(entry.title for entry in toc),
        opening=Markup(reading.opening),  # noqa: S704 - cut from the same cleaned HTML
        opening_text=reading.opening_text,
        text=reading.text,
    )


def render_fragment(source: str) -> Markup:
    """A short markdown text that is no page, such as a description: without ids. Off the hub. Raises RenderError."""
    try:
        cleaned = clean(markdown.markdown(source, extensions=["sane_lists"], output_format="html"))
    except Exception as error:
        raise RenderError(f"{type(error).__name__}: {str(error)[:200]}") from error
    return Markup(cleaned)  # noqa: S704 - cleaned by nh3 a few lines up


def _slugify(value: str, separator: str) -> str:
    """An id for a heading: in the letters of its language, not one that the templates use."""
    made = slugify_unicode(value, separator)
    return f"{made}{separator}section" if made in RESERVED_IDS else made


def _without_title(page: Page) -> str:
    """Writers often repeat the title as the first heading; the template has it already."""
    first, _, rest = page.source.lstrip("\n").partition("\n")
    if first.startswith("# ") and " ".join(first[2:].strip(" #").split()) == page.title:
        return rest
    return page.source


def _toc(tokens: list[Any]) -> tuple[TocEntry, ...]:
    return tuple(
        TocEntry(token["id"], html.unescape(token["name"]), token["level"], _toc(token["children"])) for token in tokens
    )


MOST_CHARACTERS = 32_000_000


class RenderCache:
    """Rendered pages by (path, mtime, size), the least recently used dropped beyond ``room`` characters."""

    def __init__(self, *, room: int = MOST_CHARACTERS, renderer: Callable[[Page], Rendered] = render) -> None:
        self._room = room
        self._render = renderer
        self._lock = threading.Lock()
        self._kept: OrderedDict[Stamp, Future[Rendered | RenderError]] = OrderedDict()
        self._weights: dict[Stamp, int] = {}
        self._total = 0

    def get(self, page: Page) -> Rendered:
        """The rendered page. Raises RenderError; that a page cannot be rendered is found out once, too."""
        with self._lock:
            future = self._kept.get(page.stamp)
            if mine := future is None:
                future = self._kept[page.stamp] = Future()
            self._kept.move_to_end(page.stamp)
        if mine:
            self._fill(page, future)
        found = future.result()
        if isinstance(found, RenderError):
            raise RenderError(str(found))  # a new one: an exception that is raised again grows its traceback
        return found

    def _fill(self, page: Page, future: Future[Rendered | RenderError]) -> None:
        try:
            found = self._outcome(page)
        except BaseException as error:  # a killed greenlet must not leave the others waiting, nor stay in memory
            with self._lock:
                self._kept.pop(page.stamp, None)
            future.set_result(RenderError(f"given up: {type(error).__name__}"))
            raise
        future.set_result(found)
        self._weigh(page.stamp, found.weight if isinstance(found, Rendered) else 1000)

    def _outcome(self, page: Page) -> Rendered | RenderError:
        try:
            return off_hub(self._render, page)
        except RenderError as error:
            facts = {"event": "pages.unrenderable", "page": page.slug, "reason": str(error)}
            log.error("page not rendered", extra=facts)  # noqa: TRY400 - the writer needs the reason, not our stack
            return RenderError(str(error))

    def _weigh(self, stamp: Stamp, weight: int) -> None:
        with self._lock:
            self._weights[stamp] = weight
            self._total += weight
            if self._total <= self._room:
                return
            for oldest in [kept for kept in self._kept if kept in self._weights]:
                self._total -= self._weights.pop(oldest)
                del self._kept[oldest]
                if self._total <= self._room:
                    return
