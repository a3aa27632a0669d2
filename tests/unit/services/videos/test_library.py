"""The video library for readers: lists, watch page, small files, captions, chapters and saved positions."""

from __future__ import annotations

from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select

from church.config import current_settings
from church.errors import FieldErrors, ForbiddenError
from church.extensions import db
from church.models import User, Video
from church.models.base import utc_now
from church.services import audit, videos
from church.services.access import ANONYMOUS, Reader
from church.services.accounts import data_registry
from church.services.audit import Actor
from church.services.videos import library
from church.services.videos.errors import UnknownVideoError
from church.services.videos.presenters import Chapter
from church.services.videos.storage import local
from church.services.videos.storage.local import video_folder
from tests.support.accounts_fixture import audited
from tests.support.people import add_user
from tests.support.video_fixture import add_ready

MEMBER = Reader(member=True)
PREMIUM = Reader(member=True, premium=True)
CLI = Actor(via="cli")
VTT = b"\xef\xbb\xbfWEBVTT\r\n\r\n00:01.000 --> 00:02.000\r\nAhoy\r\n"


def test_watch_view_reader_without_access_gets_no_content(at_work: Flask) -> None:
    video = add_ready(description="Boats *and* <script>alert(1)</script> [ropes](/ropes).\n\nMore.", has_thumbs=True)
    videos.add_caption(video.ref, "en", "English", VTT, CLI, default=True)
    videos.set_chapters(video.ref, "0:10 The mole\n0:20 The light", CLI)
    add_ready("lighthouse", access_level="public")
    full = videos.load_watch_view("harbour", PREMIUM, None)
    assert (full.open, full.qualities, full.has_thumbs) == (True, ("720p",), True)
    assert [(one.language, one.label, one.is_default) for one in full.captions] == [("en", "English", True)]
    assert full.chapters == (Chapter(10_000, "The mole"), Chapter(20_000, "The light"))
    for reader in (ANONYMOUS, MEMBER):
        closed = videos.load_watch_view("harbour", reader, None)
        assert not closed.open
        assert (closed.qualities, closed.captions, closed.chapters, closed.has_thumbs) == ((), (), (), False)
        assert [(one.slug, one.open) for one in closed.related] == [("lighthouse", True)]
        assert "<em>and</em>" in closed.description
        assert "script" not in closed.description
        assert closed.summary == "Boats and alert(1) ropes."


def test_lists_show_ready_videos_newest_first_to_everyone(at_work: Flask) -> None:
    now = utc_now()
    add_ready("old", published_at=now - timedelta(days=2), description="Nets and *Öl*.")
    add_ready("new", access_level="public", title="The new Pier")
    for state in ("queued", "working", "failed"):
        hidden = add_ready(state, state=state, published_at=None)
        assert hidden.slug not in {one.slug for one in videos.list_videos(PREMIUM)}
        with pytest.raises(UnknownVideoError):
            videos.load_watch_view(state, PREMIUM, None)
        with pytest.raises(UnknownVideoError):
            library.load_playable(state)
    assert [(one.slug, one.open) for one in videos.list_videos()] == [("new", True), ("old", False)]
    assert [one.slug for one in videos.list_videos(limit=1)] == ["new"]
    assert [one.slug for one in videos.list_videos(limit=1, skip=1)] == ["old"]
    assert [one.slug for one in videos.search_videos("PIÉR")] == ["new"]
    assert [one.slug for one in videos.search_videos("nets ol")] == ["old"]
    assert videos.search_videos("nets pier") == videos.search_videos("%") == ()
    assert library.list_first_slugs(3) == ("old", "new", "queued")
    assert len(videos.list_for_admin()) == 5


def test_playable_lists_renditions_with_their_files(at_work: Flask) -> None:
    video = add_ready(data=b"abc")
    found = library.load_playable("harbour")
    assert (found.ref, found.access, list(found.renditions)) == (video.ref, "premium", ["720p"])
    assert found.renditions["720p"].path.read_bytes() == b"abc"


def test_asset_needs_access_and_is_never_another_file(at_work: Flask) -> None:
    video = add_ready(has_poster=True, has_thumbs=True)
    videos.add_caption(video.ref, "en", "", VTT, CLI)
    folder = video_folder(current_settings(), video.ref)
    assert videos.find_asset("harbour", videos.POSTER, ANONYMOUS) == folder / "poster.jpg"
    for name in (local.SPRITE, local.THUMBS, "captions-en.vtt"):
        assert videos.find_asset("harbour", name, PREMIUM) == folder / name
        with pytest.raises(ForbiddenError):
            videos.find_asset("harbour", name, MEMBER)
    for name in ("720p.mp4", "captions-de.vtt", "../poster.jpg", ""):
        with pytest.raises(UnknownVideoError):
            videos.find_asset("harbour", name, PREMIUM)
    with pytest.raises(ValueError, match="not the ref of a video"):
        video_folder(current_settings(), "../../etc")


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


