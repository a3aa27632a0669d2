"""Clean up after imports and uploads that were never finished, once an hour.

The folder of an imported video is never touched, even if the database has no row of it: the database may be an older
backup.
"""

from __future__ import annotations

import logging
import shutil
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import select

from church import jobs
from church.config import current_settings
from church.database.batches import delete_in_batches
from church.extensions import db
from church.jobs import queue
from church.models import Video, VideoUpload
from church.models.base import utc_now
from church.models.videos import VideoState
from church.services.videos.editing import make_import_key
from church.services.videos.storage import local

_UNSETTLED = (VideoState.QUEUED.value, VideoState.WORKING.value)
_UNFINISHED = (*_UNSETTLED, VideoState.FAILED.value)
_CRASHED = "The import process crashed on every attempt. Check the log, then try again."
# Seconds: younger files are kept, because a file is written before its row.
_MIN_AGE = 3600.0

log = logging.getLogger("church.videos")


@jobs.every(timedelta(hours=1), "videos.sweep")
def clean_up(_payload: dict[str, Any]) -> None:
    """Delete expired uploads, fail imports that have no job any more, and delete files that belong to neither."""
    delete_in_batches(db, VideoUpload.id, VideoUpload.expires_at <= utc_now())
    with db.write() as session:
        for video in session.scalars(select(Video).where(Video.state.in_(_UNSETTLED)).with_for_update()):
            if not queue.is_queued(session, make_import_key(video.ref)):
                video.state, video.reason = VideoState.FAILED.value, _CRASHED
    with_source, importing = _load_unfinished()
    for path in local.incoming_folder(current_settings()).iterdir():
        ref = path.name.partition(".")[0]
        if ref not in (importing if path.suffix == local.WORK_SUFFIX else with_source) and _is_old(path):
            log.info("leftover file deleted", extra={"event": "video.swept", "file": path.name})
            _delete(path)


def _load_unfinished() -> tuple[set[str], set[str]]:
    """Load the refs whose sources are still needed, and the refs that an import may be working on."""
    with db.read() as session:
        uploads = set(session.scalars(select(VideoUpload.ref)))
        states = session.execute(select(Video.ref, Video.state).where(Video.state.in_(_UNFINISHED))).all()
    importing = {ref for ref, state in states if state in _UNSETTLED}
    return uploads | {ref for ref, _ in states}, importing


def _is_old(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime > _MIN_AGE
    except FileNotFoundError:
        return False


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
