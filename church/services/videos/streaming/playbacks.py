"""What metrics call a video, and which of a player's many requests is the first of a playback."""

from __future__ import annotations

import time
from collections import OrderedDict

from flask import current_app

from church.extensions import store
from church.services.videos.library import first_slugs
from church.store import StoreDownError

NAMED = 200
"""Videos that metrics name; any later one is ``other``."""
_KEPT_SECONDS = 12 * 3600.0
_MOST = 4096
_NAMES_SECONDS = 60.0
_EXTENSION = "video_playbacks"


class _Memory:
    """What one process remembers: the playbacks it has seen, and the names of the first videos."""

    def __init__(self) -> None:
        self.seen: OrderedDict[str, None] = OrderedDict()
        self.names: frozenset[str] = frozenset()
        self.named_at = float("-inf")

    def note(self, playback: str) -> bool:
        """Whether it is new here; the oldest are forgotten beyond 4096."""
        new = playback not in self.seen
        self.seen[playback] = None
        self.seen.move_to_end(playback)
        if len(self.seen) > _MOST:
            self.seen.popitem(last=False)
        return new


def is_first(video: str, playback: str) -> bool:
    """Whether no request of this playback was let in before, by any worker; true once.

    While the store is down each worker knows its own: a playback then counts once a worker.
    """
    name = f"{video}:{playback}"
    if not _memory().note(name):
        return False
    try:
        return store.claim(f"playback:{name}", _KEPT_SECONDS)
    except StoreDownError:
        return True


def label(slug: str) -> str:
    """What metrics call the existing video at ``slug``. Raises DatabaseDownError, DatabaseBusyError."""
    memory, now = _memory(), time.monotonic()
    is_new = slug not in memory.names and len(memory.names) < NAMED
    if is_new or now - memory.named_at > _NAMES_SECONDS:
        memory.names, memory.named_at = frozenset(first_slugs(NAMED)), now
    return slug if slug in memory.names else "other"


def _memory() -> _Memory:
    found: _Memory = current_app.extensions.setdefault(_EXTENSION, _Memory())
    return found
