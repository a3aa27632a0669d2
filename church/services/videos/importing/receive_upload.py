"""Uploads in pieces, which go on where they were broken off: after a lost connection, a closed lid, a restart.

The row knows how many bytes have come. A piece is written to its place in the file first, so that it may come twice;
the last one makes a video of the upload, whose ref is the upload's.
"""

from __future__ import annotations

import os
import secrets
from datetime import timedelta
from pathlib import Path
from typing import IO, Any

from sqlalchemy import CursorResult, delete, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from church.config import current_settings
from church.errors import ConflictError, InvalidError
from church.extensions import db
from church.lib.threads import off_hub
from church.models import User, VideoUpload
from church.models.base import utc_now
from church.services.accounts.data_registry import exports, on_delete
from church.services.audit import Actor
from church.services.videos.editing import admin_view, checked
from church.services.videos.errors import NoRoomError, OffsetError, UnknownUploadError
from church.services.videos.importing import add_video
from church.services.videos.presenters import AdminVideo, Draft, UploadView
from church.services.videos.storage import local

LIFETIME = timedelta(days=2)
"""After the last piece."""
MOST_OPEN = 10
LARGEST_PIECE = 4 * 1024 * 1024


def start_upload(user_id: int, name: str, size: int, draft: Draft) -> UploadView:
    """Begin an upload of ``size`` bytes.

    Raises FieldErrors, TooLargeError, NotVideoError for nothing, NoRoomError, ConflictError for more than 10 at once.
    """
    draft, now, ref = checked(draft), utc_now(), secrets.token_hex(8)
    add_video.wanted_size(size)
    local.want_room(current_settings(), 2 * size)
    with db.write() as session:
        mine = select(func.count()).where(VideoUpload.user_id == user_id, VideoUpload.expires_at > now)
        if (session.scalar(mine) or 0) >= MOST_OPEN:
            raise ConflictError(f"{MOST_OPEN} of your uploads are unfinished. Finish or cancel one of them.")
        row = VideoUpload(
            ref=ref, user_id=user_id, name=Path(name).name[:200], title=draft.title, description=draft.description,
            access_level=draft.access, size=size, created_at=now, expires_at=now + LIFETIME,
        )  # fmt: skip
        session.add(row)
        session.flush()
        return _view(row)


def upload_view(ref: str, user_id: int) -> UploadView:
    """How far an upload of the admin's own is. Raises UnknownUploadError."""
    with db.read() as session:
        return _view(_mine(session, ref, user_id))


def uploads_of(user_id: int) -> list[UploadView]:
    """What an admin has begun and not finished, the newest first."""
    mine = select(VideoUpload).where(VideoUpload.user_id == user_id, VideoUpload.expires_at > utc_now())
    with db.read() as session:
        return [_view(row) for row in session.scalars(mine.order_by(VideoUpload.id.desc()))]


def append(ref: str, user_id: int, offset: int, piece: bytes, actor: Actor) -> UploadView | AdminVideo:
    """Take the piece that begins at ``offset``; how far the upload is, or the video that the last piece has made.

    Raises UnknownUploadError, OffsetError with where the next piece begins, InvalidError for a piece that is empty,
    too large or too long, NoRoomError, ConflictError where its title is given to another video at this moment.
    """
    upload = upload_view(ref, user_id)
    if offset != upload.received:
        raise OffsetError(upload.received)
    end = offset + len(piece)
    if not piece or len(piece) > LARGEST_PIECE or end > upload.size:
        raise InvalidError("A piece must have 1 byte to 4 MiB, and all pieces no more than the announced size.")
    local.want_room(current_settings(), len(piece))  # others may have filled the disk since the start
    try:
        off_hub(_write, local.source_of(current_settings(), ref), offset, piece)
    except UnknownUploadError:
        give_up(ref, user_id)  # nothing can complete it
        raise
    except OSError as error:
        raise NoRoomError from error
    try:
        with db.write() as session:
            row = _advance(session, ref, user_id, offset, end)
            if end < upload.size:
                return _view(row)
            draft = Draft(row.title, row.access_level, row.description)
            add_video.insert(session, ref, row.name, row.size, draft, actor)
            session.delete(row)
    except IntegrityError:  # another video took the address between our look and the commit
        raise ConflictError("Another video is being added with this title. Send the last piece again.") from None
    return admin_view(ref)


def give_up(ref: str, user_id: int) -> None:
    """Forget an upload of the admin's own, and what has come of it. Raises UnknownUploadError."""
    with db.write() as session:
        session.delete(_mine(session, ref, user_id))
    off_hub(_unlink, local.source_of(current_settings(), ref))


def take_whole(name: str, stream: IO[bytes], draft: Draft, actor: Actor) -> AdminVideo:
    """Take in a small video that came in one form, for a browser without JavaScript. Raises as ``add`` does."""
    return admin_view(add_video.take(stream, name, draft, actor))


def _mine(session: Session, ref: str, user_id: int) -> VideoUpload:
    query = select(VideoUpload).where(VideoUpload.ref == ref, VideoUpload.user_id == user_id)
    row = session.scalars(query.where(VideoUpload.expires_at > utc_now())).one_or_none()
    if row is None:
        raise UnknownUploadError
    return row


def _advance(session: Session, ref: str, user_id: int, offset: int, end: int) -> VideoUpload:
    """Count a piece in; of two that were sent for one place, the second is told so."""
    ours = VideoUpload.ref == ref, VideoUpload.user_id == user_id, VideoUpload.received == offset
    values: dict[str, Any] = {"received": end, "expires_at": utc_now() + LIFETIME}
    moved = session.execute(
        update(VideoUpload).where(*ours).values(**values).execution_options(synchronize_session=False)
    )
    row = _mine(session, ref, user_id)
    if not isinstance(moved, CursorResult) or moved.rowcount != 1:
        raise OffsetError(row.received)
    return row


def _write(file: Path, offset: int, piece: bytes) -> None:
    """Write it onto the disk: a row that counts what a power cut has taken would make a video with a hole.

    So would a piece after one that lies on another host's disk. Raises UnknownUploadError.
    """
    handle = os.open(file, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        if os.fstat(handle).st_size < offset:
            raise UnknownUploadError
        view, at = memoryview(piece), offset
        while view:
            written = os.pwrite(handle, view, at)
            view, at = view[written:], at + written
        os.fsync(handle)
    finally:
        os.close(handle)


def _unlink(file: Path) -> None:
    file.unlink(missing_ok=True)


def _view(row: VideoUpload) -> UploadView:
    return UploadView(row.ref, row.name, row.title, row.access_level, row.size, row.received, row.expires_at)


@exports("uploads")
def _export(session: Session, user: User) -> list[dict[str, Any]]:
    """Those that are not complete; what was made of the others is the site's."""
    rows = session.scalars(select(VideoUpload).where(VideoUpload.user_id == user.id).order_by(VideoUpload.id))
    return [
        {
            "file": row.name,
            "title": row.title,
            "size": row.size,
            "received": row.received,
            "created_at": row.created_at.isoformat(),
        }
        for row in rows
    ]


@on_delete
def _forget(session: Session, user: User) -> None:
    """What had come of them is swept away."""
    session.execute(delete(VideoUpload).where(VideoUpload.user_id == user.id))
