"""Upload renditions to an S3 bucket and delete them there."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from flask import Flask

from church.config import current_settings
from church.errors import UnavailableError
from church.services import videos
from church.services.audit import Actor
from church.services.videos import library
from church.services.videos.storage import bucket as storage_bucket
from tests.support.accounts_fixture import do_jobs
from tests.support.helpers import with_settings
from tests.support.s3_fixture import Bucket
from tests.support.video_fixture import FFMPEG, add_ready, make_clip

pytestmark = pytest.mark.services

CLI = Actor(via="cli")


@pytest.mark.needs(*FFMPEG)
def test_bucket_gets_imported_videos_and_loses_deleted_ones(
    at_work: Flask, bucket: Bucket, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_work.config["CHURCH"] = bucket.settings(current_settings())
    file = make_clip(current_settings().instance / "plain.mp4", seconds=1)
    monkeypatch.setenv("PATH", str(tmp_path))
    ref = videos.add_file(file, videos.VideoDraft("The Harbour", "premium"), CLI)
    do_jobs("videos.import")
    [before] = library.load_playable("the-harbour").renditions.values()
    assert (before.in_bucket, before.path.exists()) == (False, True)
    do_jobs("videos.push")
    [after] = library.load_playable("the-harbour").renditions.values()
    assert after.in_bucket
    assert bucket.get(current_settings(), f"{ref}/{after.file}") == file.read_bytes()
    assert videos.push_missing() == 0
    videos.delete_video(ref, CLI)
    do_jobs("videos.remove")
    assert bucket.get(current_settings(), f"{ref}/{after.file}") is None


def test_push_uploads_videos_imported_before_the_bucket_was_configured(at_work: Flask, bucket: Bucket) -> None:
    video = add_ready(data=b"abc")
    add_ready("queued", state="queued")
    storage_bucket.run_push_job({"ref": video.ref})
    assert not library.load_playable("harbour").renditions["720p"].in_bucket
    at_work.config["CHURCH"] = bucket.settings(current_settings())
    assert videos.push_missing() == 1
    assert bucket.get(current_settings(), f"{video.ref}/720p.mp4") == b"abc"


def test_push_video_deleted_meanwhile_leaves_nothing_in_the_bucket(
    at_work: Flask, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = add_ready()
    at_work.config["CHURCH"] = bucket.settings(current_settings())
    upload = storage_bucket.upload_file

    def upload_then_delete(key: str, file: Path) -> None:
        upload(key, file)
        videos.delete_video(video.ref, CLI)
        do_jobs("videos.remove")

    monkeypatch.setattr(storage_bucket, "upload_file", upload_then_delete)
    storage_bucket.run_push_job({"ref": video.ref})
    assert bucket.get(current_settings(), f"{video.ref}/720p.mp4") is None


def test_remove_refused_by_the_bucket_raises(at_work: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    class RefusingClient:
        def delete_objects(self, **_: object) -> dict[str, object]:
            return {"Errors": [{"Key": "a", "Code": "AccessDenied"}]}

    monkeypatch.setitem(at_work.extensions, "video_bucket", RefusingClient())
    with pytest.raises(UnavailableError, match="AccessDenied"):
        storage_bucket.delete_keys(["a"])


def test_push_bucket_down_keeps_the_video_here_and_the_job_queued(at_work: Flask, bucket: Bucket) -> None:
    video = add_ready()
    with socket.socket() as taken:  # a reserved port on which no server listens
        taken.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{taken.getsockname()[1]}"
        at_work.config["CHURCH"] = with_settings(bucket.settings(current_settings()), video_s3_endpoint=endpoint)
        with pytest.raises(UnavailableError):
            storage_bucket.run_push_job({"ref": video.ref})
    assert not library.load_playable("harbour").renditions["720p"].in_bucket
