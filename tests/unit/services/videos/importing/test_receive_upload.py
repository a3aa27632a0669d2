"""Uploads in pieces: continuing them, who may, and the video that the last piece makes."""

from __future__ import annotations

import io
import os
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import update

from church.config import current_settings
from church.errors import ConflictError, FieldErrors, InvalidError
from church.extensions import db
from church.models import Job, User, VideoUpload
from church.models.base import utc_now
from church.services import videos
from church.services.accounts import data_registry
from church.services.audit import Actor
from church.services.videos import AdminVideo, UploadView, VideoDraft
from church.services.videos.errors import DiskFullError, NotVideoError, OffsetError, TooLargeError, UnknownUploadError
from church.services.videos.importing import add_video, receive_upload
from church.services.videos.storage import local
from tests.support.helpers import with_settings
from tests.support.people import add_user

DRAFT = VideoDraft("The Harbour", "premium", "Boats.")


@pytest.fixture
def ada(at_work: Flask) -> User:
    return add_user(at_work)


def start(user: User, size: int = 10) -> UploadView:
    return videos.start_upload(user.id, "../C:\\clips/harbour.mov", size, DRAFT)


def send(user: User, ref: str, offset: int, piece: bytes) -> UploadView | AdminVideo:
    return videos.append_piece(ref, user.id, offset, piece, Actor(user.id))


def test_upload_in_pieces_becomes_a_queued_video(ada: User) -> None:
    upload = start(ada)
    assert (upload.name, upload.size, upload.received) == ("harbour.mov", 10, 0)
    half = send(ada, upload.ref, 0, b"01234")
    assert isinstance(half, UploadView)
    assert videos.load_upload(upload.ref, ada.id).received == half.received == 5
    assert [one.ref for one in videos.list_uploads(ada.id)] == [upload.ref]
    made = send(ada, upload.ref, 5, b"56789")
    assert isinstance(made, AdminVideo)
    assert (made.ref, made.state, made.slug, made.access) == (upload.ref, "queued", "the-harbour", "premium")
    assert (made.source_name, made.source_bytes, made.description) == ("harbour.mov", 10, "Boats.")
    assert local.source_path(current_settings(), made.ref).read_bytes() == b"0123456789"
    assert videos.list_uploads(ada.id) == []
    with db.read() as session:
        assert (
            session.query(Job.kind).where(Job.unique_key == videos.make_import_key(made.ref)).scalar()
            == "videos.import"
        )


def test_piece_with_wrong_offset_gets_the_right_one(ada: User) -> None:
    upload = start(ada)
    send(ada, upload.ref, 0, b"01234")
    for offset in (0, 4, 6, 10, -1):
        with pytest.raises(OffsetError) as caught:
            send(ada, upload.ref, offset, b"x")
        assert caught.value.offset == 5
    assert local.source_path(current_settings(), upload.ref).read_bytes() == b"01234"


