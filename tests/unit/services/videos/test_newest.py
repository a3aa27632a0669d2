"""What pages for everyone show of the videos: made once per change, and kept while the database is down."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import pytest
from flask import Flask
from sqlalchemy import select, update

from church.database.errors import DatabaseDownError
from church.extensions import db
from church.models import Video
from church.services import videos
from church.services.access import Access
from church.services.audit import Actor
from church.services.pages import find_sitemap_file
from church.services.videos import newest
from tests.support.video_fixture import add_ready, add_rows

CLI = Actor(via="cli")


@pytest.fixture(autouse=True)
def _look_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(newest, "_CHECK_SECONDS", -1.0)


def test_version_changes_with_what_readers_see_and_nothing_else(on_both: Flask) -> None:
    seen = [videos.library_version()]

    def is_changed() -> bool:
        seen.append(videos.library_version())
        return seen[-1] != seen[-2]

    video = add_ready("harbour")
    assert is_changed()
    for values in ({"title": "Pier"}, {"access_level": "public"}, {"state": "failed"}, {"state": "ready"}):
        with db.write() as session:
            session.execute(update(Video).values(values))
        assert is_changed()
    with db.write() as session:
        session.execute(update(Video).values(progress=7, reason="none"))
    assert not is_changed()
    videos.delete_video(video.ref, CLI)
    assert is_changed()


def test_newest_are_loaded_once_per_change(at_work: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[int] = []
    load = newest._load_newest
    monkeypatch.setattr(newest, "_load_newest", lambda: loaded.append(1) or load())
    assert videos.list_newest() == ()
    add_ready("open", access_level="public")
    add_ready("gold", access_level="premium")
    for _ in range(3):
        assert [one.slug for one in videos.list_newest()] == ["gold", "open"]
    assert [one.slug for one in videos.list_newest(1)] == ["gold"]
    assert [one.slug for one in videos.list_newest_of(Access.PUBLIC, 3)] == ["open"]
    assert (len(loaded), videos.count_videos()) == (2, 2)


def test_count_made_in_a_snapshot_from_before_the_change_is_not_kept(
    on_both: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a worker whose request began to read before another greenlet learned of the new version."""
    monkeypatch.setattr(newest, "_CHECK_SECONDS", 600.0)
    add_ready("harbour")

    def look() -> None:
        with on_both.app_context():
            add_ready("pier")
            newest.mark_changed()
            videos.library_version()

    with db.snapshot():
        with db.read() as session:
            session.scalar(select(Video.id))
        other = threading.Thread(target=look)
        other.start()
        other.join()
        videos.count_videos()
    assert videos.count_videos() == 2


def test_newest_while_database_is_down_are_the_last_ones(at_work: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    add_ready("harbour")
    assert [one.slug for one in videos.list_newest()] == ["harbour"]
    version = videos.library_version()

    def down() -> None:
        raise DatabaseDownError

    with monkeypatch.context() as broken:
        broken.setattr(db, "read", down)
        assert [one.slug for one in videos.list_newest()] == ["harbour"]
        assert videos.library_version() == version
        assert videos.list_months() == ()  # not loaded before
    assert len(videos.list_months()) == 1


def test_sitemap_has_the_videos_again_once_the_database_answers(
    at_work: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_ready("harbour")
    videos.library_version()

    def make_sitemap() -> bytes:
        file = find_sitemap_file([videos.VideoAddresses()], "https://church.example")
        return b"".join(file.unpack()) if file is not None else b""

    def down() -> None:
        raise DatabaseDownError

    with monkeypatch.context() as broken:
        broken.setattr(db, "read", down)
        assert b"/video/harbour" not in make_sitemap()
    assert b"/video/harbour" in make_sitemap()


def test_months_are_those_with_videos_newest_first(on_both: Flask) -> None:
    moments = [(2025, 3, 31, 23), (2025, 3, 1, 0), (2024, 12, 31, 23), (2025, 1, 1, 0)]
    add_rows([{"slug": f"v{n}", "published_at": datetime(*moment, tzinfo=UTC)} for n, moment in enumerate(moments)])
    add_rows([{"slug": "hidden", "state": "failed", "published_at": datetime(2023, 1, 1, tzinfo=UTC)}])
    assert [(one.year, one.month) for one in videos.list_months()] == [(2025, 3), (2025, 1), (2024, 12)]
    assert videos.find_last_published() == datetime(2025, 3, 31, 23, tzinfo=UTC).timestamp()
