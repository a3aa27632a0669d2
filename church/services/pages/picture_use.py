"""Which pages show a picture, and whether a rendered page still shows its pictures as they are."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Sequence

from church.lib.threads import run_off_hub
from church.services.pages.front_matter import FileVersion, Page
from church.services.pages.library import Library
from church.services.pages.pictures import PictureFolder, PictureVersion
from church.services.pages.render import Rendered, RenderError

_FRESH_SECONDS = 1.0
_MOST_KEPT = 20_000  # answers about pictures
_WORD = re.compile(r"[A-Za-z0-9]+")


class PictureUse:
    """Finds the pages that show a picture. Each version of a page is rendered for that at most once."""

    def __init__(self, render: Callable[[Page], Rendered]) -> None:
        self._render = render
        self._shown: dict[FileVersion, frozenset[str]] = {}
        self._pages: dict[str, tuple[Page, ...]] = {}
        self._version = ""

    def find_pages(self, library: Library, path: str) -> tuple[Page, ...]:
        """Return the pages of ``library``, also the unpublished, that show the picture at ``path``."""
        if library.version != self._version or len(self._pages) > _MOST_KEPT:
            pages = (*library.pages, *library.unpublished)
            self._shown = {page.stamp: self._shown[page.stamp] for page in pages if page.stamp in self._shown}
            self._pages, self._version = {}, library.version
        found = self._pages  # another greenlet may begin a newer library while this one renders
        if path not in found:
            # However the path is written, with %20, an entity or decomposed letters: this word of it is the same.
            word = max(_WORD.findall(path.rpartition("/")[2]), key=len, default="")
            candidates = [page for page in (*library.pages, *library.unpublished) if word in page.source]
            found[path] = tuple(page for page in candidates if path in self._shown_by(page))
        return found[path]

    def _shown_by(self, page: Page) -> frozenset[str]:
        if page.stamp not in self._shown:
            try:
                self._shown[page.stamp] = frozenset(version.path for version in self._render(page).pictures)
            except RenderError:
                return frozenset()
        return self._shown[page.stamp]


class PictureWatch:
    """Notices when a picture changes, comes or goes, within a second."""

    def __init__(self, folder: PictureFolder, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._clock = clock
        self._seen: dict[str, tuple[float, PictureVersion]] = {}

    def is_current(self, versions: Sequence[PictureVersion]) -> bool:
        """Whether these are the versions of now."""
        now = self._clock()
        old = [version.path for version in versions if not self._is_fresh(version.path, now)]
        if old:
            if len(self._seen) > _MOST_KEPT:
                self._seen.clear()
            self._seen |= {found.path: (now, found) for found in run_off_hub(self._look, old)}
        return all((found := self._seen.get(version.path)) is None or found[1] == version for version in versions)

    def _is_fresh(self, path: str, now: float) -> bool:
        return path in self._seen and now - self._seen[path][0] < _FRESH_SECONDS

    def _look(self, paths: Iterable[str]) -> list[PictureVersion]:
        return [self._folder.look(path) for path in paths]
