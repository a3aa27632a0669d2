"""Render markdown to clean HTML, each page once, off the hub, and cache the result."""

from __future__ import annotations

import html
import logging
import re
import threading
import unicodedata
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from church.lib.threads import run_off_hub
from church.services.pages.clean_html import RESERVED_IDS, clean_markup
from church.services.pages.front_matter import Page, PageFacts
from church.services.pages.pictures.files import PictureVersion
from church.services.pages.pictures.placed import FindPicture, place_pictures
from church.services.pages.removed_markup import MOST_NAMED, name_removed
from church.services.pages.teaser import extract_text
from church.services.pages.video_links import place_cards, replace_frames

if TYPE_CHECKING:
    from markdown import Markdown

log = logging.getLogger("church.pages")

_RESERVED = {0x02: None, 0x03: None}


class RenderError(Exception):
    """The markdown of a page cannot be rendered. The message is for its author."""


class ChangedPageError(Exception):
    """The file of a page is not as it was when the page was looked up."""


@dataclass(frozen=True)
class TocEntry:
    """One line of a table of contents."""

    id: str
    title: str
    level: int
    children: tuple[TocEntry, ...] = ()


@dataclass(frozen=True)
class PageNotices:
    """What the author of a page should know: markup that was removed, and pictures that cannot be shown."""

    removed: tuple[str, ...] = ()
    pictures: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.removed or self.pictures)


@dataclass(frozen=True)
class Rendered:
    """A rendered page. ``headings`` are those of the highest level, which readers without access see too.

    ``pictures`` are those beside the page that it shows, in the version that it shows, and those that are missing.
    """

    html: Markup
    toc: tuple[TocEntry, ...]
    headings: tuple[str, ...]
    opening: Markup
    opening_text: str
    text: str
    pictures: tuple[PictureVersion, ...] = ()
    notices: PageNotices = PageNotices()

    @property
    def weight(self) -> int:
        """About how many characters this keeps in memory."""
        return len(self.html) + len(self.text) + len(self.opening)


def _find_no_picture(_page: str, _reference: str) -> None:
    return None


def render_page(page: Page, find_picture: FindPicture = _find_no_picture) -> Rendered:
    """Render ``page``. Takes long: call it off the hub, and ``load_renderer`` before. Raises RenderError."""
    engine = _make_engine()
    try:
        raw = engine.convert(_without_title(page))
        placed = place_pictures(clean_markup(replace_frames(raw)), page.stamp.path, find_picture)
        shown = place_cards(placed.html)
        reading = extract_text(shown)
        removed = name_removed(map(replace_frames, _list_written_html(engine)), _list_links(engine))
    except Exception as error:
        raise RenderError(f"{type(error).__name__}: {str(error)[:200]}") from error
    toc = _toc(getattr(engine, "toc_tokens", []))
    return Rendered(
        html=Markup(shown),  # noqa: S704 - cleaned by nh3 a few lines up
        toc=toc,
        headings=tuple(entry.title for entry in toc),
        opening=Markup(reading.opening),  # noqa: S704 - cut from the same cleaned HTML
        opening_text=reading.opening_text,
        text=reading.text,
        pictures=tuple(placed.versions.values()),
        notices=PageNotices(removed, _name_pictures(placed.problems)),
    )


def _name_pictures(problems: dict[str, str]) -> tuple[str, ...]:
    named = [f"{reference}: {problem}" for reference, problem in problems.items()]
    rest = len(named) - MOST_NAMED
    return (*named[:MOST_NAMED], f"and {rest} more") if rest > 0 else tuple(named)


@cache
def load_renderer() -> None:
    """Import everything that rendering needs. Call it on the hub: imports in gevent's threads can deadlock."""
    _make_engine()
    clean_markup("")


def _make_engine(*, with_ids: bool = True) -> Markdown:
    import markdown  # noqa: PLC0415 - loaded when the first page is rendered

    from church.services.pages.commonmark.block_elements import CommonMark  # noqa: PLC0415 - as above
    from church.services.pages.commonmark.footnotes import Footnotes  # noqa: PLC0415 - as above

    return markdown.Markdown(
        extensions=[*(("toc", Footnotes()) if with_ids else ()), CommonMark()],
        extension_configs={"toc": {"marker": "", "slugify": _slugify}} if with_ids else {},
        output_format="html",
    )


def _list_written_html(engine: Markdown) -> list[str]:
    """List the pieces of HTML in the page that ``engine`` has converted."""
    from church.services.pages.commonmark.block_elements import BlockElements  # noqa: PLC0415 - loaded already

    return engine.parser.written if isinstance(engine.parser, BlockElements) else []


def _list_links(engine: Markdown) -> list[tuple[str, str]]:
    """List tags and addresses of the links and pictures in the page that ``engine`` has converted."""
    from church.services.pages.commonmark.inline_elements import InlineElements  # noqa: PLC0415 - loaded already

    reader = engine.treeprocessors["inline"]
    return reader.links if isinstance(reader, InlineElements) else []


def _prepare(source: str) -> str:
    """Write letters composed, so that a link finds its heading, and drop the characters that the engine marks with."""
    return unicodedata.normalize("NFC", source.replace("\r\n", "\n").replace("\r", "\n").translate(_RESERVED))


