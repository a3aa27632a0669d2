"""A bucket for tests, from moto's server, which imitates S3."""

from __future__ import annotations

import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from urllib.error import HTTPError

import pytest
from pydantic import SecretStr

from church.config import Settings
from church.services.videos.storage.bucket import presign
from tests.support.helpers import with_settings
from tests.support.services_fixture import free_port, wait_until

BUCKET = "church-videos"


class Bucket:
    """A bucket of the server at ``endpoint``; ``forget`` empties it."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint

    def settings(self, site: Settings) -> Settings:
        """Return the settings ``site`` with videos sent by this bucket."""
        return with_settings(
            site, video_offload="s3", video_s3_bucket=BUCKET, video_s3_endpoint=self.endpoint,
            video_s3_key="testing", video_s3_secret=SecretStr("testing"),
        )  # fmt: skip

    def get(self, site: Settings, key: str) -> bytes | None:
        """Download ``key`` by a presigned address, as a browser does; None if there is no such object."""
        try:
            with urllib.request.urlopen(presign(self.settings(site), key, 60), timeout=60) as answer:
                data: bytes = answer.read()
                return data
        except HTTPError as error:
            error.close()
            if error.code != 404:
                raise
            return None

    def forget(self) -> None:
        """Empty the bucket."""
        self._send("POST", "/moto-api/reset")
        self._send("PUT", f"/{BUCKET}")

    def answers(self) -> bool:
        """Whether the server responds."""
        try:
            self._send("GET", "/moto-api/data.json")
        except OSError:
            return False
        return True

    def _send(self, method: str, path: str) -> None:
        request = urllib.request.Request(self.endpoint + path, method=method)
        urllib.request.urlopen(request, timeout=60).close()


@pytest.fixture(scope="session")
def _moto() -> Iterator[Bucket]:
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    bucket = Bucket(f"http://127.0.0.1:{port}")
    wait_until(bucket.answers, "moto's server answers", 60)
    yield bucket
    process.kill()
    process.wait()


@pytest.fixture
def bucket(_moto: Bucket) -> Bucket:
    """An empty bucket."""
    _moto.forget()
    return _moto
