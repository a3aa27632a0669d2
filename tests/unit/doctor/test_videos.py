"""The doctor's check of videos."""

from __future__ import annotations

from collections import namedtuple
from pathlib import Path

import pytest
from flask import Flask

from church.config import current_settings
from church.doctor import videos
from church.doctor.videos import check_videos
from tests.support.helpers import with_settings
from tests.support.video_fixture import add_ready


def test_videos_are_ok_until_one_fails_or_a_tool_is_missing(
    at_work: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(videos, "find_missing_tools", lambda: ())
    add_ready()
    assert check_videos(current_settings())[:2][0] == "ok"
    add_ready("lost", state="failed")
    assert check_videos(current_settings())[:2] == ("warn", "1 ready, 1 failed to import")
    monkeypatch.setattr(videos, "find_missing_tools", lambda: ("ffmpeg", "ffprobe"))
    found = check_videos(current_settings())
    assert (found[0], found[2]) == ("warn", "apt-get install ffmpeg")
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(videos.shutil, "disk_usage", lambda _path: usage(1024**3))
    assert check_videos(current_settings())[1].startswith("1.0 GiB free for ")
    monkeypatch.setattr(videos.videos, "is_boto3_installed", lambda: False)
    assert check_videos(current_settings())[0] == "warn"
    assert check_videos(with_settings(current_settings(), video_offload="s3"))[0] == "fail"
