"""The import: what came is looked at, and what browsers play is made of it, in a process that serves nobody.

Each attempt works in a folder of its own; its files get names of their contents and are moved into the video's folder
when all are there. So an attempt that was killed leaves nothing that is shown, and one that was thought dead and is
not can change no file that the next one has made.
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
from church.services.videos.editing import IMPORT
from church.services.videos.errors import ImportFailedError, NoRoomError, NotVideoError
from church.services.videos.importing import encode, mp4, probe
from church.services.videos.importing.encode import Target
from church.services.videos.importing.ffmpeg import CutShortError, tools_missing
from church.services.videos.importing.probe import Probed
from church.services.videos.storage import local

log = logging.getLogger("church.videos")

Progress = Callable[[int], None]


# Seconds between two notes of how far an import is.
_NOTE = 1.0
# Of the whole way in percent: what the renditions take, before the pictures.
_RENDERED = 96
# Of the length that a source promises: tracks need not end together, and much less is a file that was cut.
_WHOLE = 0.9


@jobs.handler(IMPORT, heavy=True)
def import_job(payload: dict[str, Any]) -> None:
    """Import one video; that it is no video is an end, too, which its row tells."""
    import_video(str(payload["ref"]))


def import_video(ref: str, progress: Progress = lambda _percent: None) -> None:
    """Make a queued video ready, or failed with the reason; ``progress`` hears the percents.

    Does nothing for a video that is settled or gone. What it raises is worth another try, such as
    DatabaseDownError.
    """
    site = current_settings()
    if not begin(ref):
        return
    try:
        with telemetry.span("video.import"), _workshop(site, ref) as work:
            made = _make(site, ref, work, _teller(site, ref, progress))
            _finish(site, ref, made)
    except UnwantedError:
        log.info("import given up: it is gone, or another attempt's", extra={"event": "video.import_given_up"})
    except (ImportFailedError, NotVideoError, NoRoomError) as error:
        _failed(ref, str(error))
    except OSError as error:
        log.warning("import failed", exc_info=error, extra={"event": "video.import_disk"})
        _failed(ref, f"The video files cannot be read or written: {error.strerror or type(error).__name__}.")
    progress(100)


def _failed(ref: str, reason: str) -> None:
    if fail(ref, reason):
        log.warning("import failed", extra={"event": "video.failed", "video_ref": ref, "reason": reason[:200]})


@contextmanager
def _workshop(site: Settings, ref: str) -> Iterator[Path]:
    """A folder for this attempt; what earlier ones left is thrown away first.

    Raises UnwantedError where that happened to this one: it was thought dead, and what failed for it is no news.
    """
    drop_work(site, ref)
    work = local.incoming(site) / f"{ref}.{secrets.token_hex(4)}{local.WORK}"
    work.mkdir()
    try:
        yield work
    except (ImportFailedError, NotVideoError, OSError):
        if work.exists():
            raise
        raise UnwantedError from None
    finally:
        shutil.rmtree(work, ignore_errors=True)


def drop_work(site: Settings, ref: str) -> None:
    """Throw away what attempts at a video have left."""
    for left in local.incoming(site).glob(f"{ref}.*{local.WORK}"):
        shutil.rmtree(left, ignore_errors=True)


def _make(site: Settings, ref: str, work: Path, tell: Progress) -> Made:
    source = local.source_of(site, ref)
    if not source.exists():
        raise ImportFailedError("The uploaded file no longer exists. Add it again.")
    if tools_missing():
        return _as_it_is(source, work)
    found = probe.probe(source)
    local.want_room(site, source.stat().st_size)
    targets = encode.plan(found.width, found.height)
    share = _RENDERED / len(targets)
    for number, target in enumerate(targets):
        output = work / f"{target.quality}.mp4"
        start = number * share
        encode.render(source, found, target, output, lambda part, start=start: tell(int(start + part * share)))  # type: ignore[misc]
    first = work / f"{targets[0].quality}.mp4"
    length = _whole(found, probe.probe(first).duration_ms or 0)
    _pictures(work, targets[-1], length)
    tell(99)
    return Made(
        folder=work,
        duration_ms=length,
        width=targets[0].width,
        height=targets[0].height,
        files=tuple(_named(work, target, length) for target in targets),
        pictures=(local.POSTER, local.SPRITE, local.THUMBS),
    )


def _whole(found: Probed, made_ms: int) -> int:
    """``made_ms``, if that is about what the source promised. Raises CutShortError."""
    promised = found.duration_ms if found.indexed and found.duration_ms is not None else 0
    if made_ms < promised * _WHOLE:
        raise CutShortError(f"of its {promised / 1000:.0f} seconds only {made_ms / 1000:.0f} are there")
    return made_ms


def _pictures(work: Path, target: Target, length: int) -> None:
    rendition = work / f"{target.quality}.mp4"
    encode.poster(rendition, length, work)
    encode.thumbs(rendition, target, length, work)


def _as_it_is(source: Path, work: Path) -> Made:
    found = mp4.read(source)
    copy = work / "source.mp4"
    try:
        os.link(source, copy)
    except OSError:  # a file system without links
        shutil.copyfile(source, copy)
    length = found.duration_ms or 0
    file = _named(work, Target("source", found.width, found.height), length)
    return Made(work, length, found.width, found.height, (file,), plain=True)


def _named(work: Path, target: Target, length: int) -> MadeFile:
    """Give a rendition the name that it keeps: other contents, another name."""
    made = work / f"{target.quality}.mp4"
    etag = local.digest(made)
    size = made.stat().st_size
    with made.open("rb") as file:
        os.fsync(file.fileno())
    name = f"{target.quality}-{etag[:8]}.mp4"
    made.rename(work / name)
    rate = size * 8000 // max(1, length)
    return MadeFile(target.quality, name, size, target.width, target.height, min(rate, 2**31 - 1), etag)


def _finish(site: Settings, ref: str, made: Made) -> None:
    """Move the files into the video's folder, then say that it is ready."""
    folder = local.folder_of(site, ref)
    make_private(folder)
    moved = [file.file for file in made.files] + list(made.pictures)
    for name in moved:
        (made.folder / name).replace(folder / name)
    if site.video_offload == "x-accel":
        local.share(folder, [file.file for file in made.files])
    local.sync_folder(folder)
    if finish(ref, made):
        local.source_of(site, ref).unlink(missing_ok=True)
        log.info("video ready", extra={"event": "video.ready", "video_ref": ref, "plain": made.plain})
    elif not exists(ref):  # deleted meanwhile: its files went before these came
        shutil.rmtree(folder, ignore_errors=True)


def _teller(site: Settings, ref: str, progress: Progress) -> Progress:
    """Notes how far the import is, at most once a second, for the page.

    Ends it where the video is gone, and where the disk fills up: what it makes may be many times its source.
    """
    noted, at = -1, 0.0

    def tell(percent: int) -> None:
        nonlocal noted, at
        now = time.monotonic()
        if now - at >= _NOTE:
            at = now
            local.want_room(site, 0)
            if percent > noted:
                noted = percent
                note(ref, percent)
        progress(percent)

    return tell


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
