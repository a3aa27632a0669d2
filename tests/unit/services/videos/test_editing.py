"""What admins do with existing videos: edit and delete them."""

from __future__ import annotations

import pytest
from flask import Flask
from sqlalchemy import select

from church.database.paging import Place
from church.errors import ConflictError, FieldErrors
from church.extensions import db
from church.models import Job, Video
from church.models.videos import VideoState
from church.services import audit, videos
from church.services.access import Reader
from church.services.audit import Actor
from church.services.videos import VideoDraft
from church.services.videos.editing import validate_draft
from church.services.videos.errors import UnknownVideoError
from tests.support.accounts_fixture import audited
from tests.support.people import add_user
from tests.support.video_fixture import add_ready

PREMIUM = Reader(member=True, premium=True)
CLI = Actor(via="cli")
VTT = b"\xef\xbb\xbfWEBVTT\r\n\r\n00:01.000 --> 00:02.000\r\nAhoy\r\n"


def test_edit_changes_fields_and_is_audited(at_work: Flask) -> None:
    video = add_ready(description="Old.")
    videos.edit_video(video.ref, "  The   Pier ", "public", "Old.", CLI)
    found = videos.load_for_admin(video.ref)
    assert (found.title, found.access, found.description, found.slug) == ("The Pier", "public", "Old.", "harbour")
    assert audit.list_entries()[0].detail == {"video": "harbour", "fields": ["title", "access_level"]}
    videos.edit_video(video.ref, "The Pier", "public", "Old.", CLI)
    assert audited() == ["video.edited"]
    with pytest.raises(FieldErrors):
        videos.edit_video(video.ref, "", "public", "", CLI)
    with pytest.raises(UnknownVideoError):
        videos.edit_video("0" * 16, "A", "public", "", CLI)


def test_delete_removes_positions_and_captions(at_work: Flask) -> None:
    ada = add_user(at_work)
    video = add_ready()
    videos.add_caption(video.ref, "en", "", VTT, CLI)
    videos.save_position("harbour", ada.id, PREMIUM, 10)
    videos.delete_video(video.ref, CLI)
    with db.read() as session:
        assert session.scalars(select(Video)).all() == []
    with pytest.raises(UnknownVideoError):
        videos.delete_video(video.ref, CLI)


def test_list_for_admin_is_newest_first_of_one_state_and_paged(at_work: Flask) -> None:
    first, second, third = add_ready("first"), add_ready("second", state="failed"), add_ready("third")
    assert [one.slug for one in videos.list_for_admin()] == ["third", "second", "first"]
    assert [one.slug for one in videos.list_for_admin(VideoState.FAILED)] == ["second"]
    assert [one.ref for one in videos.list_for_admin(place=Place(before=third.id))] == [second.ref, first.ref]
    assert [one.ref for one in videos.list_for_admin(place=Place(size=1))] == [third.ref]


def test_find_video_by_slug_or_ref(at_work: Flask) -> None:
    video = add_ready()
    for which in ("harbour", video.ref):
        found = videos.find_video(which)
        assert found is not None
        assert found.ref == video.ref
    assert videos.find_video("nowhere") is None


def test_retry_queues_only_a_failed_import(at_work: Flask) -> None:
    failed, ready = add_ready("failed", state="failed", reason="No video."), add_ready("ready")
    videos.retry_import(failed.ref, CLI)
    found = videos.load_for_admin(failed.ref)
    assert (found.state, found.reason, found.progress) == ("queued", None, 0)
    with db.read() as session:
        assert session.scalars(select(Job.unique_key)).all() == [videos.make_import_key(failed.ref)]
    with pytest.raises(ConflictError):
        videos.retry_import(ready.ref, CLI)


def test_draft_is_cleaned_up() -> None:
    draft = validate_draft(VideoDraft("  The \n Pier ", "public", " One\r\nTwo ", " The-Pier "))
    assert draft == VideoDraft("The Pier", "public", "One\nTwo", "the-pier")


def test_draft_invalid_names_every_field() -> None:
    with pytest.raises(FieldErrors) as caught:
        validate_draft(VideoDraft("x" * 201, "friends", "x" * 5001, "The Pier"))
    assert sorted(caught.value.errors) == ["access", "description", "slug", "title"]
