"""Videos with their renditions, captions and files, and how far members have watched them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from church.config import Settings
from church.lib.files import make_private
from church.services.videos.storage import local
from ops.seed.load import Row
from ops.seed.people import make_ref
from ops.seed.size import Size, Span, dice, scatter
from ops.seed.words import sentences, title

FILM = Path(__file__).parent.parent.parent / "content" / "videos" / "a-short-film.mp4"
_FILE = "720p.mp4"
_LEVELS = ("public", "members", "premium")
_WATCHED = 2  # members for each position
_LINKS = 20_000  # names of one file; some file systems allow 65,000


def list_videos(size: Size, span: Span) -> Iterator[Row]:
    chosen = dice("videos")
    for number in range(1, size.videos + 1):
        name = title(chosen)
        failed = number % 100 == 0
        created = span.at(number / (size.videos + 1))
        yield {
            "id": number,
            "ref": make_ref(number, "videos"),
            "slug": f"{name.lower().replace(' ', '-')}-{number}",
            "title": name,
            "description": f"{sentences(chosen, 40)}\n\n{sentences(chosen, 30)}",
            "access_level": _LEVELS[number % 3],
            "state": "failed" if failed else "ready",
            "reason": "The file has no picture." if failed else None,
            "progress": 0 if failed else 100,
            "source_name": f"film-{number}.mp4",
            "source_bytes": FILM.stat().st_size,
            "duration_ms": None if failed else 2000,
            "width": None if failed else 1280,
            "height": None if failed else 720,
            "plain": not failed,
            "chapters": [{"at_ms": 0, "title": "Begin"}, {"at_ms": 1000, "title": "End"}] if number % 5 == 0 else [],
            "created_at": created,
            "published_at": None if failed else created,
            "uploaded_by": 1,
        }


def list_renditions(size: Size) -> Iterator[Row]:
    etag = local.hash_file(FILM)
    facts = {"bytes": FILM.stat().st_size, "width": 1280, "height": 720, "bitrate": 360_000, "etag": etag}
    for number in range(1, size.videos + 1):
        if number % 100:
            yield {"video_id": number, "quality": "720p", "file": _FILE, **facts}


def list_captions(size: Size) -> Iterator[Row]:
    for number in range(5, size.videos + 1, 5):
        if number % 100:
            yield {"video_id": number, "language": "en", "label": "English", "file": "en.vtt", "is_default": True}


def list_positions(size: Size, span: Span) -> Iterator[Row]:
    """One member in two has watched something; every tenth of them ten videos."""
    chosen = dice("positions")
    for number in range(1, size.members // _WATCHED + 1):
        user = number * _WATCHED
        first = scatter(number, 40) % size.videos
        for step in range(min(10, size.videos) if number % 10 == 0 else 1):
            yield {
                "user_id": user,
                "video_id": (first + step) % size.videos + 1,
                "position_ms": int(chosen.random() * 2000),
                "finished": chosen.random() < 0.6,
                "updated_at": span.now - timedelta(days=900) * chosen.random(),
            }


def write_films(settings: Settings, size: Size) -> None:
    """Give each ready video its folder; all files are names of a few small ones."""
    make_private(settings.video_dir)
    original = FILM
    for number in range(1, size.videos + 1):
        if number % 100 == 0:
            continue
        folder = local.video_folder(settings, make_ref(number, "videos"))
        folder.mkdir(exist_ok=True)
        original = _link(original, folder / _FILE, anew=number % _LINKS == 1)
        if number % 5 == 0:
            (folder / "en.vtt").write_text("WEBVTT\n\n00:00.000 --> 00:01.000\nHello\n", encoding="utf-8")
        local.share_with_nginx(folder, [_FILE])


def _link(original: Path, target: Path, *, anew: bool) -> Path:
    """Make ``target`` another name of ``original``, or a copy where that can't be. Returns the file to name next."""
    if not anew and original != FILM:
        try:
            os.link(original, target)
            return original
        except OSError:
            pass
    shutil.copyfile(FILM, target)
    return target