def test_piece_written_but_not_counted_can_be_sent_again(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    upload = start(ada)
    advance = receive_upload._advance
    monkeypatch.setattr(receive_upload, "_advance", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        send(ada, upload.ref, 0, b"01234")
    monkeypatch.setattr(receive_upload, "_advance", advance)
    assert videos.load_upload(upload.ref, ada.id).received == 0
    send(ada, upload.ref, 0, b"01234")
    assert isinstance(send(ada, upload.ref, 5, b"56789"), AdminVideo)


def test_piece_is_synced_before_it_is_counted(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    upload, counted = start(ada), []
    fsync = os.fsync

    def note_count(handle: int) -> None:
        fsync(handle)
        counted.append(videos.load_upload(upload.ref, ada.id).received)

    monkeypatch.setattr(os, "fsync", note_count)
    send(ada, upload.ref, 0, b"01234")
    send(ada, upload.ref, 5, b"56789")
    assert counted == [0, 5]


def test_piece_after_a_lost_one_is_rejected(ada: User) -> None:
    upload = start(ada)
    send(ada, upload.ref, 0, b"01234")
    local.source_path(current_settings(), upload.ref).unlink()
    with pytest.raises(UnknownUploadError):
        send(ada, upload.ref, 5, b"56789")
    assert videos.list_uploads(ada.id) == []


def test_piece_sent_twice_at_once_counts_once(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    upload = start(ada)
    write = receive_upload._write

    def send_another_first(*arguments: object) -> None:
        monkeypatch.setattr(receive_upload, "_write", write)
        send(ada, upload.ref, 0, b"01234")

    monkeypatch.setattr(receive_upload, "_write", send_another_first)
    with pytest.raises(OffsetError) as caught:
        send(ada, upload.ref, 0, b"012")
    assert caught.value.offset == 5


def test_last_piece_can_be_sent_again_after_another_video_took_the_slug(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = start(ada), start(ada)
    send(ada, first.ref, 0, b"0123456789")
    with monkeypatch.context() as patch:  # as in PostgreSQL before the other video is committed
        patch.setattr(add_video, "_choose_slug", lambda *_: "the-harbour")
        with pytest.raises(ConflictError):
            send(ada, second.ref, 0, b"0123456789")
    assert videos.load_upload(second.ref, ada.id).received == 0
    made = send(ada, second.ref, 0, b"0123456789")
    assert isinstance(made, AdminVideo)
    assert made.slug == "the-harbour-2"


@pytest.mark.parametrize("piece", [b"", b"x" * 11, b"x" * (receive_upload.MAX_PIECE_BYTES + 1)])
def test_piece_of_wrong_size_is_rejected(ada: User, piece: bytes) -> None:
    upload = start(ada, size=10 if len(piece) < 20 else 2**30)
    with pytest.raises(InvalidError):
        send(ada, upload.ref, 0, piece)
    assert videos.load_upload(upload.ref, ada.id).received == 0


def test_upload_belongs_to_one_admin_until_it_expires_or_is_cancelled(ada: User, at_work: Flask) -> None:
    eve = add_user(at_work, "eve@church.example")
    mine, other = start(ada), start(ada)
    for steal in (lambda: send(eve, mine.ref, 0, b"x"), lambda: videos.cancel_upload(mine.ref, eve.id)):
        with pytest.raises(UnknownUploadError):
            steal()
    send(ada, other.ref, 0, b"x")
    videos.cancel_upload(other.ref, ada.id)
    assert not local.source_path(current_settings(), other.ref).exists()
    with db.write() as session:
        session.execute(update(VideoUpload).values(expires_at=utc_now() - timedelta(seconds=1)))
    with pytest.raises(UnknownUploadError):
        send(ada, mine.ref, 0, b"x")
    assert videos.list_uploads(ada.id) == []


def test_upload_invalid_is_rejected_at_the_start(ada: User, at_work: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    at_work.config["CHURCH"] = with_settings(current_settings(), video_max_bytes=100)
    with pytest.raises(TooLargeError):
        start(ada, 101)
    with pytest.raises(NotVideoError):
        start(ada, 0)
    with pytest.raises(FieldErrors):
        videos.start_upload(ada.id, "a.mp4", 10, VideoDraft("", "premium"))
    for _ in range(receive_upload.MAX_UNFINISHED):
        start(ada)
    with pytest.raises(ConflictError):
        start(ada)
    mine = videos.list_uploads(ada.id)[0]
    monkeypatch.setattr(local, "_SPARE", 2**62)
    with pytest.raises(DiskFullError):
        start(ada)
    with pytest.raises(DiskFullError):  # the disk has filled up meanwhile
        send(ada, mine.ref, 0, b"x")


def test_small_video_in_one_form_is_queued_and_a_large_one_leaves_no_file(ada: User, at_work: Flask) -> None:
    made = videos.receive_whole("a.mp4", io.BytesIO(b"0123456789"), DRAFT, Actor(ada.id))
    assert (made.state, made.source_bytes) == ("queued", 10)
    at_work.config["CHURCH"] = with_settings(current_settings(), video_max_bytes=9)
    with pytest.raises(TooLargeError):
        videos.receive_whole("a.mp4", io.BytesIO(b"0123456789"), DRAFT, Actor(ada.id))
    assert [path.name for path in local.incoming_folder(current_settings()).iterdir()] == [made.ref]


def test_deleted_account_has_no_upload(ada: User) -> None:
    start(ada)
    with db.write() as session:
        data_registry.delete_data(session, session.get_one(User, ada.id))
    assert videos.list_uploads(ada.id) == []