def test_captions_can_be_replaced_and_removed(at_work: Flask) -> None:
    video = add_ready()
    videos.add_caption(video.ref, "en", "English", VTT, CLI, default=True)
    videos.add_caption(video.ref, "pt-BR", "", VTT, CLI, default=True)
    videos.add_caption(video.ref, "en", "English", VTT.replace(b"Ahoy", b"Hello"), CLI)
    found = videos.load_for_admin(video.ref).captions
    assert [(one.language, one.label, one.is_default) for one in found] == [
        ("en", "English", False),
        ("pt-BR", "pt-BR", True),
    ]
    assert found[0].path.read_bytes() == b"WEBVTT\n\n00:01.000 --> 00:02.000\nHello\n"
    videos.remove_caption(video.ref, "en", CLI)
    assert not found[0].path.exists()
    with pytest.raises(UnknownVideoError):
        videos.remove_caption(video.ref, "en", CLI)


@pytest.mark.parametrize(
    ("language", "data", "field"),
    [
        ("../x", VTT, "language"),
        ("EN", VTT, "language"),
        ("en", b"1\n00:00:01,000 --> 00:00:02,000\nAhoy\n", "file"),
        ("en", b"WEBVTTX\n\n00:01.000 --> 00:02.000\n", "file"),
        ("en", b"WEBVTT\n\nno times", "file"),
        ("en", b"WEBVTT\n\n00:01.000 --> 00:02.000\n\xff", "file"),
        ("en", VTT + b"x" * 2**21, "file"),
    ],
)
def test_captions_invalid_are_rejected(at_work: Flask, language: str, data: bytes, field: str) -> None:
    with pytest.raises(FieldErrors) as caught:
        videos.add_caption(add_ready().ref, language, "", data, CLI)
    assert list(caught.value.errors) == [field]


def test_chapters_round_trip_as_lines() -> None:
    text = "0:00 Begin\n\n 1:30   The  nave \n1:02:03.5 End\n"
    found = videos.parse_chapters(text)
    assert found == (Chapter(0, "Begin"), Chapter(90_000, "The nave"), Chapter(3_723_500, "End"))
    assert videos.parse_chapters(videos.format_chapters(found)) == found


@pytest.mark.parametrize("text", ["The nave", "1:60 Nave", "1:90:00 Nave", "0:10 B\n0:10 A", "1:00", "0:01 A\n" * 101])
def test_chapters_invalid_are_rejected(text: str) -> None:
    with pytest.raises(FieldErrors):
        videos.parse_chapters(text)


def test_chapters_after_the_end_are_rejected(at_work: Flask) -> None:
    video = add_ready(duration_ms=60_000)
    with pytest.raises(FieldErrors):
        videos.set_chapters(video.ref, "1:00 Late", CLI)
    assert videos.set_chapters(video.ref, "", CLI) == ()


def test_position_is_saved_until_the_member_turns_resume_off(on_both: Flask) -> None:
    ada = add_user(on_both)
    add_ready()
    add_ready("pier", access_level="members")
    for at in (10_000, 30_000):
        assert videos.save_position("harbour", ada.id, PREMIUM, at)
    card = next(one for one in videos.list_videos(PREMIUM, ada.id) if one.slug == "harbour")
    assert card.watched is not None
    assert (card.watched.position_ms, card.watched.finished, card.percent) == (30_000, False, 50)
    assert [one.watched for one in videos.list_videos(PREMIUM)] == [None, None]
    videos.save_position("pier", ada.id, PREMIUM, 5_000)
    assert [one.slug for one in videos.list_unfinished(PREMIUM, ada.id, 4)] == ["pier", "harbour"]
    assert [one.slug for one in videos.list_unfinished(PREMIUM, ada.id, 1)] == ["pier"]
    assert [one.slug for one in videos.list_unfinished(MEMBER, ada.id, 4)] == ["pier"]
    for slug, at in (("harbour", 58_000), ("pier", 10**12)):
        videos.save_position(slug, ada.id, PREMIUM, at)
    assert videos.list_unfinished(PREMIUM, ada.id, 4) == ()
    watched = videos.load_watch_view("harbour", PREMIUM, ada.id).watched
    assert watched is not None
    assert (watched.position_ms, watched.finished) == (0, True)
    with db.read() as session:
        exported = data_registry.collect_data(session, session.get_one(User, ada.id))["watching"]
    assert [one["video"] for one in exported["videos"]] == ["pier", "harbour"]
    videos.set_resume(ada.id, False)
    assert not videos.save_position("harbour", ada.id, PREMIUM, 10_000)
    found = videos.load_watch_view("harbour", PREMIUM, ada.id)
    assert (found.watched, found.resume) == (None, False)
    videos.set_resume(ada.id, True)
    assert videos.save_position("harbour", ada.id, PREMIUM, -5)
    with db.write() as session:
        data_registry.delete_data(session, session.get_one(User, ada.id))
    assert videos.load_watch_view("harbour", PREMIUM, ada.id).watched is None


def test_position_in_video_without_access_is_rejected(at_work: Flask) -> None:
    ada = add_user(at_work)
    add_ready()
    with pytest.raises(UnknownVideoError):
        videos.save_position("harbour", ada.id, MEMBER, 10)
    with pytest.raises(UnknownVideoError):
        videos.save_position("nowhere", ada.id, PREMIUM, 10)


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
