"""Check that videos can be imported, that they have disk space, and that no import failed."""

from __future__ import annotations

import shutil

from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from church.config import Settings
from church.doctor.dependencies import explain_unread, query_database
from church.doctor.findings import Finding
from church.models.videos import Video, VideoState
from church.services import videos
from church.services.videos import find_missing_tools

_GIGABYTE = 1024**3
_LOW = 2 * _GIGABYTE


def check_videos(settings: Settings) -> Finding:
    """Check ffmpeg, boto3 if videos are in a bucket, the free disk space, and failed imports."""
    if settings.video_offload == "s3" and not videos.is_boto3_installed():
        return "fail", "CHURCH_VIDEO_OFFLOAD is s3, but boto3 is not installed", "pip install 'church[s3]'"
    folder = next(path for path in (settings.video_dir, *settings.video_dir.parents) if path.exists())
    free = shutil.disk_usage(folder).free
    if free < _LOW:
        return "warn", f"{free / _GIGABYTE:.1f} GiB free for {settings.video_dir}", "free space before it runs out"
    if missing := find_missing_tools():
        return "warn", f"no {' and no '.join(missing)}: MP4 files are stored unchanged", "apt-get install ffmpeg"
    try:
        ready, failed = query_database(settings, _counts)
    except DBAPIError as error:
        return explain_unread("videos", error)
    if failed:
        fix = "see the reasons at /admin/videos, then retry or remove"
        return "warn", f"{ready} ready, {failed} failed to import", fix
    return "ok", f"{ready} ready, ffmpeg installed, {free / _GIGABYTE:.0f} GiB free", ""


def _counts(session: Session) -> tuple[int, int]:
    """Count ready and failed videos."""
    query = select(Video.state, func.count()).group_by(Video.state)
    counts: dict[str, int] = {row[0]: row[1] for row in session.execute(query)}
    return counts.get(VideoState.READY.value, 0), counts.get(VideoState.FAILED.value, 0)
