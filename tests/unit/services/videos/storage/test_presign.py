"""Presigned addresses of the bucket, compared with those of the AWS SDK."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
from botocore import auth
from botocore.config import Config
from pydantic import SecretStr

from church.config import Settings
from church.services.videos.storage.bucket import bucket_origin, presign
from tests.support.helpers import with_settings

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
