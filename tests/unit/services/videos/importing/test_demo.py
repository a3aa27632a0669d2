"""The film that a new site begins with."""

from __future__ import annotations

import shutil

import pytest
from flask import Flask
from sqlalchemy import select

from church.config import current_settings
from church.extensions import db
from church.models import Job, Video
from church.services import videos
from church.services.videos.importing import add_video, ffmpeg
from tests.support.people import add_user
from tests.support.services_fixture import require

HEAVY = "videos.demo"


def queued() -> list[str]:
    with db.read() as session:
        return list(session.scalars(select(Job.kind).where(Job.kind == HEAVY)))


def test_new_site_has_its_film_brought_in_once(app: Flask) -> None:
    with app.app_context():
        assert videos.queue_demo()
        assert videos.queue_demo()  # another host, at the same time
        assert queued() == [HEAVY]


def test_site_with_accounts_is_not_given_a_film(app: Flask) -> None:
    add_user(app)
    with app.app_context():
        assert not videos.queue_demo()
        assert queued() == []


def test_film_that_ships_is_taken_without_ffmpeg(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ffmpeg, "tools_missing", lambda: ("ffmpeg", "ffprobe"))
    shipped = app.config["CHURCH"].content / "videos" / "a-short-film.mp4"
    assert shipped.stat().st_size < 100_000
    with app.app_context():
        add_video.bring_demo({})
        add_video.bring_demo({})  # its lease ended before it did
        (film,) = videos.admin_listing()
        assert (film.slug, film.access, film.source_bytes) == ("a-short-film", "public", shipped.stat().st_size)
        assert ([c.language for c in film.captions], len(film.chapters)) == (["en"], 3)


def test_film_is_made_where_ffmpeg_is(app: Flask) -> None:
    require("ffmpeg", shutil.which("ffmpeg"), "apt-get install ffmpeg")
    with app.app_context():
        add_video.bring_demo({})
        with db.read() as session:
            (film,) = session.scalars(select(Video))
        assert film.source_name == "film.mp4"
        assert (current_settings().video_dir / "incoming" / film.ref).stat().st_size == film.source_bytes > 100_000
