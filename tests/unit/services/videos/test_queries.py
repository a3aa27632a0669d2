"""Rows of videos, and the views that are made from them."""

from __future__ import annotations

import pytest
from flask import Flask

from church.config import current_settings
from church.extensions import db
from church.models import Rendition, Video
from church.services.access import ANONYMOUS, Reader
from church.services.videos import queries
from church.services.videos.errors import UnknownVideoError
from church.services.videos.presenters import Chapter
from church.services.videos.storage.local import video_folder
from tests.support.video_fixture import add_ready


def add_rendition(video: Video, quality: str, height: int) -> None:
    facts = {"file": f"{quality}.mp4", "bytes": 1, "width": 1, "bitrate": 1, "etag": "x"}
    with db.write() as session:
        session.add(Rendition(video_id=video.id, quality=quality, height=height, **facts))


def test_load_by_ref_finds_any_state_and_load_ready_only_ready_ones(at_work: Flask) -> None:
    ready, failed = add_ready(), add_ready("failed", state="failed")
    with db.read() as session:
        assert queries.load_by_ref(session, failed.ref).slug == "failed"
        assert queries.load_ready(session, "harbour").ref == ready.ref
        for load, name in ((queries.load_ready, "failed"), (queries.load_ready, ready.ref), (queries.load_by_ref, "0")):
            with pytest.raises(UnknownVideoError):
                load(session, name)


def test_renditions_are_grouped_by_video_best_first(at_work: Flask) -> None:
    harbour, pier = add_ready(), add_ready("pier")
    add_rendition(harbour, "1080p", 1080)
    with db.read() as session:
        found = queries.load_renditions(session, current_settings(), harbour, pier)
    assert {video_id: [one.quality for one in files] for video_id, files in found.items()} == {
        harbour.id: ["1080p", "720p"],
        pier.id: ["720p"],
    }
    assert found[harbour.id][0].path == video_folder(current_settings(), harbour.ref) / "1080p.mp4"


def test_captions_of_a_video_without_any_are_empty(at_work: Flask) -> None:
    video = add_ready()
    with db.read() as session:
        assert queries.load_captions(session, current_settings(), video) == {video.id: ()}


def test_chapters_are_read_from_the_row(at_work: Flask) -> None:
    video = add_ready(chapters=[{"at_ms": 0, "title": "Begin"}, {"at_ms": 1500, "title": "The mole"}])
    assert queries.read_chapters(video) == (Chapter(0, "Begin"), Chapter(1500, "The mole"))


def test_card_is_open_to_readers_with_access(at_work: Flask) -> None:
    video = add_ready(duration_ms=None, published_at=None)
    assert not queries.make_card(video, ANONYMOUS).open
    card = queries.make_card(video, Reader(member=True, premium=True))
    assert (card.open, card.duration_ms, card.published_at) == (True, 0, video.created_at)


def test_admin_view_names_what_a_plain_video_lacks_once_it_is_ready(at_work: Flask) -> None:
    rows = [add_ready("plain", plain=True), add_ready("full"), add_ready("failed", plain=True, state="failed")]
    with db.read() as session:
        found = queries.make_admin_views(session, current_settings(), rows)
    assert [len(one.missing) for one in found] == [3, 0, 0]
