"""One video for readers: the watch page, the stream and the small files."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from church.config import current_settings
from church.errors import ForbiddenError
from church.extensions import db
from church.lib.app_context import app_state
from church.models import Video
from church.services.access import Reader, may_read
from church.services.pages import search_words
from church.services.videos import listing, positions, queries
from church.services.videos.descriptions import render_description
from church.services.videos.errors import UnknownVideoError
from church.services.videos.newest import library_version
from church.services.videos.presenters import PlayableVideo, WatchView
from church.services.videos.search import find_like_titled
from church.services.videos.storage.local import POSTER, SPRITE, THUMBS, video_folder

_MAX_RELATED = 4
_RELATED = "related_videos"  # key in app.extensions
_MAX_KEPT = 1000  # videos whose related ones are kept
_RELATED_POOL = 50  # related videos are chosen from so many for each word of the title


def list_first_slugs(limit: int = 200) -> tuple[str, ...]:
    """Return the slugs of the oldest videos: the ones that metrics name."""
    with db.read() as session:
        return tuple(session.scalars(select(Video.slug).order_by(Video.id).limit(limit)))


def load_watch_view(slug: str, reader: Reader, user_id: int | None) -> WatchView:
    """Load the watch page, limited to what ``reader`` may see. Raises UnknownVideoError."""
    version = library_version()
    with db.read() as session:
        video = queries.load_ready(session, slug)
        others = _load_related(session, video, version)
        card = queries.make_card_fields(video, reader)
        content = _load_content(session, video) if card["open"] else {}
        watched = positions.load_positions(session, user_id, [video.id, *(other.id for other in others)])
        resume = user_id is None or positions.is_resume_on(session, user_id)
    related = queries.make_cards(others, reader, watched)
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


def _load_related(session: Session, video: Video, version: int) -> Sequence[Video]:
    """Load the videos that share most words of the title, the newest first among equals, and of all others the newest.

    Of the videos that share one word only the newest are compared. The choice is kept per version of the library.
    """
    kept: OrderedDict[tuple[int, int], list[int]] = app_state().setdefault(_RELATED, OrderedDict())
    key = version, video.id
    if key not in kept:
        kept[key] = _choose_related(session, video)
        while len(kept) > _MAX_KEPT:
            kept.popitem(last=False)
    return listing.load_by_ids(session, kept[key])


def _choose_related(session: Session, video: Video) -> list[int]:
    words = set(search_words(video.title))
    ids = find_like_titled(session, video.title, _RELATED_POOL)
    titles = session.execute(select(Video.id, Video.title).where(Video.id.in_(ids), Video.id != video.id)).all()
    titles = sorted(titles, key=lambda row: row.id, reverse=True)
    alike = sorted(titles, key=lambda row: -len(words & set(search_words(row.title))))
    newest = [other.id for other in listing.load_newest(session, _MAX_RELATED + 1) if other.id != video.id]
    return list(dict.fromkeys([*(row.id for row in alike), *newest]))[:_MAX_RELATED]


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
        if name not in files:
            captions = queries.load_captions(session, current_settings(), video)[video.id]
            files |= {caption.path.name: True for caption in captions}
    if not files.get(name):
        raise UnknownVideoError
    if name != POSTER and not may_read(video.access_level, reader):
        raise ForbiddenError
    return video_folder(current_settings(), video.ref) / name
