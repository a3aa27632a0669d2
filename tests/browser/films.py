"""Videos of the demo site: a public one with captions, chapters and two qualities, and a premium one."""

from __future__ import annotations

import shutil
from pathlib import Path

from church import create_app
from church.config import current_settings
from church.extensions import db
from church.models import Rendition, Video
from church.services import videos
from church.services.audit import Actor
from church.services.videos import library
from church.services.videos.storage import local
from tests.support.site_fixture import ROOT, Site
from tests.support.video_fixture import add_ready

CLIP = ROOT / "content" / "videos" / "a-short-film.mp4"
SECONDS = 24
_CONSOLE = Actor(None, "cli")
_CAPTIONS = b"WEBVTT\n\n00:00.000 --> 00:23.000\nA test picture.\n"
_CHAPTERS = "0:00 It begins\n0:08 It goes on\n0:16 It ends"


def add_videos(site: Site) -> None:
    """Add the videos to ``site`` as if ffmpeg had already converted them."""
    with create_app(site.settings).app_context():
        facts = {"data": CLIP.read_bytes(), "duration_ms": SECONDS * 1000, "width": 480, "height": 270}
        film = add_ready("film", access_level="public", title="A film", description="Bars and a *beep*.", **facts)  # type: ignore[arg-type]
        add_ready("closed", access_level="premium", title="Behind the door", description="What is there.", **facts)  # type: ignore[arg-type]
        folder = local.video_folder(current_settings(), film.ref)
        shutil.copy(folder / "720p.mp4", folder / "1080p.mp4")
        with db.write() as session:
            row = session.get_one(Video, film.id)
            size = {"bytes": CLIP.stat().st_size + 1, "width": 1920, "height": 1080, "bitrate": 40_000}
            session.add(Rendition(video_id=row.id, quality="1080p", file="1080p.mp4", etag="better", **size))
        videos.add_caption(film.ref, "en", "English", _CAPTIONS, _CONSOLE)
        videos.set_chapters(film.ref, _CHAPTERS, _CONSOLE)


def video_ref(site: Site, slug: str) -> str:
    """Return the ref of the video with a slug."""
    with create_app(site.settings).app_context():
        return library.load_playable(slug).ref


def larger_clip(target: Path, size: int) -> Path:
    """Write the clip with ``size`` bytes: an MP4 may end in an empty box (ISO/IEC 14496-12, 8.1.2)."""
    clip = CLIP.read_bytes()
    free = size - len(clip)
    target.write_bytes(clip + free.to_bytes(4, "big") + b"free" + bytes(free - 8))
    return target
