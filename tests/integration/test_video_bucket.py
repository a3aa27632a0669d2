"""Renditions on their way to a bucket that speaks S3, and out of it again."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from flask import Flask

from church.config import current_settings
from church.errors import UnavailableError
from church.services import videos
from church.services.audit import Actor
from church.services.videos.storage import bucket as pushing
from church.services.videos.storage import bucket as storage_bucket
from tests.support.accounts_fixture import do_jobs
from tests.support.helpers import with_settings
from tests.support.s3_fixture import Bucket
from tests.support.video_fixture import add_ready, make_clip

pytestmark = pytest.mark.services

CLI = Actor(via="cli")


def test_imported_video_goes_to_the_bucket_and_a_deleted_one_leaves_it(
    at_work: Flask, bucket: Bucket, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_work.config["CHURCH"] = bucket.settings(current_settings())
    file = make_clip(current_settings().instance / "plain.mp4", seconds=1)
    monkeypatch.setenv("PATH", str(tmp_path))
    ref = videos.add(file, videos.Draft("The Harbour", "premium"), CLI)
    do_jobs("videos.import")
    [here] = videos.playable("the-harbour").renditions.values()
    assert (here.in_bucket, here.path.exists()) == (False, True)
    do_jobs("videos.push")
    [there] = videos.playable("the-harbour").renditions.values()
    assert there.in_bucket
    assert bucket.get(current_settings(), f"{ref}/{there.file}") == file.read_bytes()
    assert videos.push() == 0
    videos.delete(ref, CLI)
    do_jobs("videos.remove")
    assert bucket.get(current_settings(), f"{ref}/{there.file}") is None


def test_push_uploads_what_was_imported_before_there_was_a_bucket(at_work: Flask, bucket: Bucket) -> None:
    video = add_ready(data=b"abc")
    add_ready("queued", state="queued")
    pushing.push_job({"ref": video.ref})
    assert not videos.playable("harbour").renditions["720p"].in_bucket
    at_work.config["CHURCH"] = bucket.settings(current_settings())
    assert videos.push() == 1
    assert bucket.get(current_settings(), f"{video.ref}/720p.mp4") == b"abc"


def test_video_deleted_while_it_is_uploaded_leaves_nothing_in_the_bucket(
    at_work: Flask, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = add_ready()
    at_work.config["CHURCH"] = bucket.settings(current_settings())
    upload = storage_bucket.upload

    def overtaken(key: str, file: Path) -> None:
        upload(key, file)
        videos.delete(video.ref, CLI)
        do_jobs("videos.remove")

    monkeypatch.setattr(storage_bucket, "upload", overtaken)
    pushing.push_job({"ref": video.ref})
    assert bucket.get(current_settings(), f"{video.ref}/720p.mp4") is None


def test_bucket_that_keeps_what_is_to_go_is_asked_again(at_work: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    class Keeper:
        def delete_objects(self, **_: object) -> dict[str, object]:
            return {"Errors": [{"Key": "a", "Code": "AccessDenied"}]}

    monkeypatch.setitem(at_work.extensions, "video_bucket", Keeper())
    with pytest.raises(UnavailableError, match="AccessDenied"):
        storage_bucket.remove(["a"])


def test_bucket_that_is_away_keeps_the_video_here_and_the_job_for_later(at_work: Flask, bucket: Bucket) -> None:
    video = add_ready()
    with socket.socket() as taken:  # a port that is nobody else's either, while it is not listened on
        taken.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{taken.getsockname()[1]}"
        at_work.config["CHURCH"] = with_settings(bucket.settings(current_settings()), video_s3_endpoint=endpoint)
        with pytest.raises(UnavailableError):
            pushing.push_job({"ref": video.ref})
    assert not videos.playable("harbour").renditions["720p"].in_bucket
