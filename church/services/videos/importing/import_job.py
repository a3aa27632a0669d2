"""Import a video in the worker process: probe the source, encode renditions and pictures, then publish them.

Each attempt works in a folder of its own. Its files get names with a hash of their contents and move into the video's
folder once all are there. So a killed attempt leaves nothing visible, and an attempt that was wrongly taken for dead
cannot change the files of the next one.
"""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import CursorResult, select, update

from church import jobs, telemetry
from church.config import Settings, current_settings
from church.database import after_commit
from church.errors import UnavailableError
from church.extensions import db
from church.lib.files import make_private
from church.models import Rendition, Video
from church.models.base import utc_now
from church.models.videos import VideoState
from church.services import live_broadcast
from church.services.videos.editing import IMPORT_JOB
from church.services.videos.errors import DiskFullError, ImportFailedError, NotVideoError
from church.services.videos.importing import encode, mp4, probe
from church.services.videos.importing.detect_cut_short import check_encoded
from church.services.videos.importing.encode import Target
from church.services.videos.importing.ffmpeg import find_missing_tools
from church.services.videos.importing.probe import RenditionLength
from church.services.videos.newest import mark_changed
from church.services.videos.storage import local
from church.services.videos.storage.bucket import PUSH_JOB

log = logging.getLogger("church.videos")

OnPercent = Callable[[int], None]

_SAVE_INTERVAL = 1.0  # seconds between two updates of the progress in the database
_RENDERED_PERCENT = 96  # progress after the renditions, before the pictures
_MAX_REASON_LENGTH = 500
_MAX_BITRATE = 2**31 - 1  # of the column
_MAX_PUSH_ATTEMPTS = 20
_UNSETTLED = (VideoState.QUEUED.value, VideoState.WORKING.value)


class ImportAbandonedError(Exception):
    """The video was deleted or another attempt finished it, so this attempt stops."""


@dataclass(frozen=True)
class EncodedFile:
    """An encoded rendition. ``bitrate`` is bits a second."""

    quality: str
    file: str
    bytes: int
    width: int
    height: int
    bitrate: int
    etag: str


@dataclass(frozen=True)
class ImportResult:
    """Everything an import has made in its ``folder``; ``pictures`` are the file names of poster and thumbnails."""

    folder: Path
    duration_ms: int
    width: int
    height: int
    files: tuple[EncodedFile, ...]
    pictures: tuple[str, ...] = ()
    plain: bool = False


# -- one attempt ----------------------------------------------------------------------------------------------------


@jobs.handler(IMPORT_JOB, heavy=True)
def run_import_job(payload: dict[str, Any]) -> None:
    """Import one video. A file that is not a video does not fail the job: its row has the reason."""
    import_video(str(payload["ref"]))


def import_video(ref: str, progress: OnPercent = lambda _percent: None) -> None:
    """Import a queued video until it is ready, or failed with a reason; ``progress`` is called with the percent.

    Does nothing if the video is ready, failed or deleted. Errors that are raised, such as DatabaseDownError, are worth
    another attempt.
    """
    site = current_settings()
    if not mark_started(ref):
        return
    try:
        with telemetry.span("video.import"), _work_folder(site, ref) as folder:
            made = _make_files(site, ref, folder, _progress_reporter(site, ref, progress))
            _publish(site, ref, made)
    except ImportAbandonedError:
        log.info("import abandoned: deleted or finished elsewhere", extra={"event": "video.import_given_up"})
    except (ImportFailedError, NotVideoError, DiskFullError) as error:
        _fail(ref, str(error))
    except OSError as error:
        log.warning("import failed", exc_info=error, extra={"event": "video.import_disk"})
        _fail(ref, f"The video files cannot be read or written: {error.strerror or type(error).__name__}.")
    progress(100)


def _fail(ref: str, reason: str) -> None:
    if mark_failed(ref, reason):
        log.warning("import failed", extra={"event": "video.failed", "video_ref": ref, "reason": reason[:200]})


@contextmanager
def _work_folder(site: Settings, ref: str) -> Iterator[Path]:
    """Create a folder for this attempt and delete those of earlier ones.

    Raises UnwantedError instead of a failure if the next attempt has deleted this folder: it took this one for dead.
    """
    local.delete_work_folders(site, ref)
    folder = local.incoming_folder(site) / f"{ref}.{secrets.token_hex(4)}{local.WORK_SUFFIX}"
    folder.mkdir()
    try:
        yield folder
    except (ImportFailedError, NotVideoError, OSError):
        if folder.exists():
            raise
        raise ImportAbandonedError from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _progress_reporter(site: Settings, ref: str, progress: OnPercent) -> OnPercent:
    """Report progress to the caller, and at most once a second to the database, for the page.

    Stops the import if the video is gone or the disk fills up: the renditions may be many times larger than the source.
    """
    saved, saved_at = -1, 0.0

    def report(percent: int) -> None:
        nonlocal saved, saved_at
        now = time.monotonic()
        if now - saved_at >= _SAVE_INTERVAL:
            saved_at = now
            local.check_free_space(site, 0)
            if percent > saved:
                saved = percent
                save_progress(ref, percent)
        progress(percent)

    return report


# -- files ----------------------------------------------------------------------------------------------------------


