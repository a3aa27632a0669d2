"""The signs of a film that was cut short: what ffmpeg complains about, and a picture track that breaks off."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from church.services.videos.importing.detect_cut_short import (
    CutShortError,
    SourceFile,
    check_encoded,
    check_source,
    complains_of_cut,
)
from church.services.videos.importing.ffmpeg import run_tool
from church.services.videos.importing.packets import TrackExtent


@pytest.mark.parametrize(
    ("error_output", "cut"),
    [
        ("[mov,mp4 @ 0x5] moov atom not found\nfilm.mp4: Invalid data found", True),
        ("[mov,mp4 @ 0x5] stream 0, offset 0x30: partial file", True),
        ("[matroska,webm @ 0x5] File ended prematurely at pos. 4096", True),
        ("film.mp4: Invalid data found when processing input", False),
        ("", False),
    ],
)
def test_complaint_of_unfinished_file_is_recognized(error_output: str, cut: bool) -> None:
    assert complains_of_cut(error_output) is cut


def test_failed_run_with_such_a_complaint_raises_cut_short() -> None:
    with pytest.raises(CutShortError):
        run_tool(["/bin/sh", "-c", "echo moov atom not found >&2; exit 1"], 20)


MATROSKA, MP4, AVI, FLV, TS = "matroska,webm", "mov,mp4,m4a,3gp,3g2,mj2", "avi", "flv", "mpegts"
PICTURE, SOUND, SUBTITLE = 0, 1, 2


def extent(first: float, end: float) -> TrackExtent:
    return TrackExtent(packets=10, first=first, last=end - 0.1, end=end)


def check(
    format_name: str,
    length: float | None,
    *extents: TrackExtent,
    missing: float | None = None,
    stated: dict[str, object] | None = None,
    stated_sound: dict[str, object] | None = None,
) -> None:
    """Check a file with the ``extents`` of picture, sound and subtitles; ``stated`` is ffprobe's word on a track."""
    source = SourceFile(format_name, length, missing, dict(enumerate(extents)))
    sound = {"index": SOUND, **(stated_sound or {})} if len(extents) > SOUND else None
    check_source(source, {"index": PICTURE, **(stated or {})}, sound)


def tag(seconds: str, name: str = "DURATION") -> dict[str, object]:
    return {"tags": {name: f"00:00:{seconds}.000000000"}}


WHOLE, HALF = extent(0, 6), extent(0, 3)
LATE = extent(40, 42)


@pytest.mark.parametrize(
    "complete",
    [
        lambda: check(MATROSKA, 42, WHOLE, WHOLE, LATE, stated=tag("06")),
        lambda: check(MATROSKA, 42, WHOLE, WHOLE, LATE, missing=0),  # no tag, but all bytes are there
        lambda: check(MATROSKA, 42, WHOLE, WHOLE, LATE),  # as after a live recording: the last track counts
        lambda: check(MATROSKA, 42, WHOLE, WHOLE, missing=0),  # a length that no track has
        lambda: check(MATROSKA, 21, extent(15, 21), extent(15, 21), stated=tag("21")),  # ffmpeg states the end
        lambda: check(MATROSKA, 6, extent(15, 21), extent(15, 21), stated=tag("06", "DURATION-eng")),  # mkvmerge
        lambda: check(MATROSKA, 21, extent(15, 21), extent(15, 21)),
        lambda: check(MATROSKA, 6, WHOLE, WHOLE, stated=tag("42")),  # copied from a longer film
        lambda: check(MATROSKA, 6, extent(3, 6), WHOLE, stated=tag("06")),  # the picture begins late
        lambda: check(MATROSKA, 6, WHOLE, stated={"tags": {"DURATION": "long"}}),
        lambda: check(MATROSKA, None, HALF, HALF),  # a recording from a browser states nothing
        lambda: check(MP4, 16, WHOLE, WHOLE, extent(0, 16), stated={"duration": "6.0"}),
        lambda: check(MP4, 16, WHOLE, extent(0, 16), stated={"duration": "6.0"}),
        lambda: check(MP4, 16, WHOLE, HALF, stated={"duration": "6.0"}, stated_sound={"duration": "16"}, missing=0),
        lambda: check(MP4, 6, extent(0, 5.5), stated={"duration": "6.0"}, missing=0.05),  # a little may be missing
        lambda: check(FLV, 6, extent(900, 906), extent(900, 906)),
        lambda: check(AVI, 6, HALF, missing=0.05),
        lambda: check(TS, 6, HALF),
    ],
)  # fmt: skip
def test_complete_picture_is_accepted(complete: Callable[[], None]) -> None:
    complete()


@pytest.mark.parametrize(
    ("cut", "message"),
    [
        (lambda: check(MATROSKA, 42, HALF, HALF, LATE, stated=tag("06")), "of its 6 seconds only 3"),
        (lambda: check(MATROSKA, 42, HALF, HALF, LATE, missing=0.5), "50% of its bytes are missing"),
        (lambda: check(MATROSKA, 42, HALF, HALF), "of its 42 seconds only 3"),
        (lambda: check(MATROSKA, 21, extent(15, 18), extent(15, 18), stated=tag("21")), "of its 6 seconds only 3"),
        (lambda: check(MATROSKA, 21, extent(15, 18), extent(15, 18)), "of its 6 seconds only 3"),
        (lambda: check(MATROSKA, 9, extent(3, 5), extent(0, 5), stated=tag("09")), "of its 6 seconds only 2"),
        (lambda: check(MP4, 16, HALF, HALF, extent(0, 16), stated={"duration": "6.0"}), "of its 6 seconds only 3"),
        (lambda: check(MP4, 6, stated={"duration": "6.0"}), "of its 6 seconds only 0"),
        (
            lambda: check(MP4, 6, WHOLE, HALF, stated={"duration": "6"}, stated_sound={"duration": "6"}, missing=0.1),
            "of its 6 seconds only 3",
        ),
        (lambda: check(FLV, 6, HALF, HALF), "of its 6 seconds only 3"),
        (lambda: check(AVI, 3, HALF, HALF, missing=0.5), "50% of its bytes are missing"),
    ],
)  # fmt: skip
def test_picture_that_breaks_off_raises(cut: Callable[[], None], message: str) -> None:
    with pytest.raises(CutShortError, match=message):
        cut()


def test_encoded_picture_far_shorter_than_its_source_raises() -> None:
    check_encoded(None, 0)
    check_encoded(TrackExtent(packets=3), 0)
    check_encoded(TrackExtent(packets=2, first=0, last=30, end=60), 30.1)  # its last frame stays for 30 seconds
    with pytest.raises(CutShortError, match="of its 30 seconds only 20"):
        check_encoded(TrackExtent(packets=2, first=0, last=30, end=60), 20)
