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
