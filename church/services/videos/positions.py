"""Where members are in the videos they watch: kept for them alone, and only as long as they want it kept."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from church.database.upsert import insert_or_update
from church.extensions import db
from church.models import User, Video, WatchPosition, WatchSetting
from church.models.base import utc_now
from church.services.access import Reader, may_read
from church.services.accounts.data_registry import exports, on_delete
from church.services.videos import queries
from church.services.videos.errors import UnknownVideoError
from church.services.videos.presenters import Watched

# The end credits are not what somebody comes back for.
_NEARLY = 0.95
_LAST_MS = 10_000


def save(slug: str, user_id: int, reader: Reader, position_ms: int) -> bool:
    """Keep that the member is at ``position_ms``; False where they do not want it kept.

    Raises UnknownVideoError, also for a video that ``reader`` may not watch.
    """
    with db.write() as session:
        video = queries.ready(session, slug)
        if not may_read(video.access_level, reader):
            raise UnknownVideoError
        if not wants(session, user_id):
            return False
        length = video.duration_ms or 0
        at = max(0, min(position_ms, length))
        finished = at >= length * _NEARLY or at >= length - min(_LAST_MS, length // 2)
        values = {"position_ms": 0 if finished else at, "finished": finished, "updated_at": utc_now()}
        insert_or_update(session, WatchPosition, {"user_id": user_id, "video_id": video.id}, values)
    return True


def set_resume(user_id: int, wanted: bool) -> None:
    """Remember from now on where the member is, or forget all of it and remember nothing."""
    with db.write() as session:
        insert_or_update(session, WatchSetting, {"user_id": user_id}, {"resume": wanted})
        if not wanted:
            session.execute(delete(WatchPosition).where(WatchPosition.user_id == user_id))


def wants(session: Session, user_id: int) -> bool:
    """Whether the member wants it kept; so it is until they say otherwise."""
    kept = session.get(WatchSetting, user_id)
    return kept is None or kept.resume


def watched(session: Session, user_id: int | None, video_ids: Iterable[int] | None = None) -> dict[int, Watched]:
    """Where the member is, by the number of the video; nowhere for a stranger."""
    if user_id is None:
        return {}
    query = select(WatchPosition).where(WatchPosition.user_id == user_id)
    if video_ids is not None:
        query = query.where(WatchPosition.video_id.in_(list(video_ids)))
    return {row.video_id: Watched(row.position_ms, row.finished, row.updated_at) for row in session.scalars(query)}


@exports("watching")
def _export(session: Session, user: User) -> dict[str, Any]:
    mine = select(WatchPosition, Video.slug).join(Video).where(WatchPosition.user_id == user.id)
    rows = session.execute(mine.order_by(WatchPosition.updated_at.desc()))
    return {
        "remembered": wants(session, user.id),
        "videos": [
            {
                "video": slug,
                "position_ms": row.position_ms,
                "finished": row.finished,
                "updated_at": row.updated_at.isoformat(),
            }
            for row, slug in rows
        ],
    }


@on_delete
def _forget(session: Session, user: User) -> None:
    session.execute(delete(WatchPosition).where(WatchPosition.user_id == user.id))
    session.execute(delete(WatchSetting).where(WatchSetting.user_id == user.id))
