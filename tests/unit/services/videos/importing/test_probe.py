"""Facts of a video file from ffprobe, and files that are refused."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from church.services.videos.errors import NotVideoError
from church.services.videos.importing import probe
from church.services.videos.importing.probe import VideoFacts
from tests.support.programs import program
from tests.support.video_fixture import FFMPEG, make_clip, make_growing_film


@pytest.mark.needs(*FFMPEG)
def test_probe_rotated_video_with_wide_pixels_returns_displayed_size(tmp_path: Path) -> None:
    oblong = make_clip(tmp_path / "oblong.mp4", "-vf", "setsar=2/1", seconds=0.5)
    turned = tmp_path / "turned.mp4"
    command = [program("ffmpeg"), "-loglevel", "error", "-i", str(oblong), "-c", "copy", "-metadata:s:v", "rotate=90"]
    subprocess.run([*command, str(turned)], check=True)
    found = probe.probe_file(turned)
    assert (found.width, found.height) == (72, 256)


@pytest.mark.needs(*FFMPEG)
def test_probe_rejects_files_that_are_not_videos(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("the key")
    texts = {
        "page.mp4": "<!doctype html>",
        "list.m3u8": f"#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:1,\nfile://{secret}\n#EXT-X-ENDLIST\n",
        "list.ffconcat": f"ffconcat version 1.0\nfile {secret}\n",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    subprocess.run(["ffmpeg", "-loglevel", "error", "-f", "lavfi", "-i", "sine=d=1", tmp_path / "tone.m4a"], check=True)
    picture = ["-f", "lavfi", "-i", "testsrc2=s=64x64", "-frames:v", "1"]
    subprocess.run(["ffmpeg", "-loglevel", "error", *picture, tmp_path / "picture.png"], check=True)
    both = ["-i", tmp_path / "tone.m4a", "-i", tmp_path / "picture.png", "-map", "0", "-map", "1", "-c", "copy"]
    cover = [*both, "-disposition:v", "attached_pic", tmp_path / "cover.m4a"]
    subprocess.run(["ffmpeg", "-loglevel", "error", *cover], check=True)
    for name in (*texts, "tone.m4a", "cover.m4a", "picture.png", "missing.mp4"):
        with pytest.raises(NotVideoError):
            probe.probe_file(tmp_path / name)


@pytest.mark.needs(*FFMPEG)
def test_probe_rejects_a_first_frame_with_too_many_pixels(tmp_path: Path) -> None:
    with pytest.raises(NotVideoError, match="more than 40 million pixels"):
        probe.probe_file(make_growing_film(tmp_path, "6400x6400", "6400x6400"))


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (VideoFacts(0, 8, 600, 1000), "8 by 600"),
        (VideoFacts(0, 9000, 600, 1000), "9000 by 600"),
        (VideoFacts(0, 8192, 8192, 1000), "8192 by 8192 pixels: 67.1 million. At most 40 million."),
        (VideoFacts(0, 640, 360, 12 * 3600 * 1000 + 1), "longer than 12 hours"),
        (VideoFacts(0, 640, 360, 0), "a picture"),
    ],
)
def test_probe_rejects_extreme_sizes_and_durations(found: VideoFacts, message: str) -> None:
    with pytest.raises(NotVideoError, match=message):
        probe.check_facts(found)


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ({"color_transfer": "bt709"}, (None, "", "")),
        ({}, (None, "", "")),
        ({"color_transfer": "smpte2084"}, ("smpte2084", "bt2020nc", "bt2020")),
        ({"color_transfer": "arib-std-b67", "color_space": "unknown"}, ("arib-std-b67", "bt2020nc", "bt2020")),
        ({"color_transfer": "smpte2084", "color_primaries": "smpte432"}, ("smpte2084", "bt2020nc", "smpte432")),
        ({"color_transfer": "smpte2084", "color_space": "ictcp"}, ("smpte2084", "ictcp", "bt2020")),
        ({"color_transfer": "smpte2084", "color_space": "reserved"}, ("smpte2084", "bt2020nc", "bt2020")),
        ({"color_transfer": "smpte2084", "pix_fmt": "gbrp10le"}, ("smpte2084", "gbr", "bt2020")),
    ],
)
def test_colours_that_a_high_dynamic_range_film_does_not_name_are_of_bt2020(
    named: dict[str, str], expected: tuple[str | None, str, str]
) -> None:
    assert probe._read_hdr(named) == expected


@pytest.mark.parametrize(
    ("order", "codec", "flagged", "expected"),
    [
        ("progressive", "h264", False, None),
        ("unknown", "h264", True, "frames"),
        ("tt", "h264", True, "frames"),
        ("tb", "ffv1", False, "tff"),
        ("bb", "h264", False, "bff"),
        ("tt", "mpeg2video", False, None),  # a film on a DVD, which shows some of its fields twice
    ],
)
def test_interlacing_is_told_by_frames_else_by_the_track(
    monkeypatch: pytest.MonkeyPatch, order: str, codec: str, flagged: bool, expected: str | None
) -> None:
    monkeypatch.setattr(probe, "_has_interlaced_frames", lambda *_: flagged)
    picture = {"index": 0, "field_order": order, "codec_name": codec}
    assert probe._find_interlacing(Path("film"), picture, 10.0) == expected


def test_film_begins_with_its_first_track_in_use() -> None:
    used = [{"start_time": "15.023"}, {"start_time": "15.0"}]
    assert probe._find_shift({"start_time": "0.0"}, used) == 15
    assert probe._find_shift({"start_time": "15.0"}, used) == 0
    assert probe._find_shift({}, [{}]) == 0


def test_sound_comes_from_the_programme_of_the_picture() -> None:
    report = {"streams": [{"index": n} for n in range(4)], "programs": [{"streams": [{"index": 0}, {"index": 3}]}]}
    assert probe._find_companions(report, {"index": 0}) == {0, 3}
    assert probe._find_companions(report, {"index": 1}) == {0, 1, 2, 3}
