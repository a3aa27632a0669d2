"""The doctor's look at the videos: can they be imported, is there room, did one fail."""

from __future__ import annotations

import shutil

from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from church.config import Settings
from church.doctor.dependencies import ask
from church.doctor.findings import Finding
from church.models.videos import Video, VideoState
from church.services.videos.importing.ffmpeg import tools_missing
from church.services.videos.storage import bucket

_GIGABYTE = 1024**3
_LITTLE = 2 * _GIGABYTE


def check_videos(settings: Settings) -> Finding:
    """ffmpeg, the bucket's client where there is a bucket, room on the disk, and no import that failed."""
    if settings.video_offload == "s3" and not bucket.installed():
        return "fail", "CHURCH_VIDEO_OFFLOAD is s3, and boto3 is not installed", "pip install 'church[s3]'"
    folder = next(path for path in (settings.video_dir, *settings.video_dir.parents) if path.exists())
    free = shutil.disk_usage(folder).free
    if free < _LITTLE:
        return "warn", f"{free / _GIGABYTE:.1f} GiB free for {settings.video_dir}", "make room before it runs out"
    if missing := tools_missing():
        return "warn", f"no {' and no '.join(missing)}: MP4 files are taken as they come", "apt-get install ffmpeg"
    try:
        ready, failed = ask(settings, _counts)
    except DBAPIError:
        return "fail", "can't be read", "see database"
    if failed:
        return "warn", f"{ready} ready, {failed} failed to import", "read why at /admin/videos, retry or delete them"
    return "ok", f"{ready} ready, ffmpeg is there, {free / _GIGABYTE:.0f} GiB free", ""


def _counts(session: Session) -> tuple[int, int]:
    counted = select(Video.state, func.count()).group_by(Video.state)
    found: dict[str, int] = {row[0]: row[1] for row in session.execute(counted)}
    return found.get(VideoState.READY.value, 0), found.get(VideoState.FAILED.value, 0)
