"""Receive uploads in pieces, so that they continue after a lost connection, a closed laptop or a restart.

The row has the number of bytes received. A piece is written to the file before it is counted, so a piece may be sent
twice. The last piece turns the upload into a video with the same ref.
"""

from __future__ import annotations

import os
import secrets
from datetime import timedelta
from pathlib import Path
from typing import IO, Any

from sqlalchemy import CursorResult, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from church.config import current_settings
from church.errors import ConflictError, InvalidError
from church.extensions import db
from church.lib.threads import run_off_hub
from church.models import VideoUpload
from church.models.base import utc_now
from church.services.audit import Actor
from church.services.videos.editing import load_for_admin, validate_draft
from church.services.videos.errors import DiskFullError, OffsetError, UnknownUploadError
from church.services.videos.importing import add_video
from church.services.videos.presenters import AdminVideo, UploadView, VideoDraft
from church.services.videos.storage import local

LIFETIME = timedelta(days=2)
"""After the last piece."""
MAX_UNFINISHED = 10
MAX_PIECE_BYTES = 4 * 1024 * 1024


def start_upload(user_id: int, name: str, size: int, draft: VideoDraft) -> UploadView:
    """Start an upload of ``size`` bytes.

    Raises FieldErrors, TooLargeError, NotVideoError for 0 bytes, NoRoomError, ConflictError for more than 10 at once.
    """
    draft, now, ref = validate_draft(draft), utc_now(), secrets.token_hex(8)
    add_video.check_size(size)
    local.check_free_space(current_settings(), 2 * size)
    with db.write() as session:
        unfinished = select(func.count()).where(VideoUpload.user_id == user_id, VideoUpload.expires_at > now)
        if (session.scalar(unfinished) or 0) >= MAX_UNFINISHED:
            raise ConflictError(f"{MAX_UNFINISHED} of your uploads are unfinished. Finish or cancel one of them.")
        row = VideoUpload(
            ref=ref, user_id=user_id, name=Path(name).name[:200], title=draft.title, description=draft.description,
            access_level=draft.access, size=size, created_at=now, expires_at=now + LIFETIME,
        )  # fmt: skip
        session.add(row)
        session.flush()
        return _view(row)


def load_upload(ref: str, user_id: int) -> UploadView:
    """Load one of the admin's own unfinished uploads. Raises UnknownUploadError."""
    with db.read() as session:
        return _view(_load_own(session, ref, user_id))


def list_uploads(user_id: int) -> list[UploadView]:
    """List the admin's own unfinished uploads, newest first."""
    query = select(VideoUpload).where(VideoUpload.user_id == user_id, VideoUpload.expires_at > utc_now())
    with db.read() as session:
        return [_view(row) for row in session.scalars(query.order_by(VideoUpload.id.desc()))]


def append_piece(ref: str, user_id: int, offset: int, piece: bytes, actor: Actor) -> UploadView | AdminVideo:
    """Receive the piece that begins at ``offset``; return the upload, or the new video after the last piece.

    Raises UnknownUploadError, OffsetError with the right offset, InvalidError for a piece that is empty, larger than
    4 MiB or beyond the announced size, NoRoomError, and ConflictError if another video takes its slug meanwhile.
    """
    upload = load_upload(ref, user_id)
    if offset != upload.received:
        raise OffsetError(upload.received)
    end = offset + len(piece)
    if not piece or len(piece) > MAX_PIECE_BYTES or end > upload.size:
        raise InvalidError("A piece must have 1 byte to 4 MiB, and all pieces no more than the announced size.")
    local.check_free_space(current_settings(), len(piece))  # the disk may have filled up since the start
    try:
        run_off_hub(_write, local.source_path(current_settings(), ref), offset, piece)
    except UnknownUploadError:
        cancel_upload(ref, user_id)  # nothing can complete it
        raise
    except OSError as error:
        raise DiskFullError from error
    try:
        with db.write() as session:
            row = _advance(session, ref, user_id, offset, end)
            if end < upload.size:
                return _view(row)
            draft = VideoDraft(row.title, row.access_level, row.description)
            add_video.insert_video(session, ref, row.name, row.size, draft, actor)
            session.delete(row)
    except IntegrityError:  # another video took the slug between our query and the commit
        raise ConflictError("Another video is being added with this title. Send the last piece again.") from None
    return load_for_admin(ref)


def cancel_upload(ref: str, user_id: int) -> None:
    """Cancel one of the admin's own uploads and delete its file. Raises UnknownUploadError."""
    with db.write() as session:
        session.delete(_load_own(session, ref, user_id))
    run_off_hub(_unlink, local.source_path(current_settings(), ref))


def receive_whole(name: str, stream: IO[bytes], draft: VideoDraft, actor: Actor) -> AdminVideo:
    """Receive a small video in one form, from a browser without JavaScript. Raises what adding a video raises."""
    return load_for_admin(add_video.add_stream(stream, name, draft, actor))


def _load_own(session: Session, ref: str, user_id: int) -> VideoUpload:
    query = select(VideoUpload).where(VideoUpload.ref == ref, VideoUpload.user_id == user_id)
    row = session.scalars(query.where(VideoUpload.expires_at > utc_now())).one_or_none()
    if row is None:
        raise UnknownUploadError
    return row


def _advance(session: Session, ref: str, user_id: int, offset: int, end: int) -> VideoUpload:
    """Count a piece. Raises OffsetError for the second of two pieces with the same offset."""
    at_offset = VideoUpload.ref == ref, VideoUpload.user_id == user_id, VideoUpload.received == offset
    values: dict[str, Any] = {"received": end, "expires_at": utc_now() + LIFETIME}
    result = session.execute(
        update(VideoUpload).where(*at_offset).values(**values).execution_options(synchronize_session=False)
    )
    row = _load_own(session, ref, user_id)
    if not isinstance(result, CursorResult) or result.rowcount != 1:
        raise OffsetError(row.received)
    return row


def _write(file: Path, offset: int, piece: bytes) -> None:
    """Write a piece and sync it, because a counted piece that a power cut takes would leave a hole in the video.

    Raises UnknownUploadError if the earlier pieces are not here: another host may have received them.
    """
    handle = os.open(file, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        if os.fstat(handle).st_size < offset:
            raise UnknownUploadError
        rest, at = memoryview(piece), offset
        while rest:
            written = os.pwrite(handle, rest, at)
            rest, at = rest[written:], at + written
        os.fsync(handle)
    finally:
        os.close(handle)


def _unlink(file: Path) -> None:
    file.unlink(missing_ok=True)


def _view(row: VideoUpload) -> UploadView:
    return UploadView(row.ref, row.name, row.title, row.access_level, row.size, row.received, row.expires_at)
