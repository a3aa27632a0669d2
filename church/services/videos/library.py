"""The library as its readers meet it: the list, the watch page, what streams, the search."""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flask import current_app
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from church.config import current_settings
from church.errors import ForbiddenError, UnavailableError
from church.extensions import db
from church.models import Video, WatchPosition
from church.models.pages import search_words
from church.models.videos import VideoState
from church.services.access import ANONYMOUS, Access, Reader, may_read
from church.services.videos import positions, queries
from church.services.videos.descriptions import described
from church.services.videos.errors import UnknownVideoError
from church.services.videos.presenters import Playable, VideoCard, WatchView
from church.services.videos.storage.local import POSTER, SPRITE, THUMBS, folder_of

_RELATED = 4
_MOST = 1000
_ACCENT = "Mn"  # Unicode's category


def listing(
    reader: Reader = ANONYMOUS, user_id: int | None = None, limit: int = _MOST, skip: int = 0
) -> tuple[VideoCard, ...]:
    """The ready videos, newest first, after the first ``skip`` of them, with where the member is in each.

    Raises DatabaseDownError, DatabaseBusyError.
    """
    with db.read() as session:
        videos = _newest(session, limit, skip)
        watched = positions.watched(session, user_id, [video.id for video in videos])
    return queries.cards(videos, reader, watched)


def begun(reader: Reader, user_id: int, limit: int) -> tuple[VideoCard, ...]:
    """The videos open to ``reader`` that the member has begun and not finished, the last watched first."""
    mine = select(Video).join(WatchPosition).where(WatchPosition.user_id == user_id, ~WatchPosition.finished)
    levels = [level.value for level in Access if may_read(level, reader)]
    there = mine.where(Video.state == VideoState.READY.value, Video.access_level.in_(levels))
    with db.read() as session:
        videos = session.scalars(there.order_by(WatchPosition.updated_at.desc(), Video.id.desc()).limit(limit)).all()
        watched = positions.watched(session, user_id, [video.id for video in videos])
    return queries.cards(videos, reader, watched)


def search(query: str, reader: Reader = ANONYMOUS, limit: int = 20) -> tuple[VideoCard, ...]:
    """The ready videos with every word of ``query`` in title or description, which are open to everybody."""
    words = [_folded(word) for word in search_words(query)]
    if not words:
        return ()
    with db.read() as session:
        videos = _newest(session, _MOST)
    found = [(video, _folded(video.title), _folded(video.description)) for video in videos]
    hits = [(v, title) for v, title, text in found if all(word in title or word in text for word in words)]
    hits.sort(key=lambda hit: not all(word in hit[1] for word in words))
    return queries.cards([video for video, _ in hits[:limit]], reader, {})


def watch_view(slug: str, reader: Reader, user_id: int | None) -> WatchView:
    """The watch page at ``slug``, as far as it is open to ``reader``. Raises UnknownVideoError."""
    with db.read() as session:
        video = queries.ready(session, slug)
        others = [other for other in _newest(session, 50) if other.id != video.id]
        facts = queries.card_facts(video, reader)
        inside: dict[str, Any] = {}
        if facts["open"]:
            inside = {
                "qualities": tuple(
                    one.quality for one in queries.renditions(session, current_settings(), video)[video.id]
                ),
                "captions": queries.captions(session, current_settings(), video)[video.id],
                "chapters": queries.chapters(video),
                "has_thumbs": video.has_thumbs,
            }
        watched = positions.watched(session, user_id)
        resume = user_id is None or positions.wants(session, user_id)
    related = queries.cards(_related(video, others), reader, watched)
    return WatchView(
        watched=watched.get(video.id),
        description=described(video.description),
        related=related,
        resume=resume,
        **facts,
        **inside,
    )


def playable(slug: str) -> Playable:
    """What streaming needs of the ready video at ``slug``; two reads by index. Raises UnknownVideoError.

    It asks nobody for a right: that is the caller's, by ``access``.
    """
    with db.read() as session:
        video = queries.ready(session, slug)
        renditions = queries.renditions(session, current_settings(), video)[video.id]
    return Playable(
        id=video.id,
        ref=video.ref,
        slug=video.slug,
        title=video.title,
        access=video.access_level,
        duration_ms=video.duration_ms or 0,
        renditions={one.quality: one for one in renditions},
    )


def asset(slug: str, name: str, reader: Reader) -> Path:
    """A small file of a ready video: ``POSTER``, which is everybody's, ``SPRITE``, ``THUMBS`` or a caption's file.

    Raises UnknownVideoError where there is none, ForbiddenError for who may not watch it.
    """
    with db.read() as session:
        video = queries.ready(session, slug)
        there = {POSTER: video.has_poster, SPRITE: video.has_thumbs, THUMBS: video.has_thumbs}
        there |= {caption.path.name: True for caption in queries.captions(session, current_settings(), video)[video.id]}
    if not there.get(name):
        raise UnknownVideoError
    if name != POSTER and not may_read(video.access_level, reader):
        raise ForbiddenError
    return folder_of(current_settings(), video.ref) / name


def first_slugs(limit: int = 200) -> tuple[str, ...]:
    """The addresses of the first videos by creation: the ones that metrics name."""
    with db.read() as session:
        return tuple(session.scalars(select(Video.slug).order_by(Video.id).limit(limit)))


def _newest(session: Session, limit: int, skip: int = 0) -> Sequence[Video]:
    ready = select(Video).where(Video.state == VideoState.READY.value)
    return session.scalars(ready.order_by(Video.published_at.desc(), Video.id.desc()).limit(limit).offset(skip)).all()


def _related(video: Video, others: Sequence[Video]) -> Sequence[Video]:
    """Those that share most words of the title, the newest of equals first."""
    words = set(search_words(video.title))
    return sorted(others, key=lambda other: -len(words & set(search_words(other.title))))[:_RELATED]


def _folded(text: str) -> str:
    """Without case and accents; each letter is looked up once, for a search folds all that is said of all videos."""
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    accents = [letter for letter in set(decomposed) if unicodedata.category(letter) == _ACCENT]
    return decomposed.translate(dict.fromkeys(map(ord, accents)))


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
