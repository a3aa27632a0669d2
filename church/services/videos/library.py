"""The video library for readers: lists and search, one video with its files, and a cached list of the newest."""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from church.config import current_settings
from church.errors import ForbiddenError, UnavailableError
from church.extensions import db
from church.lib.app_context import app_state
from church.models import Video, WatchPosition
from church.models.videos import VideoState
from church.services.access import ANONYMOUS, Access, Reader, may_read
from church.services.pages import search_words
from church.services.videos import positions, queries
from church.services.videos.descriptions import render_description
from church.services.videos.errors import UnknownVideoError
from church.services.videos.presenters import PlayableVideo, VideoCard, WatchView
from church.services.videos.storage.local import POSTER, SPRITE, THUMBS, video_folder

_MAX_LISTED = 1000
_MAX_RELATED = 4
_RELATED_POOL = 50  # related videos are chosen from the newest so many
_ACCENT = "Mn"  # Unicode category
_CACHE = "video_shelf"  # key in app.extensions
_CACHE_SECONDS = 5.0
_MAX_CACHED = 1000


# -- lists ----------------------------------------------------------------------------------------------------------


def list_videos(
    reader: Reader = ANONYMOUS, user_id: int | None = None, limit: int = _MAX_LISTED, skip: int = 0
) -> tuple[VideoCard, ...]:
    """List ready videos, newest first, with the member's position in each.

    Raises DatabaseDownError, DatabaseBusyError.
    """
    with db.read() as session:
        videos = _load_newest(session, limit, skip)
        watched = positions.load_positions(session, user_id, [video.id for video in videos])
    return queries.make_cards(videos, reader, watched)


def list_unfinished(reader: Reader, user_id: int, limit: int) -> tuple[VideoCard, ...]:
    """List videos that the member has started, not finished and may still watch, last watched first."""
    query = select(Video).join(WatchPosition).where(WatchPosition.user_id == user_id, ~WatchPosition.finished)
    levels = [level.value for level in Access if may_read(level, reader)]
    query = query.where(Video.state == VideoState.READY.value, Video.access_level.in_(levels))
    with db.read() as session:
        videos = session.scalars(query.order_by(WatchPosition.updated_at.desc(), Video.id.desc()).limit(limit)).all()
        watched = positions.load_positions(session, user_id, [video.id for video in videos])
    return queries.make_cards(videos, reader, watched)


def search_videos(query: str, reader: Reader = ANONYMOUS, limit: int = 20) -> tuple[VideoCard, ...]:
    """Find ready videos with every word of ``query`` in title or description; matches in the title come first.

    Videos that ``reader`` may not watch are included: title and description are public.
    """
    words = [_fold(word) for word in search_words(query)]
    if not words:
        return ()
    with db.read() as session:
        videos = _load_newest(session, _MAX_LISTED)
    texts = [(video, _fold(video.title), _fold(video.description)) for video in videos]
    hits = [(video, title) for video, title, text in texts if all(word in title or word in text for word in words)]
    hits.sort(key=lambda hit: not all(word in hit[1] for word in words))
    return queries.make_cards([video for video, _ in hits[:limit]], reader, {})


def list_first_slugs(limit: int = 200) -> tuple[str, ...]:
    """Return the slugs of the oldest videos: the ones that metrics name."""
    with db.read() as session:
        return tuple(session.scalars(select(Video.slug).order_by(Video.id).limit(limit)))


def _load_newest(session: Session, limit: int, skip: int = 0) -> Sequence[Video]:
    query = select(Video).where(Video.state == VideoState.READY.value)
    return session.scalars(query.order_by(Video.published_at.desc(), Video.id.desc()).limit(limit).offset(skip)).all()


def _fold(text: str) -> str:
    """Remove case and accents. Each letter is looked up once, because a search folds the text of every video."""
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    accents = [letter for letter in set(decomposed) if unicodedata.category(letter) == _ACCENT]
    return decomposed.translate(dict.fromkeys(map(ord, accents)))


# -- one video ------------------------------------------------------------------------------------------------------


