"""Adding a video: checks, its slug, and the demo film of a new site."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import select

from church.config import current_settings
from church.errors import FieldErrors
from church.extensions import db
from church.models import Job, Video
from church.services import videos
from church.services.audit import Actor
from church.services.videos import VideoDraft
from church.services.videos.errors import TooLargeError
from church.services.videos.importing import add_video, ffmpeg
from church.services.videos.storage import local
from tests.support.helpers import with_settings
from tests.support.people import add_user
from tests.support.video_fixture import import_file

CLI = Actor(via="cli")
DRAFT = VideoDraft("The Harbour", "premium")
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


@pytest.mark.needs("ffmpeg")
def test_demo_with_ffmpeg_generates_a_film(app: Flask) -> None:
    with app.app_context():
        add_video.add_demo({})
        with db.read() as session:
            (film,) = session.scalars(select(Video))
        assert film.source_name == "film.mp4"
        assert (current_settings().video_dir / "incoming" / film.ref).stat().st_size == film.source_bytes > 100_000


def test_add_checks_fields_before_it_copies(plain: Path, at_work: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    import_file(plain)
    monkeypatch.setattr(local, "store_stream", None)
    for draft, field in (
        (VideoDraft(" ", "premium"), "title"),
        (VideoDraft("A", "everybody"), "access"),
        (VideoDraft("A", "public", slug="The Harbour"), "slug"),
        (VideoDraft("A", "public", slug="stream"), "slug"),
        (VideoDraft("A", "public", slug="the-harbour"), "slug"),
        (VideoDraft("A", "public", "x" * 5001), "description"),
    ):
        with pytest.raises(FieldErrors) as caught:
            videos.add_file(plain, draft, CLI)
        assert list(caught.value.errors) == [field]
    at_work.config["CHURCH"] = with_settings(current_settings(), video_max_bytes=100)
    with pytest.raises(TooLargeError):
        videos.add_file(plain, DRAFT, CLI)


def test_add_gives_every_title_its_own_slug(at_work: Flask, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    titles = ("The Harbour", "The Harbour!", "Äpfel & Öl", "教会")
    refs = [videos.add_file(tmp_path / "a", VideoDraft(title, "public"), CLI) for title in titles]
    slugs = [videos.load_for_admin(ref).slug for ref in refs]
    assert slugs[:3] == ["the-harbour", "the-harbour-2", "apfel-ol"]
    assert slugs[3].startswith("video-")
    long = [videos.add_file(tmp_path / "a", VideoDraft("A long title " * 8, "public"), CLI) for _ in range(3)]
    assert len({videos.load_for_admin(ref).slug for ref in long}) == 3
