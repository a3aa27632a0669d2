"""A bounded memory of rendered pages, in which a page that several ask for at once is rendered once."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future

from church.lib.threads import off_hub
from church.services.pages.front_matter import Page, Stamp
from church.services.pages.render import Rendered, RenderError, render

log = logging.getLogger("church.pages")

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
