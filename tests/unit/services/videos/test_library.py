"""The video library for readers: lists, search, watch page and small files."""

from __future__ import annotations

from datetime import timedelta

import pytest
from flask import Flask

from church.config import current_settings
from church.errors import ForbiddenError
from church.models.base import utc_now
from church.services import videos
from church.services.access import ANONYMOUS, Reader
from church.services.audit import Actor
from church.services.videos import library
from church.services.videos.errors import UnknownVideoError
from church.services.videos.presenters import Chapter
from church.services.videos.storage import local
from church.services.videos.storage.local import video_folder
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
        assert hidden.slug not in {one.slug for one in videos.list_videos(PREMIUM).videos}
        with pytest.raises(UnknownVideoError):
            videos.load_watch_view(state, PREMIUM, None)
        with pytest.raises(UnknownVideoError):
            library.load_playable(state)
    assert [(one.slug, one.open) for one in videos.list_videos().videos] == [("new", True), ("old", False)]
    assert [one.slug for one in videos.list_videos(limit=1).videos] == ["new"]
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
