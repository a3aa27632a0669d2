"""Settings of videos, chat and deployments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from church.config import ConfigError, Settings, load_settings


def load(tmp_path: Path, **given: Any) -> Settings:
    return load_settings(_env_file=None, **{"CHURCH_INSTANCE": tmp_path / "instance", **given})


def complaint(tmp_path: Path, **given: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, **given)
    return str(caught.value)


def test_offload_to_s3_without_a_bucket_is_refused(tmp_path: Path) -> None:
    assert "CHURCH_VIDEO_S3_BUCKET: missing" in complaint(tmp_path, CHURCH_VIDEO_OFFLOAD="s3")


def test_environments_are_separated_by_commas(tmp_path: Path) -> None:
    assert load(tmp_path, CHURCH_ENVIRONMENTS="live, test,live").environments == ("live", "test")
    assert "CHURCH_ENVIRONMENTS" in complaint(tmp_path, CHURCH_ENVIRONMENTS="a b")


@pytest.mark.parametrize("names", ["", " , ", "live,two words", "x" * 33, "a/b"])
def test_environments_that_are_not_names_are_refused(tmp_path: Path, names: str) -> None:
    assert "names separated by commas" in complaint(tmp_path, CHURCH_ENVIRONMENTS=names)


def test_empty_settings_of_videos_count_as_unset(tmp_path: Path) -> None:
    settings = load(tmp_path, CHURCH_VIDEO_DIR="", CHURCH_VIDEO_S3_BUCKET="", AWS_SECRET_ACCESS_KEY="")
    assert (settings.video_folder, settings.video_s3_bucket, settings.video_s3_secret) == (None, None, None)


def test_video_folder_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load(tmp_path, CHURCH_VIDEO_DIR="films").video_folder == tmp_path / "films"
