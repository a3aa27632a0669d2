"""The jobs that take renditions to the bucket, and what is left of deleted videos from disk and bucket."""

from __future__ import annotations

import logging
import shutil
from typing import Any

from sqlalchemy import select

from church import jobs
from church.config import current_settings
from church.extensions import db
from church.models import Rendition, Video
from church.models.video import VideoState
from church.services.videos.editing import REMOVE
from church.services.videos.importing.import_job import PUSH, drop_work
from church.services.videos.storage import bucket, local

log = logging.getLogger("church.videos")


@jobs.handler(PUSH, heavy=True)
def push_job(payload: dict[str, Any]) -> None:
    """Upload the renditions of one video that the bucket has not; until then the site sends them itself."""
    if current_settings().video_offload == "s3":
        _push(str(payload["ref"]))


def push() -> int:
    """Upload what the bucket has not, of all videos; how many files. Raises UnavailableError."""
    with db.read() as session:
        waiting = select(Video.ref).join(Rendition).where(Video.state == VideoState.READY.value, ~Rendition.in_bucket)
        refs = list(session.scalars(waiting.distinct()))
    return sum(_push(ref) for ref in refs)


def _push(ref: str) -> int:
    with db.read() as session:
        missing = select(Rendition).join(Video).where(Video.ref == ref, ~Rendition.in_bucket)
        files = {row.id: row.file for row in session.scalars(missing)}
    folder = local.folder_of(current_settings(), ref)
    for number, file in files.items():
        bucket.upload(f"{ref}/{file}", folder / file)
        with db.write() as session:
            there = session.get(Rendition, number, with_for_update=True)
            if there is not None:
                there.in_bucket = True
        if there is None:  # deleted meanwhile, by somebody who knew of nothing in the bucket
            bucket.remove([f"{ref}/{file}"])
            continue
        log.info("rendition uploaded", extra={"event": "video.uploaded", "video_ref": ref, "file": file})
    return len(files)


@jobs.handler(REMOVE)
def remove_job(payload: dict[str, Any]) -> None:
    """Delete the files of a video whose rows are gone."""
    site, ref = current_settings(), str(payload["ref"])
    drop_work(site, ref)
    local.source_of(site, ref).unlink(missing_ok=True)
    shutil.rmtree(local.folder_of(site, ref), ignore_errors=True)
    keys = [f"{ref}/{file}" for file in payload.get("bucket", ())]
    if keys and site.video_s3_bucket is not None:
        bucket.remove(keys)
