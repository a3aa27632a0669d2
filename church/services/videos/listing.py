"""List the videos in parts, newest first, by the place of a video in the order and never by counting rows.

A part stays the same while videos are added, and the last part takes as long as the first.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.orm import Session

from church.extensions import db
from church.models import Video, WatchPosition
from church.models.videos import VideoState
from church.services.access import ANONYMOUS, Access, Reader, may_read
from church.services.videos import positions, queries
from church.services.videos.presenters import VideoCard
from church.services.videos.search import find_ids, read_search_key

PART_SIZE = 60
_MOST = 200
_KEY = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{6}\.[0-9]{6})~([1-9][0-9]{0,17})")
_KEY_TIME = "%Y-%m-%dT%H%M%S.%f"
_READY = Video.state == VideoState.READY.value


@dataclass(frozen=True)
class VideoPart:
    """One part of a list.

    ``next`` is the key after which the following part begins, None at the end; ``previous`` the key before which the
    part in front of it ends, None at the beginning.
    """

    videos: tuple[VideoCard, ...]
    next: str | None = None
    previous: str | None = None


class UnknownKeyError(ValueError):
    """A key that no list has given."""


def list_videos(
    reader: Reader = ANONYMOUS,
    user_id: int | None = None,
    limit: int = PART_SIZE,
    *,
    after: str | None = None,
    before: str | None = None,
    from_day: date | None = None,
) -> VideoPart:
    """List ready videos with the member's position in each: those after a key, before one, or from a day on back.

    Raises UnknownKeyError, DatabaseDownError, DatabaseBusyError.
    """
    limit = max(1, min(limit, _MOST))
    with db.read() as session:
        if before is not None:
            rows = _load(session, _newer(*_read_key(before)), limit + 1, newest_first=False)
            videos, more = rows[:limit][::-1], len(rows) > limit
            has_next, has_previous = _has_older(session, videos), more
        else:
            rows = _load(session, _start(after, from_day), limit + 1)
            videos, has_next = rows[:limit], len(rows) > limit
            has_previous = (after or from_day) is not None and _has_newer(session, videos)
        watched = positions.load_positions(session, user_id, [video.id for video in videos])
    return VideoPart(
        queries.make_cards(videos, reader, watched),
        next=_make_key(videos[-1]) if has_next else None,
        previous=_make_key(videos[0]) if has_previous else None,
    )


def list_unfinished(reader: Reader, user_id: int, limit: int) -> tuple[VideoCard, ...]:
    """List videos that the member has started, not finished and may still watch, last watched first."""
    query = select(Video).join(WatchPosition).where(WatchPosition.user_id == user_id, ~WatchPosition.finished)
    levels = [level.value for level in Access if may_read(level, reader)]
    query = query.where(_READY, Video.access_level.in_(levels))
    with db.read() as session:
        videos = session.scalars(query.order_by(WatchPosition.updated_at.desc(), Video.id.desc()).limit(limit)).all()
        watched = positions.load_positions(session, user_id, [video.id for video in videos])
    return queries.make_cards(videos, reader, watched)


def search_videos(
    query: str, reader: Reader = ANONYMOUS, user_id: int | None = None, limit: int = 20, *, after: str | None = None
) -> VideoPart:
    """Find ready videos with every word of ``query`` in title or description; matches in the title come first.

    Videos that ``reader`` may not watch are included: title and description are public. Raises UnknownKeyError.
    """
    key = read_search_key(after) if after is not None else None
    if after is not None and key is None:
        raise UnknownKeyError(after)
    with db.read() as session:
        found = find_ids(session, query, key, limit + 1)
        videos = load_by_ids(session, [one.id for one in found[:limit]])
        watched = positions.load_positions(session, user_id, [video.id for video in videos]) if videos else {}
    return VideoPart(
        queries.make_cards(videos, reader, watched), next=str(found[limit - 1]) if len(found) > limit else None
    )


def load_newest(session: Session, limit: int) -> Sequence[Video]:
    """Load the newest ready videos."""
    return _load(session, None, limit)


def load_by_ids(session: Session, ids: Sequence[int]) -> list[Video]:
    """Load videos in the order of ``ids``."""
    if not ids:
        return []
    found = {video.id: video for video in session.scalars(select(Video).where(Video.id.in_(ids)))}
    return [found[video_id] for video_id in ids if video_id in found]


# -- places in the order --------------------------------------------------------------------------------------------


def _load(
    session: Session, within: ColumnElement[bool] | None, limit: int, *, newest_first: bool = True
) -> Sequence[Video]:
    query = select(Video).where(_READY) if within is None else select(Video).where(_READY, within)
    order = (Video.published_at, Video.id)
    return session.scalars(query.order_by(*(by.desc() if newest_first else by for by in order)).limit(limit)).all()


def _start(after: str | None, from_day: date | None) -> ColumnElement[bool] | None:
    if after is not None:
        return _older(*_read_key(after))
    if from_day is None or from_day == date.max:
        return None
    return Video.published_at < datetime.combine(from_day + timedelta(days=1), time(), UTC)


# Both in a form that SQLite and PostgreSQL look up in the index.
def _older(published_at: datetime, video_id: int) -> ColumnElement[bool]:
    return and_(Video.published_at <= published_at, or_(Video.published_at < published_at, Video.id < video_id))


def _newer(published_at: datetime, video_id: int) -> ColumnElement[bool]:
    return and_(Video.published_at >= published_at, or_(Video.published_at > published_at, Video.id > video_id))


def _has_older(session: Session, videos: Sequence[Video]) -> bool:
    return bool(videos) and _exists(session, _older(_published(videos[-1]), videos[-1].id))


def _has_newer(session: Session, videos: Sequence[Video]) -> bool:
    return bool(videos) and _exists(session, _newer(_published(videos[0]), videos[0].id))


def _exists(session: Session, within: ColumnElement[bool]) -> bool:
    # In order, or PostgreSQL would read the table until it meets one.
    return session.scalar(select(Video.id).where(_READY, within).order_by(Video.published_at).limit(1)) is not None


def _published(video: Video) -> datetime:
    return video.published_at or video.created_at


def _make_key(video: Video) -> str:
    return f"{_published(video).strftime(_KEY_TIME)}~{video.id}"


def _read_key(key: str) -> tuple[datetime, int]:
    found = _KEY.fullmatch(key)
    try:
        if found is not None:
            return datetime.strptime(found[1], _KEY_TIME).replace(tzinfo=UTC), int(found[2])
    except ValueError:  # no such day
        pass
    raise UnknownKeyError(key)
