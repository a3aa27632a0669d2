"""Chapters: what is where in a video, written by admins as one line each, such as ``1:30 The nave``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise

from church.errors import FieldErrors
from church.extensions import db
from church.models.base import plain
from church.services import audit
from church.services.audit import Actor
from church.services.videos import queries
from church.services.videos.presenters import Chapter

MOST = 100
_LONGEST_TITLE = 120
_LINE = re.compile(r"(?:(\d{1,2}):)?(\d{1,2}):([0-5]\d)(?:\.(\d{1,3}))?\s+(\S.*)", re.ASCII)


def set_chapters(ref: str, text: str, actor: Actor) -> tuple[Chapter, ...]:
    """Give a video the chapters of ``text``, or none. Raises UnknownVideoError, FieldErrors for ``chapters``."""
    chapters = parse_chapters(text)
    with db.write() as session:
        video = queries.by_ref(session, ref, lock=True)
        late = video.duration_ms is not None and any(chapter.at_ms >= video.duration_ms for chapter in chapters)
        if late:
            raise FieldErrors({"chapters": "A chapter starts after the end of the video."})
        video.chapters = [{"at_ms": chapter.at_ms, "title": chapter.title} for chapter in chapters]
        audit.record_by(session, "video.chaptered", actor, video=video.slug, chapters=len(chapters))
    return chapters


def parse_chapters(text: str) -> tuple[Chapter, ...]:
    """The chapters of lines of a time and a title, in the order of time. Raises FieldErrors for ``chapters``."""
    lines = [" ".join(line.split()) for line in plain(text).splitlines() if line.strip()]
    chapters = [_chapter(line) for line in lines]
    if len(chapters) > MOST:
        raise FieldErrors({"chapters": f"Use at most {MOST} chapters."})
    if any(later.at_ms <= earlier.at_ms for earlier, later in pairwise(chapters)):
        raise FieldErrors({"chapters": "Each chapter must start after the one before it."})
    return tuple(chapters)


def chapters_text(chapters: Iterable[Chapter]) -> str:
    """``chapters`` as the lines that ``parse_chapters`` reads."""
    return "\n".join(f"{_clock(chapter.at_ms)} {chapter.title}" for chapter in chapters)


def _chapter(line: str) -> Chapter:
    found = _LINE.fullmatch(line)
    if found is None or len(found[5]) > _LONGEST_TITLE or (found[1] is not None and int(found[2]) > 59):
        said = f"“{line[:40]}” is not a chapter. Write a time and a title, such as 1:30 The nave."
        raise FieldErrors({"chapters": said})
    seconds = int(found[1] or 0) * 3600 + int(found[2]) * 60 + int(found[3])
    return Chapter(seconds * 1000 + int((found[4] or "0").ljust(3, "0")), found[5])


def _clock(ms: int) -> str:
    minutes, seconds = divmod(ms // 1000, 60)
    hours, minutes = divmod(minutes, 60)
    rest = f".{ms % 1000:03}" if ms % 1000 else ""
    return (f"{hours}:{minutes:02}" if hours else str(minutes)) + f":{seconds:02}{rest}"
