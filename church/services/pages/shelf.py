"""Keeps the newest snapshot of the content folder, looked at again at most once a second."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from church.lib.threads import off_hub
from church.services.pages.folder import scan
from church.services.pages.library import Library

log = logging.getLogger("church.pages")

LOOK_SECONDS = 1.0


class Shelf:
    """Keeps the newest Library of one folder. ``drafts``: whether drafts are among the pages."""

    def __init__(self, root: Path, *, drafts: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self._root = root
        self._drafts = drafts
        self._clock = clock
        self._looking = threading.Lock()
        self._library: Library | None = None
        self._looked_at = 0.0

    def current(self) -> Library:
        """The library as it is, at most a second old.

        While one greenlet looks, the others go on with what is known; only the very first look is waited for.
        """
        known = self._library
        if known is not None and self._clock() - self._looked_at < LOOK_SECONDS:
            return known
        if not self._looking.acquire(blocking=known is None):
            return known or Library()
        try:
            return self._look()
        finally:
            self._looking.release()

    def _look(self) -> Library:
        known = self._library
        if known is not None and self._clock() - self._looked_at < LOOK_SECONDS:
            return known  # somebody else looked while we waited for the lock
        try:
            seen = off_hub(scan, self._root, known or Library(), self._drafts)
        except OSError as error:
            facts = {"event": "pages.unreadable", "reason": str(error)}
            log.error("content folder cannot be read", extra=facts)  # noqa: TRY400 - the reason is enough
            seen = known or Library()
        self._looked_at = self._clock()
        if known is None or seen.version != known.version:
            _tell(seen, known or Library())
            self._library = seen
        return self._library or seen


def _tell(seen: Library, known: Library) -> None:
    """Log what is left out, once for each state of its file."""
    before = {problem: known.stamp_of(problem.path) for problem in known.problems}
    for problem in seen.problems:
        if problem not in before or before[problem] != seen.stamp_of(problem.path):
            facts = {"event": "pages.invalid", "page": problem.path, "reason": problem.reason}
            log.warning("page left out", extra=facts)
