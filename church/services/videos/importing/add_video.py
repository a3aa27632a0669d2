"""Add a video: store its source, create its row and queue the import in one transaction.

The demo film of a new site is added here, too.
"""

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
from church.lib.threads import run_off_hub
from church.models import User, Video
from church.models.base import utc_now
from church.services import audit
from church.services.audit import Actor
from church.services.videos.descriptions import MAX_SLUG_LENGTH, make_slug
from church.services.videos.editing import queue_import, validate_draft
from church.services.videos.errors import ImportFailedError, NotVideoError, TooLargeError
from church.services.videos.importing import captions, chapters, ffmpeg
from church.services.videos.presenters import VideoDraft
from church.services.videos.search import prepare_text
from church.services.videos.storage import local

log = logging.getLogger("church.videos")

_NO_DELAY = timedelta(0)
_MAX_NAME_LENGTH = 200
_TRIES = 3

_DEMO_JOB = "videos.demo"
_DEMO_FOLDER = "videos"  # in the content folder
_DEMO_ACTOR = Actor(None, "site", None)
_DEMO_SECONDS = 24
_DEMO_TIMEOUT = 120.0  # seconds


# -- any video ------------------------------------------------------------------------------------------------------


def add_file(file: Path, draft: VideoDraft, actor: Actor, delay: timedelta = _NO_DELAY) -> str:
    """Add a copy of ``file`` as a video and return its ref; the import begins after ``delay``.

    Raises FieldErrors, TooLargeError, NoRoomError, NotVideoError for an empty file, OSError.
    """
    draft = validate_draft(draft)
    _check_slug(draft.slug)
    size = check_size(file.stat().st_size)
    local.check_free_space(current_settings(), 2 * size)
    with file.open("rb") as stream:
        return add_stream(stream, file.name, draft, actor, delay)


def add_stream(stream: IO[bytes], name: str, draft: VideoDraft, actor: Actor, delay: timedelta = _NO_DELAY) -> str:
    """Add the contents of ``stream`` as a video, as ``add`` does with a file."""
    draft, most, ref = validate_draft(draft), current_settings().video_max_bytes, secrets.token_hex(8)
    source = local.source_path(current_settings(), ref)
    try:
        size = check_size(run_off_hub(local.store_stream, stream, source, most))
        create_video(ref, name, size, draft, actor, delay)
    except BaseException:
        source.unlink(missing_ok=True)
        raise
    return ref


def check_size(size: int) -> int:
    """Return ``size`` if the site accepts a video of so many bytes. Raises TooLargeError, NotVideoError."""
    if size > current_settings().video_max_bytes:
        raise TooLargeError(current_settings().video_max_bytes)
    if size <= 0:
        raise NotVideoError("The file is empty.")
    return size


def create_video(ref: str, name: str, size: int, draft: VideoDraft, actor: Actor, delay: timedelta = _NO_DELAY) -> None:
    """Create the row of a video whose source is stored. Raises FieldErrors if the chosen slug is taken."""
    for _ in range(_TRIES):
        try:
            with db.write() as session:
                slug = insert_video(session, ref, name, size, draft, actor, delay)
        except IntegrityError:  # another video took the slug between our query and the commit
            continue
        log.info("video queued", extra={"event": "video.queued", "video": slug, "bytes": size})
        return
    raise ConflictError("Another video is being added at this address. Try again.")


def insert_video(
    session: Session, ref: str, name: str, size: int, draft: VideoDraft, actor: Actor, delay: timedelta = _NO_DELAY
) -> str:
    """Insert the row of a video and queue its import, in the caller's write transaction; return its slug.

    Raises FieldErrors if the chosen slug is taken.
    """
    slug = _choose_slug(session, draft)
    video = Video(
        ref=ref, slug=slug, title=draft.title, description=draft.description, access_level=draft.access,
        source_name=Path(name).name[:_MAX_NAME_LENGTH], source_bytes=size, created_at=utc_now(),
        uploaded_by=actor.user_id,
    )  # fmt: skip
    session.add(video)
    prepare_text(session, video)
    queue_import(session, ref, delay)
    audit.record_by(session, "video.added", actor, video=slug, access=draft.access)
    return slug


