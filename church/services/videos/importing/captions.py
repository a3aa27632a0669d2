"""Add, replace and remove the captions of a video: one WebVTT file a language."""

from __future__ import annotations

import re

from sqlalchemy import select, update

from church.config import current_settings
from church.errors import FieldErrors
from church.extensions import db
from church.lib.files import make_private
from church.lib.text import decode_text
from church.lib.threads import run_off_hub
from church.models import Caption
from church.models.base import plain
from church.services import audit
from church.services.audit import Actor
from church.services.videos import queries
from church.services.videos.errors import UnknownVideoError
from church.services.videos.importing.webvtt import CaptionsError, read_captions
from church.services.videos.storage import local

MAX_BYTES = 2 * 1024 * 1024
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}")
_MAX_LABEL_LENGTH = 60


def add_caption(ref: str, language: str, label: str, data: bytes, actor: Actor, default: bool = False) -> None:
    """Add or replace the captions of a language. ``default`` captions are on when the video starts.

    Raises UnknownVideoError, FieldErrors for ``language``, ``label`` and ``file``.
    """
    language, label = language.strip(), " ".join(plain(label).split())
    text = parse_caption(language, label, data)
    with db.read() as session:
        queries.load_by_ref(session, ref)
    folder, name = local.video_folder(current_settings(), ref), f"captions-{language}.vtt"
    make_private(folder)
    run_off_hub(local.replace_file, folder / name, text.encode())
    with db.write() as session:
        video = queries.load_by_ref(session, ref, lock=True)
        if default:
            session.execute(update(Caption).where(Caption.video_id == video.id).values(is_default=False))
        row = session.scalars(select(Caption).where(Caption.video_id == video.id, Caption.language == language)).first()
        if row is None:
            row = Caption(video_id=video.id, language=language, file=name)
            session.add(row)
        row.label, row.is_default = label or language, default
        audit.record_by(session, "video.captioned", actor, video=video.slug, language=language)


def remove_caption(ref: str, language: str, actor: Actor) -> None:
    """Remove the captions of a language. Raises UnknownVideoError, also if there are none."""
    with db.write() as session:
        video = queries.load_by_ref(session, ref, lock=True)
        row = session.scalars(select(Caption).where(Caption.video_id == video.id, Caption.language == language)).first()
        if row is None:
            raise UnknownVideoError
        name = row.file
        session.delete(row)
        audit.record_by(session, "video.uncaptioned", actor, video=video.slug, language=language)
    (local.video_folder(current_settings(), ref) / name).unlink(missing_ok=True)


def parse_caption(language: str, label: str, data: bytes) -> str:
    r"""Decode captions in WebVTT or SRT and return them as WebVTT with \n line ends.

    Raises FieldErrors with every invalid field.
    """
    errors: dict[str, str] = {}
    if not _LANGUAGE.fullmatch(language):
        errors["language"] = "Enter a language such as en or pt-BR."
    if len(label) > _MAX_LABEL_LENGTH:
        errors["label"] = f"Use at most {_MAX_LABEL_LENGTH} characters."
    text = ""
    try:
        text = _read_file(data)
    except CaptionsError as error:
        errors["file"] = str(error)
    if errors:
        raise FieldErrors(errors)
    return text


def _read_file(data: bytes) -> str:
    if len(data) > MAX_BYTES:
        raise CaptionsError("Captions can be at most 2 MiB.")
    try:
        text = decode_text(data)
    except UnicodeDecodeError:
        raise CaptionsError("Save the file as UTF-8.") from None
    return read_captions(plain(text).replace("\r\n", "\n").replace("\r", "\n"))
