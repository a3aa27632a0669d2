"""Count playbacks for metrics: tell the first request of a playback from the rest, and label videos by slug."""

from __future__ import annotations

import time
from collections import OrderedDict

from church.extensions import store
from church.lib.app_context import app_state
from church.services.videos.library import list_first_slugs
from church.store import StoreDownError

MAX_NAMED = 200
"""Videos that metrics name, the oldest first; the label of all others is ``other``."""
_REMEMBERED_SECONDS = 12 * 3600.0
_MAX_REMEMBERED = 4096
_SLUGS_SECONDS = 60.0
_EXTENSION = "video_playbacks"  # key in app.extensions


class _Memory:
    """What one process remembers: recent playbacks, and the slugs of the first videos."""

    def __init__(self) -> None:
        self.seen: OrderedDict[str, None] = OrderedDict()
        self.slugs: frozenset[str] = frozenset()
        self.loaded_at = float("-inf")

    def add(self, playback: str) -> bool:
        """Remember a playback; True if it is new. Beyond 4096 the oldest are dropped."""
        new = playback not in self.seen
        self.seen[playback] = None
        self.seen.move_to_end(playback)
        if len(self.seen) > _MAX_REMEMBERED:
            self.seen.popitem(last=False)
        return new


def is_first_request(video: str, playback: str) -> bool:
    """Whether this is the first request of a playback on any worker; true once.

    While the store is down each worker counts for itself, so a playback can count once a worker.
    """
    name = f"{video}:{playback}"
    if not _memory().add(name):
        return False
    try:
        return store.claim(f"playback:{name}", _REMEMBERED_SECONDS)
    except StoreDownError:
        return True


def choose_label(slug: str) -> str:
    """Return the metrics label of an existing video. Raises DatabaseDownError, DatabaseBusyError."""
    memory, now = _memory(), time.monotonic()
    may_be_new = slug not in memory.slugs and len(memory.slugs) < MAX_NAMED
    if may_be_new or now - memory.loaded_at > _SLUGS_SECONDS:
        memory.slugs, memory.loaded_at = frozenset(list_first_slugs(MAX_NAMED)), now
    return slug if slug in memory.slugs else "other"


def _memory() -> _Memory:
    memory: _Memory = app_state().setdefault(_EXTENSION, _Memory())
    return memory
