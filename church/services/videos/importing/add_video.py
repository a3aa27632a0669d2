"""How a video comes in: its source is kept aside, and in one transaction it gets its row and its import is queued."""

from __future__ import annotations

import logging
import secrets
import tempfile
import tomllib
from datetime import timedelta
from pathlib import Path
from typing import IO, Any

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from church import jobs
from church.config import current_settings
from church.errors import ConflictError, FieldErrors
from church.extensions import db
from church.lib.threads import off_hub
from church.models import User, Video
from church.models.base import utc_now
from church.services import audit
from church.services.audit import Actor
from church.services.videos.descriptions import LONGEST_SLUG, slug_of
from church.services.videos.editing import checked, queue_import
from church.services.videos.errors import NotVideoError, TooLargeError
from church.services.videos.importing import captions, chapters, ffmpeg
from church.services.videos.importing.ffmpeg import ToolError
from church.services.videos.presenters import Draft
from church.services.videos.storage import local

log = logging.getLogger("church.videos")

_NOW = timedelta(0)
_LONGEST_NAME = 200
_TRIES = 3


def add(file: Path, draft: Draft, actor: Actor, delay: timedelta = _NOW) -> str:
    """Take in ``file``, which stays where it is; the ref of the video, whose import begins after ``delay``.

    Raises FieldErrors, TooLargeError, NoRoomError, NotVideoError for an empty file, OSError.
    """
    draft = checked(draft)
    _want_slug(draft.slug)
    size = wanted_size(file.stat().st_size)
    local.want_room(current_settings(), 2 * size)
    with file.open("rb") as stream:
        return take(stream, file.name, draft, actor, delay)


def take(stream: IO[bytes], name: str, draft: Draft, actor: Actor, delay: timedelta = _NOW) -> str:
    """Take in what ``stream`` gives, as ``add`` does a file."""
    draft, most, ref = checked(draft), current_settings().video_max_bytes, secrets.token_hex(8)
    source = local.source_of(current_settings(), ref)
    try:
        size = wanted_size(off_hub(local.keep, stream, source, most))
        arrive(ref, name, size, draft, actor, delay)
    except BaseException:
        source.unlink(missing_ok=True)
        raise
    return ref


def wanted_size(size: int) -> int:
    """``size``, if the site takes a video of so many bytes. Raises TooLargeError, NotVideoError."""
    if size > current_settings().video_max_bytes:
        raise TooLargeError(current_settings().video_max_bytes)
    if size <= 0:
        raise NotVideoError("The file is empty.")
    return size


def arrive(ref: str, name: str, size: int, draft: Draft, actor: Actor, delay: timedelta = _NOW) -> None:
    """Make the row of a video whose source is in place. Raises FieldErrors where its address is taken."""
    for _ in range(_TRIES):
        try:
            with db.write() as session:
                slug = insert(session, ref, name, size, draft, actor, delay)
        except IntegrityError:  # another took the address between our look and the commit
            continue
        log.info("video queued", extra={"event": "video.queued", "video": slug, "bytes": size})
        return
    raise ConflictError("Another video is being added at this address. Try again.")


def insert(
    session: Session, ref: str, name: str, size: int, draft: Draft, actor: Actor, delay: timedelta = _NOW
) -> str:
    """The row of a video and the job of its import, in the caller's write transaction; its address.

    Raises FieldErrors where the address is taken.
    """
    slug = _free_slug(session, draft)
    session.add(
        Video(
            ref=ref, slug=slug, title=draft.title, description=draft.description, access_level=draft.access,
            source_name=Path(name).name[:_LONGEST_NAME], source_bytes=size, created_at=utc_now(),
            uploaded_by=actor.user_id,
        )
    )  # fmt: skip
    session.flush()
    queue_import(session, ref, delay)
    audit.record_by(session, "video.added", actor, video=slug, access=draft.access)
    return slug


def _free_slug(session: Session, draft: Draft) -> str:
    """The address that was asked for, or one made of the title, numbered where others have it."""
    if draft.slug:
        if session.scalar(select(Video.id).where(Video.slug == draft.slug)) is not None:
            raise FieldErrors({"slug": "Another video already has this address."})
        return draft.slug
    base = slug_of(draft.title)
    short = base[: LONGEST_SLUG - 6].rstrip("-")
    taken = set(session.scalars(select(Video.slug).where(Video.slug.startswith(short, autoescape=True))))
    number = 1
    while (slug := base if number == 1 else f"{short}-{number}") in taken:
        number += 1
    return slug


def _want_slug(slug: str) -> None:
    """Find a taken address before gigabytes are copied."""
    if slug:
        with db.read() as session:
            _free_slug(session, Draft("", "", slug=slug))


_KIND = "videos.demo"
_FOLDER = "videos"  # in the content folder
_SITE = Actor(None, "site", None)
_SECONDS = 24
_PATIENCE = 120.0  # seconds that ffmpeg may take


def queue_demo() -> bool:
    """Have the films of the content folder brought in, if the site is new and has any; whether it is so.

    New is one without videos and accounts: whoever has taken the film away is not given it again.
    """
    if not any((current_settings().content / _FOLDER).glob("*.toml")):
        return False
    with db.write() as session:
        if any(session.scalar(select(model.id).limit(1)) is not None for model in (Video, User)):
            return False
        jobs.enqueue(session, _KIND, unique_key=_KIND)
    return True


@jobs.handler(_KIND, heavy=True)
def bring_demo(_payload: dict[str, Any]) -> None:
    """Bring in each film of the content folder whose address is still free: the job may be done twice."""
    for described in sorted((current_settings().content / _FOLDER).glob("*.toml")):
        facts = tomllib.loads(described.read_text("utf-8"))
        with tempfile.TemporaryDirectory(prefix="church-demo-") as folder:
            film = _made(Path(folder)) or described.with_suffix(".mp4")
            _bring(film, described.stem, facts)


def _bring(film: Path, slug: str, facts: dict[str, Any]) -> None:
    draft = Draft(facts["title"], facts["access"], facts.get("description", "").strip(), slug)
    try:
        ref = add(film, draft, _SITE)
    except FieldErrors:  # it is there already
        return
    for language, caption in facts.get("captions", {}).items():
        text = caption["text"].lstrip().encode()
        captions.add_caption(ref, language, caption["label"], text, _SITE, default=False)
    chapters.set_chapters(ref, facts.get("chapters", ""), _SITE)


def _made(folder: Path) -> Path | None:
    """A film of bars, a counter and a beep, sharper than the one that ships; None where ffmpeg can't make it."""
    if ffmpeg.tools_missing():
        return None
    made = folder / "film.mp4"
    sources = (f"testsrc2=size=640x360:rate=25:duration={_SECONDS}", f"sine=frequency=220:duration={_SECONDS}")
    inputs = [part for source in sources for part in ("-f", "lavfi", "-i", source)]
    codecs = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac"]
    try:
        ffmpeg.run(["ffmpeg", "-loglevel", "error", "-nostdin", "-y", *inputs, *codecs, str(made)], _PATIENCE)
    except ToolError as error:  # one that was built without these sources or codecs
        log.info("film not made", extra={"event": "video.demo_not_made", "reason": str(error)})
        return None
    return made
