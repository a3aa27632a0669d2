"""Videos for the tests: a clip made by ffmpeg's own sources, and rows of ready videos that no ffmpeg has seen."""

from __future__ import annotations

import secrets
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from church.config import current_settings
from church.extensions import db
from church.models import Rendition, Video
from church.models.base import utc_now
from church.models.videos import VideoState
from church.services.videos.storage import local
from tests.support.services_fixture import require


def make_clip(target: Path, *options: str, size: str = "128x72", seconds: float = 5) -> Path:
    """A moving picture with a tone, in whatever format the name of ``target`` asks for."""
    ffmpeg = require("ffmpeg", shutil.which("ffmpeg"), "apt-get install ffmpeg")
    sources = [f"testsrc2=s={size}:r=10:d={seconds}", f"sine=d={seconds}"]
    inputs = [word for source in sources for word in ("-f", "lavfi", "-i", source)]
    coding = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac"]
    command = [ffmpeg, "-loglevel", "error", "-y", *inputs, *coding, *options, str(target)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return target


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five seconds of 128 by 72, as a camera would bring them: no MP4."""
    return make_clip(tmp_path_factory.mktemp("clips") / "clip.mkv")


def add_ready(slug: str = "harbour", data: bytes = b"0123456789", **values: Any) -> Video:
    """A ready video with one rendition of ``data``, in an app context; ``values`` are columns. The row is detached."""
    now = utc_now()
    facts: dict[str, Any] = {
        "ref": secrets.token_hex(8), "slug": slug, "title": slug.capitalize(), "description": "",
        "access_level": "premium", "state": VideoState.READY.value, "progress": 100, "source_name": "clip.mkv",
        "source_bytes": len(data), "duration_ms": 60_000, "width": 1280, "height": 720, "created_at": now,
        "published_at": now,
    }  # fmt: skip
    video = Video(**{**facts, **values})
    folder = local.folder_of(current_settings(), video.ref)
    folder.mkdir(parents=True)
    (folder / "720p.mp4").write_bytes(data)
    with db.write() as session:
        session.add(video)
        session.flush()
        session.add(
            Rendition(
                video_id=video.id, quality="720p", file="720p.mp4", bytes=len(data), width=1280, height=720,
                bitrate=1000, etag=local.digest(folder / "720p.mp4"),
            )
        )  # fmt: skip
        session.flush()
        session.refresh(video)
    return video