def _make_files(site: Settings, ref: str, folder: Path, report: OnPercent) -> ImportResult:
    source = local.source_path(site, ref)
    if not source.exists():
        raise ImportFailedError("The uploaded file no longer exists. Add it again.")
    if find_missing_tools():
        return _keep_source(source, folder)
    probed = probe.probe_file(source)
    local.check_free_space(site, source.stat().st_size)
    targets = encode.choose_targets(probed.width, probed.height)
    share = _RENDERED_PERCENT / len(targets)
    for number, target in enumerate(targets):
        output = folder / f"{target.quality}.mp4"
        encode.encode_rendition(source, probed, target, output, _share_of(report, number * share, share))
    length = probe.measure_rendition(folder / f"{targets[0].quality}.mp4")
    check_encoded(probed.extent, (length.picture_end_ms - length.picture_start_ms) / 1000)
    _make_pictures(folder, targets[-1], length)
    report(99)
    return ImportResult(
        folder=folder,
        duration_ms=length.duration_ms,
        width=targets[0].width,
        height=targets[0].height,
        files=tuple(_name_by_contents(folder, target, length.duration_ms) for target in targets),
        pictures=(local.POSTER, local.SPRITE, local.THUMBS),
    )


def _share_of(report: Callable[[int], None], start: float, share: float) -> Callable[[float], None]:
    """Report a part of 0 to 1 as percent of the whole import: this step is ``share`` of it, after ``start``."""
    return lambda part: report(int(start + part * share))


def _make_pictures(folder: Path, target: Target, length: RenditionLength) -> None:
    rendition = folder / f"{target.quality}.mp4"
    encode.make_poster(rendition, length, folder)
    encode.make_thumbnails(rendition, target, length, folder)


def _keep_source(source: Path, folder: Path) -> ImportResult:
    """Use the source as the only rendition, on a host without ffmpeg. Raises NotVideoError."""
    probed = mp4.read_facts(source)
    copy = folder / "source.mp4"
    try:
        os.link(source, copy)
    except OSError:  # a file system without links
        shutil.copyfile(source, copy)
    duration_ms = probed.duration_ms or 0
    file = _name_by_contents(folder, Target("source", probed.width, probed.height), duration_ms)
    return ImportResult(folder, duration_ms, probed.width, probed.height, (file,), plain=True)


def _name_by_contents(folder: Path, target: Target, duration_ms: int) -> EncodedFile:
    """Sync a rendition and rename it after its contents, so that other contents have another name."""
    output = folder / f"{target.quality}.mp4"
    etag = local.hash_file(output)
    size = output.stat().st_size
    with output.open("rb") as file:
        os.fsync(file.fileno())
    name = f"{target.quality}-{etag[:8]}.mp4"
    output.rename(folder / name)
    bitrate = min(size * 8000 // max(1, duration_ms), _MAX_BITRATE)
    return EncodedFile(target.quality, name, size, target.width, target.height, bitrate, etag)


def _publish(site: Settings, ref: str, made: ImportResult) -> None:
    """Move the files into the video's folder, then mark the video ready."""
    folder = local.video_folder(site, ref)
    make_private(folder)
    names = [file.file for file in made.files] + list(made.pictures)
    for name in names:
        (made.folder / name).replace(folder / name)
    if site.video_offload == "x-accel":
        local.share_with_nginx(folder, [file.file for file in made.files])
    local.sync_folder(folder)
    if mark_ready(ref, made):
        local.source_path(site, ref).unlink(missing_ok=True)
        log.info("video ready", extra={"event": "video.ready", "video_ref": ref, "plain": made.plain})
    elif not video_exists(ref):  # deleted meanwhile: the removal job ran before these files were here
        shutil.rmtree(folder, ignore_errors=True)


# -- rows -----------------------------------------------------------------------------------------------------------


def mark_started(ref: str) -> bool:
    """Mark a video as being imported; False if there is nothing to import any more."""
    return _update_unsettled(ref, {"state": VideoState.WORKING.value, "progress": 0, "reason": None})


def save_progress(ref: str, percent: int) -> None:
    """Save the progress of an import, unless the database is unavailable. Raises UnwantedError."""
    try:
        wanted = _update_unsettled(ref, {"progress": max(0, min(99, percent))})
    except UnavailableError:
        return
    if not wanted:
        raise ImportAbandonedError


def mark_failed(ref: str, reason: str) -> bool:
    """Mark an import as failed with its reason; False if the video is gone or settled."""
    return _update_unsettled(ref, {"state": VideoState.FAILED.value, "reason": reason[:_MAX_REASON_LENGTH]})


def mark_ready(ref: str, made: ImportResult) -> bool:
    """Mark a video as ready with its renditions; False if it is gone or another attempt finished first.

    Viewers on live pages are notified when it becomes ready for the first time.
    """
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
            after_commit(session, partial(live_broadcast.notify_new_video, video.slug, video.title))
        session.add_all(Rendition(video_id=video.id, **vars(file)) for file in made.files)
        after_commit(session, mark_changed)
        if current_settings().video_offload == "s3":
            key = f"{PUSH_JOB}:{ref}"
            jobs.enqueue(session, PUSH_JOB, {"ref": ref}, unique_key=key, max_attempts=_MAX_PUSH_ATTEMPTS)
    return True


def video_exists(ref: str) -> bool:
    """Whether the video has a row."""
    with db.read() as session:
        return session.scalar(select(Video.id).where(Video.ref == ref)) is not None


def _update_unsettled(ref: str, values: dict[str, Any]) -> bool:
    """Update a video that is queued or being imported; return whether there was one."""
    unsettled = update(Video).where(Video.ref == ref, Video.state.in_(_UNSETTLED)).values(**values)
    with db.write() as session:
        result = session.execute(unsettled.execution_options(synchronize_session=False))
    return isinstance(result, CursorResult) and result.rowcount == 1
