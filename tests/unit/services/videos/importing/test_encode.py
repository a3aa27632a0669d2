"""Renditions and thumbnails: which sizes are made, and their commands."""

from __future__ import annotations

import pytest

from church.services.videos.importing import encode
from church.services.videos.importing.encode import Target, choose_targets
from church.services.videos.importing.probe import VideoFacts


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [
        (3840, 2160, [Target("1080p", 1920, 1080), Target("720p", 1280, 720)]),
        (1080, 1920, [Target("1080p", 1080, 1920), Target("720p", 720, 1280)]),
        (1919, 1079, [Target("720p", 1280, 720)]),
        (1280, 720, [Target("720p", 1280, 720)]),
        (721, 405, [Target("404p", 718, 404)]),
    ],
)
def test_plan_never_enlarges_the_video(width: int, height: int, expected: list[Target]) -> None:
    assert choose_targets(width, height) == expected


def test_plan_of_odd_sides_is_even() -> None:
    (target,) = choose_targets(101, 67)
    assert (target.width % 2, target.height % 2, target.quality) == (0, 0, "66p")


def test_progress_is_a_share_between_0_and_1() -> None:
    shares: list[float] = []
    parse = encode._progress_parser(10.0, shares.append)
    for line in ("out_time_us=-5", "out_time_us=2500000", "frame=7", "out_time_us=N/A", "out_time_us=99000000"):
        parse(line)
    assert shares == [0.0, 0.25, 1.0]


def test_progress_of_unknown_length_is_0() -> None:
    shares: list[float] = []
    encode._progress_parser(0.0, shares.append)("out_time_us=2500000")
    assert shares == [0.0]


def test_thumbnail_cues_fill_rows_and_end_with_the_video() -> None:
    cues = encode._thumbnail_cues(12, 2, 23_400, 160, 90).split("\n\n")
    assert cues[1] == "00:00:00.000 --> 00:00:02.000\nthumbs.jpg#xywh=0,0,160,90"
    assert cues[11].endswith("thumbs.jpg#xywh=0,90,160,90")  # the eleventh begins the second row
    assert cues[12] == "00:00:22.000 --> 00:00:23.400\nthumbs.jpg#xywh=160,90,160,90\n"


def test_thumbnail_cues_of_picture_shorter_than_its_sound_last_from_beginning_to_end() -> None:
    cues = encode._thumbnail_cues(2, 2, 20_000, 160, 90, first=3)  # the picture is there from second 6 to 10
    assert "00:00:00.000 --> 00:00:08.000\nthumbs.jpg#xywh=0,0,160,90" in cues
    assert "00:00:08.000 --> 00:00:20.000\nthumbs.jpg#xywh=160,0,160,90" in cues


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (None, ["fit"]),
        ("frames", ["bwdif", "fit"]),
        ("tff", ["setfield=tff", "bwdif", "fit"]),  # the track says so, its frames do not
        ("bff", ["setfield=bff", "bwdif", "fit"]),
    ],
)
def test_filters_deinterlace_before_scaling_only_what_is_interlaced(
    monkeypatch: pytest.MonkeyPatch, found: str | None, expected: list[str]
) -> None:
    monkeypatch.setattr(encode, "_fitting_filters", lambda _target: ["fit"])
    filters = encode._video_filters(VideoFacts(0, 64, 48, 1000, interlaced=found), Target("48p", 64, 48)).split(",")
    assert [name.removesuffix("=mode=send_frame:parity=auto:deint=interlaced") for name in filters] == expected


def test_film_whose_unused_tracks_begin_earlier_is_shifted() -> None:
    assert encode._shift_options(VideoFacts(0, 64, 48, 1000, shift=15.0)) == ["-itsoffset", "-15.000000"]
    assert encode._shift_options(VideoFacts(0, 64, 48, 1000)) == []
