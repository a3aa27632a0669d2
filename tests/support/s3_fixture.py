"""A bucket for the tests: moto's server, a stand-in for S3 that speaks its protocol."""

from __future__ import annotations

import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from urllib.error import HTTPError

import pytest
from pydantic import SecretStr

from church.config import Settings
from church.services.videos.storage.bucket import presigned
from tests.support.helpers import with_settings
from tests.support.services_fixture import free_port, wait_until

BUCKET = "church-videos"


class Bucket:
    """An empty bucket of a server at ``endpoint``; ``forget`` empties it again."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint

    def settings(self, site: Settings) -> Settings:
        """``site`` with its videos sent by this bucket."""
        return with_settings(
            site, video_offload="s3", video_s3_bucket=BUCKET, video_s3_endpoint=self.endpoint,
            video_s3_key="testing", video_s3_secret=SecretStr("testing"),
        )  # fmt: skip

    def get(self, site: Settings, key: str) -> bytes | None:
        """What is at ``key``, as a browser gets it by a presigned address; None where there is nothing."""
        try:
            with urllib.request.urlopen(presigned(self.settings(site), key, 60), timeout=60) as answer:
                found: bytes = answer.read()
                return found
        except HTTPError as error:
            error.close()
            if error.code != 404:
                raise
            return None

    def forget(self) -> None:
        """Begin again with an empty bucket."""
        self._send("POST", "/moto-api/reset")
        self._send("PUT", f"/{BUCKET}")

    def answers(self) -> bool:
        """Whether the server is there."""
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
