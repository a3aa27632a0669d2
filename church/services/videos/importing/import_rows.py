"""What an import writes into the database: that it began, how far it is, how it ended."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import CursorResult, select, update

from church import jobs
from church.config import current_settings
from church.database import after_commit
from church.errors import UnavailableError
from church.extensions import db
from church.models import Rendition, Video
from church.models.base import utc_now
from church.models.video import VideoState
from church.services import live_broadcast

PUSH = "videos.push"
_LONGEST_REASON = 500
_UNSETTLED = (VideoState.QUEUED.value, VideoState.WORKING.value)


class UnwantedError(Exception):
    """The video was deleted, or is settled already: what is made of it now is nobody's."""


@dataclass(frozen=True)
class MadeFile:
    """One rendition that was made."""

    quality: str
    file: str
    bytes: int
    width: int
    height: int
    bitrate: int
    etag: str


@dataclass(frozen=True)
class Made:
    """All that an import has made, in its ``folder``; ``pictures`` are the names of poster and thumbnails."""

    folder: Path
    duration_ms: int
    width: int
    height: int
    files: tuple[MadeFile, ...]
    pictures: tuple[str, ...] = ()
    plain: bool = False


def begin(ref: str) -> bool:
    """Write down that the import is under way; False where there is nothing to import any more."""
    return _change(ref, {"state": VideoState.WORKING.value, "progress": 0, "reason": None})


def note(ref: str, percent: int) -> None:
    """Write down how far it is, unless the database is busy. Raises UnwantedError."""
    try:
        wanted = _change(ref, {"progress": max(0, min(99, percent))})
    except UnavailableError:
        return
    if not wanted:
        raise UnwantedError


def fail(ref: str, reason: str) -> bool:
    """Write down why it came to nothing; whether anybody still wants to know."""
    return _change(ref, {"state": VideoState.FAILED.value, "reason": reason[:_LONGEST_REASON]})


def finish(ref: str, made: Made) -> bool:
    """Show the video from now on; False where it is gone or another attempt has finished before."""
    now = utc_now()
    with db.write() as session:
        unsettled = select(Video).where(Video.ref == ref, Video.state.in_(_UNSETTLED))
        video = session.scalars(unsettled.with_for_update()).one_or_none()
        if video is None:
            return False
        video.state, video.progress, video.reason = VideoState.READY.value, 100, None
        video.duration_ms, video.width, video.height = made.duration_ms, made.width, made.height
        video.plain, video.has_poster, video.has_thumbs = made.plain, bool(made.pictures), bool(made.pictures)
        if video.published_at is None:
            video.published_at = now
            after_commit(session, partial(live_broadcast.new_video, video.slug, video.title))
        session.add_all(Rendition(video_id=video.id, **vars(file)) for file in made.files)
        if current_settings().video_offload == "s3":
            jobs.enqueue(session, PUSH, {"ref": ref}, unique_key=f"{PUSH}:{ref}", max_attempts=20)
    return True


def exists(ref: str) -> bool:
    """Whether the video has its row."""
    with db.read() as session:
        return session.scalar(select(Video.id).where(Video.ref == ref)) is not None


def _change(ref: str, values: dict[str, Any]) -> bool:
    unsettled = update(Video).where(Video.ref == ref, Video.state.in_(_UNSETTLED)).values(**values)
    with db.write() as session:
        changed = session.execute(unsettled.execution_options(synchronize_session=False))
    return isinstance(changed, CursorResult) and changed.rowcount == 1
