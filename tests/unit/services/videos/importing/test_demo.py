"""The demo film of a new site."""

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

DEMO_JOB = "videos.demo"


def queued() -> list[str]:
    with db.read() as session:
        return list(session.scalars(select(Job.kind).where(Job.kind == DEMO_JOB)))


def test_new_site_queues_its_demo_film_once(app: Flask) -> None:
    with app.app_context():
        assert videos.queue_demo()
        assert videos.queue_demo()  # as another host that starts at the same time
        assert queued() == [DEMO_JOB]


def test_site_with_accounts_gets_no_demo_film(app: Flask) -> None:
    add_user(app)
    with app.app_context():
        assert not videos.queue_demo()
        assert queued() == []


def test_demo_without_ffmpeg_adds_the_film_that_ships(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ffmpeg, "find_missing_tools", lambda: ("ffmpeg", "ffprobe"))
    shipped = app.config["CHURCH"].content / "videos" / "a-short-film.mp4"
    assert shipped.stat().st_size < 100_000
    with app.app_context():
        add_video.add_demo({})
        add_video.add_demo({})  # the job runs again, because its lease expired
        (film,) = videos.list_for_admin()
        assert (film.slug, film.access, film.source_bytes) == ("a-short-film", "public", shipped.stat().st_size)
        assert ([c.language for c in film.captions], len(film.chapters)) == (["en"], 3)


def test_demo_with_ffmpeg_generates_a_film(app: Flask) -> None:
    require("ffmpeg", shutil.which("ffmpeg"), "apt-get install ffmpeg")
    with app.app_context():
        add_video.add_demo({})
        with db.read() as session:
            (film,) = session.scalars(select(Video))
        assert film.source_name == "film.mp4"
        assert (current_settings().video_dir / "incoming" / film.ref).stat().st_size == film.source_bytes > 100_000
