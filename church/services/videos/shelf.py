"""The newest videos for the pages and feeds that are everybody's: home, Atom feed, sitemap.

Kept for a few seconds, and as they were while the database is away: none of these waits for it, or fails with it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from flask import current_app
from sqlalchemy.exc import SQLAlchemyError

from church.errors import UnavailableError
from church.services.videos.library import listing
from church.services.videos.presenters import VideoCard

_EXTENSION = "video_shelf"
_KEPT_SECONDS = 5.0
_NEWEST_KEPT = 1000


@dataclass(frozen=True)
class _Look:
    until: float
    videos: tuple[VideoCard, ...]


def newest(limit: int = _NEWEST_KEPT) -> tuple[VideoCard, ...]:
    """The newest ready videos as a stranger sees them. Never raises for the database's sake."""
    look: _Look | None = current_app.extensions.get(_EXTENSION)
    now = time.monotonic()
    if look is None or now >= look.until:
        # Whoever comes while this one asks is given what is known.
        known = look.videos if look is not None else ()
        current_app.extensions[_EXTENSION] = _Look(now + _KEPT_SECONDS, known)
        look = current_app.extensions[_EXTENSION] = _Look(now + _KEPT_SECONDS, _listed(known))
    return look.videos[:limit]


def _listed(known: tuple[VideoCard, ...]) -> tuple[VideoCard, ...]:
    try:
        return listing(limit=_NEWEST_KEPT)
    except (UnavailableError, SQLAlchemyError):  # the latter before the migrations
        return known


def modified() -> float:
    """When the newest of them was published, in seconds since 1970; 0 where there is none."""
    return max((video.published_at.timestamp() for video in newest()), default=0.0)
