"""The bucket: presigned addresses, compared with those of the AWS SDK, and its jobs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
from botocore import auth
from botocore.config import Config
from flask import Flask
from pydantic import SecretStr
from sqlalchemy import select

from church.config import Settings, current_settings
from church.errors import UnavailableError
from church.extensions import db
from church.models import Rendition
from church.services.videos.storage import bucket, local
from church.services.videos.storage.bucket import bucket_origin, presign
from tests.support.helpers import with_settings
from tests.support.video_fixture import add_ready

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
KEY = "0123456789abcdef/720p-1a2b3c4d.mp4"


def with_bucket(settings: Settings, **changes: Any) -> Settings:
    facts = {"video_s3_bucket": "films", "video_s3_key": "AKIA/EXAMPLE+", "video_s3_secret": SecretStr("s3cr3t/+=")}
    return with_settings(settings, **{**facts, **changes})


def by_sdk(settings: Settings, key: str, method: str, style: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(auth, "get_current_datetime", lambda **_: NOW.replace(tzinfo=None))
    assert settings.video_s3_secret is not None
    client = boto3.client(
        "s3",
        region_name=settings.video_s3_region,
        endpoint_url=settings.video_s3_endpoint,
        aws_access_key_id=settings.video_s3_key,
        aws_secret_access_key=settings.video_s3_secret.get_secret_value(),
        config=Config(signature_version="s3v4", s3={"addressing_style": style}),
    )
    params = {"Bucket": settings.video_s3_bucket, "Key": key}
    return str(client.generate_presigned_url(f"{method.lower()}_object", Params=params, ExpiresIn=600))


@pytest.mark.parametrize(("key", "method"), [(KEY, "GET"), (KEY, "HEAD"), ("a b/ä+%&=~.mp4", "GET")])
@pytest.mark.parametrize(
    ("changes", "style"),
    [
        ({"video_s3_region": "eu-central-1"}, "virtual"),
        ({"video_s3_endpoint": "https://s3.church.example:9000"}, "path"),
    ],
)
def test_presigned_address_equals_that_of_the_sdk(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, key: str, method: str, changes: dict[str, str], style: str
) -> None:
    site = with_bucket(settings, **changes)
    ours = urlsplit(presign(site, key, 600, NOW, method=method))
    theirs = urlsplit(by_sdk(site, key, method, style, monkeypatch))
    assert (ours.scheme, ours.netloc, ours.path) == (theirs.scheme, theirs.netloc, theirs.path)
    assert parse_qs(ours.query) == parse_qs(theirs.query)
    assert f"{ours.scheme}://{ours.netloc}" == bucket_origin(site)


@pytest.mark.parametrize(("seconds", "expires"), [(-5, "1"), (600, "600"), (10_000_000, "604800")])
def test_presigned_address_expires_within_the_limits_of_s3(settings: Settings, seconds: int, expires: str) -> None:
    assert parse_qs(urlsplit(presign(with_bucket(settings), KEY, seconds)).query)["X-Amz-Expires"] == [expires]


def test_origin_is_the_endpoint_or_the_buckets_own_host(settings: Settings) -> None:
    assert bucket_origin(with_bucket(settings, video_s3_region="eu-west-1")) == (
        "https://films.s3.eu-west-1.amazonaws.com"
    )
    assert bucket_origin(with_bucket(settings, video_s3_endpoint="http://127.0.0.1:9000")) == "http://127.0.0.1:9000"


def test_remove_job_deletes_every_file_of_a_video(at_work: Flask) -> None:
    gone, kept = add_ready(), add_ready("pier")
    site = current_settings()
    local.source_path(site, gone.ref).touch()
    (local.incoming_folder(site) / f"{gone.ref}.1.work").mkdir()
    bucket.run_remove_job({"ref": gone.ref})
    bucket.run_remove_job({"ref": gone.ref})  # the job runs again
    assert {path.name for path in site.video_dir.iterdir()} == {"incoming", kept.ref}
    assert list(local.incoming_folder(site).iterdir()) == []


def test_push_without_a_bucket_does_nothing(at_work: Flask) -> None:
    video = add_ready()
    bucket.run_push_job({"ref": video.ref})
    with db.read() as session:
        assert session.scalars(select(Rendition.in_bucket)).all() == [False]


class Client:
    """A client of a bucket that records the uploaded and deleted keys."""

    def __init__(self, *errors: dict[str, str]) -> None:
        self.keys: list[str] = []
        self.batches: list[int] = []
        self._errors = list(errors)

    def upload_file(self, _file: str, _bucket: str, key: str, **_options: Any) -> None:
        self.keys.append(key)

    def delete_objects(self, Bucket: str, Delete: dict[str, Any]) -> dict[str, Any]:  # noqa: N803 - of the SDK
        self.batches.append(len(Delete["Objects"]))
        return {"Errors": self._errors}


@pytest.fixture
def with_client(at_work: Flask) -> Callable[[Any], None]:
    """Return a function that sets the client of the bucket."""

    def set_client(client: Any) -> None:
        at_work.config["CHURCH"] = with_bucket(current_settings(), video_offload="s3")
        at_work.extensions[bucket._CLIENT] = client

    return set_client


def test_push_missing_uploads_each_rendition_once(with_client: Callable[[Any], None]) -> None:
    client = Client()
    with_client(client)
    video = add_ready()
    add_ready("failed", state="failed")
    assert (bucket.push_missing(), bucket.push_missing()) == (1, 0)
    assert client.keys == [f"{video.ref}/720p.mp4"]


def test_delete_keys_sends_at_most_a_thousand_at_once(with_client: Callable[[Any], None]) -> None:
    client = Client()
    with_client(client)
    bucket.delete_keys([f"{number}.mp4" for number in range(2001)])
    assert client.batches == [1000, 1000, 1]


def test_delete_keys_that_the_bucket_reports_as_errors_raises(with_client: Callable[[Any], None]) -> None:
    with_client(Client({"Code": "AccessDenied"}))
    with pytest.raises(UnavailableError, match="AccessDenied"):
        bucket.delete_keys(["a.mp4"])


def test_bucket_that_does_not_answer_is_unavailable(with_client: Callable[[Any], None], tmp_path: Path) -> None:
    with_client(None)
    with pytest.raises(UnavailableError, match="bucket refused the request"):
        bucket.upload_file("a.mp4", tmp_path / "missing.mp4")