def _choose_slug(session: Session, draft: VideoDraft) -> str:
    """Return the draft's slug, or one made from the title, with a number if it is taken. Raises FieldErrors."""
    if draft.slug:
        if session.scalar(select(Video.id).where(Video.slug == draft.slug)) is not None:
            raise FieldErrors({"slug": "Another video already has this address."})
        return draft.slug
    base = make_slug(draft.title)
    short = base[: MAX_SLUG_LENGTH - 6].rstrip("-")
    taken = set(session.scalars(select(Video.slug).where(Video.slug.startswith(short, autoescape=True))))
    number = 1
    while (slug := base if number == 1 else f"{short}-{number}") in taken:
        number += 1
    return slug


def _check_slug(slug: str) -> None:
    """Raise FieldErrors for a taken slug before gigabytes are copied."""
    if slug:
        with db.read() as session:
            _choose_slug(session, VideoDraft("", "", slug=slug))


# -- the demo film --------------------------------------------------------------------------------------------------


def queue_demo() -> bool:
    """Queue the films of the content folder if the site is new and there are any; return whether it did.

    A site is new if it has neither videos nor accounts, so a film that an admin deleted does not come back.
    """
    if not any((current_settings().content / _DEMO_FOLDER).glob("*.toml")):
        return False
    with db.write() as session:
        if any(session.scalar(select(model.id).limit(1)) is not None for model in (Video, User)):
            return False
        jobs.enqueue(session, _DEMO_JOB, unique_key=_DEMO_JOB)
    return True


@jobs.handler(_DEMO_JOB, heavy=True)
def add_demo(_payload: dict[str, Any]) -> None:
    """Add each film of the content folder whose slug is still free, because the job may run twice."""
    for description in sorted((current_settings().content / _DEMO_FOLDER).glob("*.toml")):
        facts = tomllib.loads(description.read_text("utf-8"))
        with tempfile.TemporaryDirectory(prefix="church-demo-") as folder:
            film = _generate_film(Path(folder)) or description.with_suffix(".mp4")
            _add_demo(film, description.stem, facts)


def _add_demo(film: Path, slug: str, facts: dict[str, Any]) -> None:
    draft = VideoDraft(facts["title"], facts["access"], facts.get("description", "").strip(), slug)
    try:
        ref = add_file(film, draft, _DEMO_ACTOR)
    except FieldErrors:  # already added
        return
    for language, caption in facts.get("captions", {}).items():
        text = caption["text"].lstrip().encode()
        captions.add_caption(ref, language, caption["label"], text, _DEMO_ACTOR, default=False)
    chapters.set_chapters(ref, facts.get("chapters", ""), _DEMO_ACTOR)


def _generate_film(folder: Path) -> Path | None:
    """Generate a test picture with a counter and a beep, sharper than the film that ships; None without ffmpeg."""
    if ffmpeg.find_missing_tools():
        return None
    film = folder / "film.mp4"
    sources = (
        f"testsrc2=size=640x360:rate=25:duration={_DEMO_SECONDS}",
        f"sine=frequency=220:duration={_DEMO_SECONDS}",
    )
    inputs = [part for source in sources for part in ("-f", "lavfi", "-i", source)]
    codecs = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac"]
    try:
        ffmpeg.run_tool(["ffmpeg", "-loglevel", "error", "-nostdin", "-y", *inputs, *codecs, str(film)], _DEMO_TIMEOUT)
    except ImportFailedError as error:  # an ffmpeg without these sources or codecs
        log.info("demo film not generated", extra={"event": "video.demo_not_made", "reason": str(error)})
        return None
    return film
