"""Saved positions: when they are saved, when a video counts as finished, and turning resume off."""

from __future__ import annotations

import pytest
from flask import Flask

from church.extensions import db
from church.models import User
from church.services import videos
from church.services.access import Reader
from church.services.accounts import data_registry
from church.services.videos import positions
from church.services.videos.errors import UnknownVideoError
from tests.support.people import add_user
from tests.support.video_fixture import add_ready

MEMBER = Reader(member=True)
PREMIUM = Reader(member=True, premium=True)


def test_position_is_saved_until_the_member_turns_resume_off(on_both: Flask) -> None:
    ada = add_user(on_both)
    add_ready()
    add_ready("pier", access_level="members")
    for at in (10_000, 30_000):
        assert videos.save_position("harbour", ada.id, PREMIUM, at)
    card = next(one for one in videos.list_videos(PREMIUM, ada.id).videos if one.slug == "harbour")
    assert card.watched is not None
    assert (card.watched.position_ms, card.watched.finished, card.percent) == (30_000, False, 50)
    assert [one.watched for one in videos.list_videos(PREMIUM).videos] == [None, None]
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


@pytest.mark.parametrize(
    ("length_ms", "at_ms", "finished"),
    [
        (600_000, 569_999, False),
        (600_000, 570_000, True),  # 95 %
        (60_000, 56_999, False),
        (60_000, 57_000, True),
        (10_000, 9_499, False),
        (10_000, 9_500, True),
    ],
)
def test_position_near_the_end_is_finished(at_work: Flask, length_ms: int, at_ms: int, finished: bool) -> None:
    ada = add_user(at_work)
    video = add_ready(duration_ms=length_ms)
    videos.save_position("harbour", ada.id, PREMIUM, at_ms)
    with db.read() as session:
        saved = positions.load_positions(session, ada.id)[video.id]
        assert positions.load_positions(session, None) == {}
    assert (saved.finished, saved.position_ms) == (finished, 0 if finished else at_ms)


@pytest.mark.parametrize(
    ("length_ms", "from_ms"), [(10_000, 500), (24_000, 1200), (200_000, 10_000), (7_200_000, 10_000)]
)
def test_position_is_kept_from_5_percent_or_10_seconds_on(at_work: Flask, length_ms: int, from_ms: int) -> None:
    ada = add_user(at_work)
    add_ready(duration_ms=length_ms)

    def watch(at_ms: int) -> int | None:
        assert videos.save_position("harbour", ada.id, PREMIUM, at_ms)
        found = videos.load_watch_view("harbour", PREMIUM, ada.id)
        assert bool(videos.list_unfinished(PREMIUM, ada.id, 1)) == bool(found.resume_ms)
        assert found.resume_from_ms == from_ms
        return found.resume_ms

    assert (watch(from_ms - 1), watch(from_ms)) == (0, from_ms)
    assert watch(0) == 0, "started over, and left"
    watch(length_ms)
    assert watch(0) == 0
    watched = videos.load_watch_view("harbour", PREMIUM, ada.id).watched
    assert watched is not None, "finished once"
    assert watched.finished
