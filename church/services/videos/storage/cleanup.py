"""What imports and uploads leave behind when nobody comes back to them: told or thrown away once an hour.

A folder of a finished video is never touched, whatever the database says: it may be the database that is the older.
"""

from __future__ import annotations

import logging
import shutil
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import delete, select

from church import jobs
from church.config import current_settings
from church.extensions import db
from church.jobs import queue
from church.models import Video, VideoUpload
from church.models.base import utc_now
from church.models.videos import VideoState
from church.services.videos.editing import import_key
from church.services.videos.storage import local

_UNSETTLED = (VideoState.QUEUED.value, VideoState.WORKING.value)
_DIED = "The import process crashed on every attempt. Check the log, then try again."
# Seconds that something may lie without a row: it is made before its row is.
_YOUNG = 3600.0

log = logging.getLogger("church.videos")


@jobs.every(timedelta(hours=1), "videos.sweep")
def sweep(_payload: dict[str, Any]) -> None:
    """Forget uploads that lay still, fail imports that no job does any more, and delete what belongs to neither."""
    with db.write() as session:
        session.execute(delete(VideoUpload).where(VideoUpload.expires_at <= utc_now()))
        for video in session.scalars(select(Video).where(Video.state.in_(_UNSETTLED)).with_for_update()):
            if not queue.is_queued(session, import_key(video.ref)):
                video.state, video.reason = VideoState.FAILED.value, _DIED
    wanted, working = _wanted()
    for left in local.incoming(current_settings()).iterdir():
        ref = left.name.partition(".")[0]
        if ref not in (working if left.suffix == local.WORK else wanted) and _is_old(left):
            log.info("left-over deleted", extra={"event": "video.swept", "file": left.name})
            _drop(left)


def _wanted() -> tuple[set[str], set[str]]:
    """The refs whose sources are wanted, and those that an import may be working on."""
    with db.read() as session:
        uploads = set(session.scalars(select(VideoUpload.ref)))
        states = session.execute(select(Video.ref, Video.state).where(Video.state != VideoState.READY.value)).all()
    working = {ref for ref, state in states if state in _UNSETTLED}
    return uploads | {ref for ref, _ in states}, working


def _is_old(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime > _YOUNG
    except FileNotFoundError:
        return False


def _drop(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
