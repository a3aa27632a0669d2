"""Set the chapters of a video, which admins write as lines such as ``1:30 The nave``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise

from church.errors import FieldErrors
from church.extensions import db
from church.lib.text import strip_invisible
from church.models.base import plain
from church.services import audit
from church.services.audit import Actor
from church.services.videos import queries
from church.services.videos.presenters import Chapter

MAX_CHAPTERS = 100
_MAX_TITLE_LENGTH = 120
_LINE = re.compile(r"(?:(\d{1,2}):)?(\d{1,2}):([0-5]\d)(?:\.(\d{1,3}))?\s+(\S.*)", re.ASCII)


def set_chapters(ref: str, text: str, actor: Actor) -> tuple[Chapter, ...]:
    """Replace the chapters of a video with those in ``text``; an empty text removes them.

    Raises UnknownVideoError, FieldErrors for ``chapters``.
    """
    chapters = parse_chapters(text)
    with db.write() as session:
        video = queries.load_by_ref(session, ref, lock=True)
        late = video.duration_ms is not None and any(chapter.at_ms >= video.duration_ms for chapter in chapters)
        if late:
            raise FieldErrors({"chapters": "A chapter starts after the end of the video."})
        video.chapters = [{"at_ms": chapter.at_ms, "title": chapter.title} for chapter in chapters]
        audit.record_by(session, "video.chaptered", actor, video=video.slug, chapters=len(chapters))
    return chapters


def parse_chapters(text: str) -> tuple[Chapter, ...]:
    """Parse lines of a time and a title, in order of time. Raises FieldErrors for ``chapters``."""
    lines = (" ".join(strip_invisible(line).split()) for line in plain(text).splitlines())
    chapters = [_parse_line(line) for line in lines if line]
    if len(chapters) > MAX_CHAPTERS:
        raise FieldErrors({"chapters": f"Use at most {MAX_CHAPTERS} chapters."})
    if any(later.at_ms <= earlier.at_ms for earlier, later in pairwise(chapters)):
        raise FieldErrors({"chapters": "Each chapter must start after the one before it."})
    return tuple(chapters)


def format_chapters(chapters: Iterable[Chapter]) -> str:
    """Format ``chapters`` as the lines that ``parse_chapters`` reads."""
    return "\n".join(f"{_format_time(chapter.at_ms)} {chapter.title}" for chapter in chapters)


def _parse_line(line: str) -> Chapter:
    match = _LINE.fullmatch(line)
    if match is None or len(match[5]) > _MAX_TITLE_LENGTH or (match[1] is not None and int(match[2]) > 59):
        message = f"“{line[:40]}” is not a chapter. Write a time and a title, such as 1:30 The nave."
        raise FieldErrors({"chapters": message})
    seconds = int(match[1] or 0) * 3600 + int(match[2]) * 60 + int(match[3])
    return Chapter(seconds * 1000 + int((match[4] or "0").ljust(3, "0")), match[5])


def _format_time(ms: int) -> str:
    minutes, seconds = divmod(ms // 1000, 60)
    hours, minutes = divmod(minutes, 60)
    fraction = f".{ms % 1000:03}" if ms % 1000 else ""
    return (f"{hours}:{minutes:02}" if hours else str(minutes)) + f":{seconds:02}{fraction}"
