"""Chapters: lines of a time and a title."""

from __future__ import annotations

import pytest
from flask import Flask

from church.errors import FieldErrors
from church.services import videos
from church.services.audit import Actor
from church.services.videos.presenters import Chapter
from tests.support.video_fixture import add_ready

CLI = Actor(via="cli")


def test_chapters_round_trip_as_lines() -> None:
    text = "0:00 Begin\n\n 1:30   The  nave \n1:02:03.5 End\n"
    found = videos.parse_chapters(text)
    assert found == (Chapter(0, "Begin"), Chapter(90_000, "The nave"), Chapter(3_723_500, "End"))
    assert videos.parse_chapters(videos.format_chapters(found)) == found


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\n\ufeff", "\u2028", "\u200b\r\n\u200e"])
def test_chapters_of_other_editors_are_read(end: str) -> None:
    assert videos.parse_chapters(f"\ufeff0:00 Opening{end}0:04 The nave{end}") == (
        Chapter(0, "Opening"),
        Chapter(4000, "The nave"),
    )


@pytest.mark.parametrize("text", ["The nave", "1:60 Nave", "1:90:00 Nave", "0:10 B\n0:10 A", "1:00", "0:01 A\n" * 101])
def test_chapters_invalid_are_rejected(text: str) -> None:
    with pytest.raises(FieldErrors):
        videos.parse_chapters(text)


def test_chapters_after_the_end_are_rejected(at_work: Flask) -> None:
    video = add_ready(duration_ms=60_000)
    with pytest.raises(FieldErrors):
        videos.set_chapters(video.ref, "1:00 Late", CLI)
    assert videos.set_chapters(video.ref, "", CLI) == ()