def load_watch_view(slug: str, reader: Reader, user_id: int | None) -> WatchView:
    """Load the watch page, limited to what ``reader`` may see. Raises UnknownVideoError."""
    with db.read() as session:
        video = queries.load_ready(session, slug)
        others = [other for other in _load_newest(session, _RELATED_POOL) if other.id != video.id]
        card = queries.make_card_fields(video, reader)
        content = _load_content(session, video) if card["open"] else {}
        watched = positions.load_positions(session, user_id)
        resume = user_id is None or positions.is_resume_on(session, user_id)
    related = queries.make_cards(_choose_related(video, others), reader, watched)
    return WatchView(
        watched=watched.get(video.id),
        description=render_description(video.description),
        related=related,
        resume=resume,
        **card,
        **content,
    )


def _load_content(session: Session, video: Video) -> dict[str, Any]:
    """Load the fields of the watch page that only viewers who may watch the video get."""
    renditions = queries.load_renditions(session, current_settings(), video)[video.id]
    return {
        "qualities": tuple(rendition.quality for rendition in renditions),
        "captions": queries.load_captions(session, current_settings(), video)[video.id],
        "chapters": queries.read_chapters(video),
        "has_thumbs": video.has_thumbs,
    }


def _choose_related(video: Video, others: Sequence[Video]) -> Sequence[Video]:
    """Choose the videos that share most words of the title, the newest first among equals."""
    words = set(search_words(video.title))
    return sorted(others, key=lambda other: -len(words & set(search_words(other.title))))[:_MAX_RELATED]


def load_playable(slug: str) -> PlayableVideo:
    """Load what streaming needs of a ready video, with two indexed queries. Raises UnknownVideoError.

    Access is not checked here: the caller checks ``access``.
    """
    with db.read() as session:
        video = queries.load_ready(session, slug)
        renditions = queries.load_renditions(session, current_settings(), video)[video.id]
    return PlayableVideo(
        id=video.id,
        ref=video.ref,
        slug=video.slug,
        title=video.title,
        access=video.access_level,
        duration_ms=video.duration_ms or 0,
        renditions={rendition.quality: rendition for rendition in renditions},
    )


def find_asset(slug: str, name: str, reader: Reader) -> Path:
    """Return the path of a small file of a ready video: poster, thumbnails or captions. Posters are public.

    Raises UnknownVideoError if there is no such file, ForbiddenError if ``reader`` may not watch the video.
    """
    with db.read() as session:
        video = queries.load_ready(session, slug)
        files = {POSTER: video.has_poster, SPRITE: video.has_thumbs, THUMBS: video.has_thumbs}
        captions = queries.load_captions(session, current_settings(), video)[video.id]
        files |= {caption.path.name: True for caption in captions}
    if not files.get(name):
        raise UnknownVideoError
    if name != POSTER and not may_read(video.access_level, reader):
        raise ForbiddenError
    return video_folder(current_settings(), video.ref) / name


# -- the newest videos, cached for the home page, feed and sitemap --------------------------------------------------


@dataclass(frozen=True)
class _Cached:
    until: float
    videos: tuple[VideoCard, ...]


def list_newest(limit: int = _MAX_CACHED) -> tuple[VideoCard, ...]:
    """List the newest ready videos as a stranger sees them, up to 5 s old. Database errors are not raised.

    While the database is down the list is the last one that was loaded.
    """
    cached: _Cached | None = app_state().get(_CACHE)
    now = time.monotonic()
    if cached is None or now >= cached.until:
        # Requests that come while this one loads get the previous list.
        previous = cached.videos if cached is not None else ()
        app_state()[_CACHE] = _Cached(now + _CACHE_SECONDS, previous)
        cached = app_state()[_CACHE] = _Cached(now + _CACHE_SECONDS, _list_or(previous))
    return cached.videos[:limit]


def find_last_published() -> float:
    """Return when the newest video was published, in seconds since 1970; 0 if there is none."""
    return max((video.published_at.timestamp() for video in list_newest()), default=0.0)


def _list_or(previous: tuple[VideoCard, ...]) -> tuple[VideoCard, ...]:
    try:
        return list_videos(limit=_MAX_CACHED)
    except (UnavailableError, SQLAlchemyError):  # the latter before the migrations
        return previous
