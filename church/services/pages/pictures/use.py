"""Which pages show a picture, and whether a rendered page still shows its pictures as they are."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Sequence

from church.lib.threads import run_off_hub
from church.services.pages.front_matter import PageFacts
from church.services.pages.library import Library
from church.services.pages.pictures.files import PictureFolder, PictureVersion
from church.services.pages.render import ChangedPageError, Rendered, RenderError

_FRESH_SECONDS = 1.0
_MOST_KEPT = 20_000  # answers about pictures
_WORD = re.compile(r"[A-Za-z0-9]+")


class PictureUse:
    """Finds the pages that show a picture. A page that was not indexed since it changed is rendered for that, once."""

    def __init__(self, render: Callable[[PageFacts], Rendered]) -> None:
        self._render = render
        self._shown: dict[tuple[str, str], frozenset[str]] = {}
        self._pages: dict[str, tuple[PageFacts, ...]] = {}
        self._version = 0

    def find_pages(self, library: Library, path: str) -> tuple[PageFacts, ...]:
        """Return the pages of ``library``, also the unpublished, that show the picture at ``path``."""
        if library.version != self._version or len(self._pages) > _MOST_KEPT:
            self._pages, self._version = {}, library.version
        if len(self._shown) > _MOST_KEPT:
            self._shown.clear()
        found = self._pages  # another greenlet may begin a newer library while this one renders
        if path not in found:
            # However the path is written, with %20, an entity or decomposed letters: this word of it is the same.
            word = max(_WORD.findall(path.rpartition("/")[2]), key=len, default="")
            candidates = library.may_show(word)
            shown = tuple(page for page in candidates if path in self._shown_by(page))
            found[path] = (*library.shows(path), *shown)
        return found[path]

    def _shown_by(self, page: PageFacts) -> frozenset[str]:
        if page.version not in self._shown:
            try:
                self._shown[page.version] = frozenset(version.path for version in self._render(page).pictures)
            except (RenderError, ChangedPageError):
                return frozenset()
        return self._shown[page.version]


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

    def is_version(self, path: str, stamp: tuple[int, int] | None) -> bool:
        """Whether this is the version of the picture at ``path`` now."""
        return self.is_current([PictureVersion(path, stamp)])

    def forget(self) -> None:
        """Look at every picture again when it is next asked for."""
        self._seen.clear()

    def _is_fresh(self, path: str, now: float) -> bool:
        return path in self._seen and now - self._seen[path][0] < _FRESH_SECONDS

    def _look(self, paths: Iterable[str]) -> list[PictureVersion]:
        return [self._folder.look(path) for path in paths]
