"""Save and load where members left off in videos, for as long as they have resume turned on."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from church.database.upsert import insert_or_update
from church.extensions import db
from church.models import WatchPosition, WatchSetting
from church.models.base import utc_now
from church.services.access import Reader, may_read
from church.services.videos import queries
from church.services.videos.errors import UnknownVideoError
from church.services.videos.presenters import WatchProgress, count_resume_ms

# A video counts as finished from here on: the end credits are not worth resuming.
_FINISHED_SHARE = 0.95


def save_position(slug: str, user_id: int, reader: Reader, position_ms: int) -> bool:
    """Save the member's position in a video. Returns False if resume is turned off.

    A video that is left right after its beginning counts as not begun, unless it was finished once.

    Raises UnknownVideoError, also for a video that ``reader`` may not watch.
    """
    with db.write() as session:
        video = queries.load_ready(session, slug)
        if not may_read(video.access_level, reader):
            raise UnknownVideoError
        if not is_resume_on(session, user_id):
            return False
        length = video.duration_ms or 0
        position = max(0, min(position_ms, length))
        if position < count_resume_ms(length):
            _forget_position(session, user_id, video.id)
            return True
        finished = position >= length * _FINISHED_SHARE
        values = {"position_ms": 0 if finished else position, "finished": finished, "updated_at": utc_now()}
        insert_or_update(session, WatchPosition, {"user_id": user_id, "video_id": video.id}, values)
    return True


def _forget_position(session: Session, user_id: int, video_id: int) -> None:
    row = delete(WatchPosition).where(WatchPosition.user_id == user_id, WatchPosition.video_id == video_id)
    session.execute(row.where(~WatchPosition.finished))


def set_resume(user_id: int, wanted: bool) -> None:
    """Turn resume on or off for a member; off removes all saved positions."""
    with db.write() as session:
        insert_or_update(session, WatchSetting, {"user_id": user_id}, {"resume": wanted})
        if not wanted:
            session.execute(delete(WatchPosition).where(WatchPosition.user_id == user_id))


def is_resume_on(session: Session, user_id: int) -> bool:
    """Whether the member has resume turned on, which is the default."""
    setting = session.get(WatchSetting, user_id)
    return setting is None or setting.resume


def load_positions(
    session: Session, user_id: int | None, video_ids: Iterable[int] | None = None
) -> dict[int, WatchProgress]:
    """Load the member's positions by video id; empty for a stranger."""
    wanted = None if video_ids is None else list(video_ids)
    if user_id is None or wanted == []:
        return {}
    query = select(WatchPosition).where(WatchPosition.user_id == user_id)
    if wanted is not None:
        query = query.where(WatchPosition.video_id.in_(wanted))
    return {
        row.video_id: WatchProgress(row.position_ms, row.finished, row.updated_at) for row in session.scalars(query)
    }
