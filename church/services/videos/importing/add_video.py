"""How a video comes in: its source is kept aside, and in one transaction it gets its row and its import is queued."""

from __future__ import annotations

import logging
import secrets
from datetime import timedelta
from pathlib import Path
from typing import IO

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from church.config import current_settings
from church.errors import ConflictError, FieldErrors
from church.extensions import db
from church.lib.threads import off_hub
from church.models import Video
from church.models.base import utc_now
from church.services import audit
from church.services.audit import Actor
from church.services.videos.descriptions import LONGEST_SLUG, slug_of
from church.services.videos.editing import checked, queue_import
from church.services.videos.errors import NotVideoError, TooLargeError
from church.services.videos.presenters import Draft
from church.services.videos.storage import local

_NOW = timedelta(0)
_LONGEST_NAME = 200
_TRIES = 3

log = logging.getLogger("church.videos")


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