def render_fragment(source: str) -> Markup:
    """Render a short markdown text, such as a description, without ids. Raises RenderError."""
    load_renderer()
    return run_off_hub(_render_fragment, source)


def _render_fragment(source: str) -> Markup:
    try:
        cleaned = place_cards(clean_markup(replace_frames(_make_engine(with_ids=False).convert(_prepare(source)))))
    except Exception as error:
        raise RenderError(f"{type(error).__name__}: {str(error)[:200]}") from error
    return Markup(cleaned)  # noqa: S704 - cleaned by nh3 a few lines up


def _slugify(value: str, separator: str) -> str:
    """Make the id of a heading, in the letters of its language. An id that the templates use gets a suffix."""
    kept: list[str] = []
    for character in unicodedata.normalize("NFC", value.lower()):
        if character.isalnum() or character.isspace() or character in "_-" or _is_accent(character, kept[-1:]):
            kept.append(character)
    slug = re.sub(rf"[{re.escape(separator)}\s]+", separator, "".join(kept).strip())
    return f"{slug}{separator}section" if slug in RESERVED_IDS else slug


def _is_accent(character: str, before: list[str]) -> bool:
    """Whether a mark belongs to the letter before it, such as the vowel signs of Hindi, which are never composed."""
    if unicodedata.category(character) not in {"Mn", "Mc"} or "\ufe00" <= character <= "\ufe0f":
        return False
    return bool(before) and (before[0].isalnum() or unicodedata.category(before[0]) in {"Mn", "Mc"})


def _without_title(page: Page) -> str:
    """Drop a first heading that repeats the title, which the template shows already."""
    source = _prepare(page.source)
    first, _, rest = source.lstrip("\n").partition("\n")
    mark, _, text = first.strip().replace("\t", " ").partition(" ")
    open_end = text.rstrip("#")
    text = open_end if open_end.endswith(" ") else text
    is_title = mark == "#" and " ".join(text.split()) == unicodedata.normalize("NFC", page.title)
    return rest if is_title else source


def _toc(tokens: list[Any]) -> tuple[TocEntry, ...]:
    return tuple(
        TocEntry(token["id"], html.unescape(token["name"]), token["level"], _toc(token["children"])) for token in tokens
    )


MOST_CHARACTERS = 8_000_000
_Version = tuple[str, str]


class RenderCache:
    """Rendered pages by their version, without their text. Beyond ``room`` characters, drops those not used for long.

    A page is rendered anew when ``is_current`` says that its pictures have changed.
    """

    def __init__(
        self,
        *,
        room: int = MOST_CHARACTERS,
        renderer: Callable[[PageFacts], Rendered],
        is_current: Callable[[Sequence[PictureVersion]], bool] = lambda _: True,
    ) -> None:
        self._room = room
        self._render = renderer
        self._is_current = is_current
        self._lock = threading.Lock()
        self._results: OrderedDict[_Version, Future[Rendered | RenderError]] = OrderedDict()
        self._weights: dict[_Version, int] = {}
        self._total = 0

    def get(self, page: PageFacts) -> Rendered:
        """Return the rendered page. Raises RenderError, which is cached too, and ChangedPageError."""
        result = self._find(page)
        if isinstance(result, Rendered) and result.pictures and not self._is_current(result.pictures):
            self._drop(page.version, result)
            result = self._find(page)
        if isinstance(result, RenderError):
            raise RenderError(str(result))  # a new one, as an exception that is raised again grows its traceback
        return result

    def _find(self, page: PageFacts) -> Rendered | RenderError:
        with self._lock:
            future = self._results.get(page.version)
            if is_new := future is None:
                future = self._results[page.version] = Future()
            self._results.move_to_end(page.version)
        if is_new:
            self._fill(page, future)
        return future.result()

    def _drop(self, version: _Version, outdated: Rendered) -> None:
        """Forget a rendered page, unless another greenlet has replaced it."""
        with self._lock:
            future = self._results.get(version)
            if future is not None and future.done() and future.result() is outdated:
                del self._results[version]
                self._total -= self._weights.pop(version, 0)

    def _fill(self, page: PageFacts, future: Future[Rendered | RenderError]) -> None:
        try:
            result = self._try_render(page)
        except BaseException as error:  # a killed greenlet must not leave the others waiting, nor stay in memory
            with self._lock:
                self._results.pop(page.version, None)
            future.set_result(RenderError(f"given up: {type(error).__name__}"))
            raise
        future.set_result(result)
        self._add_weight(page.version, result.weight if isinstance(result, Rendered) else 1000)

    def _try_render(self, page: PageFacts) -> Rendered | RenderError:
        load_renderer()
        try:
            return replace(run_off_hub(self._render, page), text="")
        except RenderError as error:
            facts = {"event": "pages.unrenderable", "page": page.slug, "reason": str(error)}
            log.error("page not rendered", extra=facts)  # noqa: TRY400 - the author needs the reason, not our stack
            return RenderError(str(error))

    def _add_weight(self, version: _Version, weight: int) -> None:
        with self._lock:
            self._weights[version] = weight
            self._total += weight
            if self._total <= self._room:
                return
            while self._total > self._room:
                oldest = next((each for each in self._results if each in self._weights), None)
                if oldest is None:
                    return
                self._total -= self._weights.pop(oldest)
                del self._results[oldest]
