"""The bucket that sends the videos where ``CHURCH_VIDEO_OFFLOAD`` is ``s3``: any service that speaks S3.

boto3 is the extra ``s3``, loaded by whoever first needs it: few sites do, and it is large.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from flask import current_app

from church import telemetry
from church.config import Settings, current_settings
from church.errors import UnavailableError
from church.services.videos.errors import ImportFailedError

_PIECE = 1000  # keys that one deletion takes, says S3
_EXTENSION = "video_bucket"


def upload(key: str, file: Path) -> None:
    """Put ``file`` into the bucket at ``key``; in pieces, each bounded in time. Raises UnavailableError."""
    with _called():
        _client().upload_file(str(file), _bucket(), key, ExtraArgs={"ContentType": "video/mp4"})


def remove(keys: Sequence[str]) -> None:
    """Take ``keys`` out of the bucket; those that are not there are no matter. Raises UnavailableError."""
    for start in range(0, len(keys), _PIECE):
        wanted = {"Objects": [{"Key": key} for key in keys[start : start + _PIECE]], "Quiet": True}
        with _called():
            refused = _client().delete_objects(Bucket=_bucket(), Delete=wanted).get("Errors")
        if refused:  # said in an answer that is a success
            raise UnavailableError(f"The video bucket did not delete {len(refused)} files: {refused[0].get('Code')}.")


def installed() -> bool:
    """Whether boto3 is there."""
    try:
        import_module("boto3")
    except ImportError:
        return False
    return True


@contextmanager
def _called() -> Iterator[None]:
    """A call of the bucket, timed; what its client raises is the site's own error, and worth another try."""
    try:
        with telemetry.outbound("s3"):
            yield
    except ImportFailedError:
        raise
    except Exception as error:
        raise UnavailableError(f"The video bucket refused the request: {type(error).__name__}.") from error


def _bucket() -> str:
    return current_settings().video_s3_bucket or ""


def _client() -> Any:
    """One client a process: it is made of files and takes a while, and threads may share it."""
    found = current_app.extensions.get(_EXTENSION)
    if found is None:
        found = current_app.extensions[_EXTENSION] = _made(current_settings())
    return found


def _made(site: Settings) -> Any:
    try:
        boto3, config = import_module("boto3"), import_module("botocore.config")
    except ImportError:
        raise ImportFailedError("boto3 is not installed: pip install 'church[s3]'.") from None
    return boto3.client(
        "s3",
        endpoint_url=site.video_s3_endpoint,
        region_name=site.video_s3_region,
        aws_access_key_id=site.video_s3_key,
        aws_secret_access_key=site.video_s3_secret.get_secret_value() if site.video_s3_secret else None,
        config=config.Config(
            signature_version="s3v4",
            connect_timeout=10,
            read_timeout=60,
            retries={"mode": "standard", "total_max_attempts": 4},
        ),
    )
