"""The S3 bucket that sends the videos if ``CHURCH_VIDEO_OFFLOAD`` is ``s3``: upload, delete, presigned addresses.

Any service with the S3 API works. boto3 is the optional extra ``s3``; it is imported at the first call, because it is
large and few sites need it.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import reduce
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from sqlalchemy import select

from church import jobs, telemetry
from church.config import Settings, current_settings
from church.errors import UnavailableError
from church.extensions import db
from church.lib.app_context import app_state
from church.models import Rendition, Video
from church.models.videos import VideoState
from church.services.videos.errors import ImportFailedError
from church.services.videos.storage import local

PUSH_JOB = "videos.push"
REMOVE_JOB = "videos.remove"
_KEYS_PER_DELETION = 1000  # the most that S3's DeleteObjects takes
_CLIENT = "video_bucket"  # key in app.extensions
_ALGORITHM = "AWS4-HMAC-SHA256"
_MAX_PRESIGNED_SECONDS = 7 * 24 * 3600  # S3's limit

log = logging.getLogger("church.videos")


# -- jobs -----------------------------------------------------------------------------------------------------------


@jobs.handler(PUSH_JOB, heavy=True)
def run_push_job(payload: dict[str, Any]) -> None:
    """Upload the renditions of one video that are not in the bucket yet; until then the site sends them."""
    if current_settings().video_offload == "s3":
        _push(str(payload["ref"]))


def push_missing() -> int:
    """Upload every rendition that is not in the bucket yet; return their number. Raises UnavailableError."""
    with db.read() as session:
        query = select(Video.ref).join(Rendition).where(Video.state == VideoState.READY.value, ~Rendition.in_bucket)
        refs = list(session.scalars(query.distinct()))
    return sum(_push(ref) for ref in refs)


def _push(ref: str) -> int:
    with db.read() as session:
        missing = select(Rendition).join(Video).where(Video.ref == ref, ~Rendition.in_bucket)
        files = {row.id: row.file for row in session.scalars(missing)}
    folder = local.video_folder(current_settings(), ref)
    for rendition_id, file in files.items():
        upload_file(f"{ref}/{file}", folder / file)
        with db.write() as session:
            row = session.get(Rendition, rendition_id, with_for_update=True)
            if row is not None:
                row.in_bucket = True
        if row is None:  # the video was deleted meanwhile, and its removal did not know of this object
            delete_keys([f"{ref}/{file}"])
            continue
        log.info("rendition uploaded", extra={"event": "video.uploaded", "video_ref": ref, "file": file})
    return len(files)


@jobs.handler(REMOVE_JOB)
def run_remove_job(payload: dict[str, Any]) -> None:
    """Delete the files of a video whose rows are gone, from this host and from the bucket."""
    site, ref = current_settings(), str(payload["ref"])
    local.delete_work_folders(site, ref)
    local.source_path(site, ref).unlink(missing_ok=True)
    shutil.rmtree(local.video_folder(site, ref), ignore_errors=True)
    keys = [f"{ref}/{file}" for file in payload.get("bucket", ())]
    if keys and site.video_s3_bucket is not None:
        delete_keys(keys)


# -- calls of the bucket --------------------------------------------------------------------------------------------


def upload_file(key: str, file: Path) -> None:
    """Upload ``file`` as ``key``, in parts with a timeout each. Raises UnavailableError."""
    with _bucket_call("PUT"):
        _client().upload_file(str(file), _bucket_name(), key, ExtraArgs={"ContentType": "video/mp4"})


def delete_keys(keys: Sequence[str]) -> None:
    """Delete ``keys`` from the bucket; missing ones are ignored. Raises UnavailableError."""
    for start in range(0, len(keys), _KEYS_PER_DELETION):
        batch = {"Objects": [{"Key": key} for key in keys[start : start + _KEYS_PER_DELETION]], "Quiet": True}
        with _bucket_call("POST"):
            errors = _client().delete_objects(Bucket=_bucket_name(), Delete=batch).get("Errors")
        if errors:  # S3 reports them in a response with status 200
            raise UnavailableError(f"The video bucket did not delete {len(errors)} files: {errors[0].get('Code')}.")


def is_boto3_installed() -> bool:
    """Whether boto3 is installed."""
    try:
        import_module("boto3")
    except ImportError:
        return False
    return True


@contextmanager
def _bucket_call(verb: str) -> Iterator[None]:
    """Time a call of the bucket and turn its errors into UnavailableError, so that jobs try again."""
    try:
        with telemetry.time_outbound("s3", verb=verb):
            yield
    except ImportFailedError:
        raise
    except Exception as error:
        raise UnavailableError(f"The video bucket refused the request: {type(error).__name__}.") from error


def _bucket_name() -> str:
    return current_settings().video_s3_bucket or ""


def _client() -> Any:
    """Return the client of this process: it takes a while to create, and threads may share it."""
    client = app_state().get(_CLIENT)
    if client is None:
        client = app_state()[_CLIENT] = _create_client(current_settings())
    return client


def _create_client(site: Settings) -> Any:
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


# -- presigned addresses --------------------------------------------------------------------------------------------


def bucket_origin(settings: Settings) -> str:
    """Return scheme and host of the bucket's addresses: the Content-Security-Policy of a watch page allows them."""
    if settings.video_s3_endpoint is not None:
        return settings.video_s3_endpoint
    return f"https://{settings.video_s3_bucket}.s3.{settings.video_s3_region}.amazonaws.com"


def presign(settings: Settings, key: str, seconds: int, now: datetime | None = None, *, method: str = "GET") -> str:
    """Return an address of the object ``key`` that works for ``seconds``, and for ``method`` only.

    A configured endpoint gets path style: the bucket's name is in the path, not in the host. Signed without boto3, by
    AWS Signature Version 4.
    """
    moment = (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{moment[:8]}/{settings.video_s3_region}/s3/aws4_request"
    origin = bucket_origin(settings)
    folder = f"/{settings.video_s3_bucket}" if settings.video_s3_endpoint is not None else ""
    path = quote(f"{folder}/{key}", safe="/~")
    query = urlencode(
        {
            "X-Amz-Algorithm": _ALGORITHM,
            "X-Amz-Credential": f"{settings.video_s3_key}/{scope}",
            "X-Amz-Date": moment,
            "X-Amz-Expires": min(max(seconds, 1), _MAX_PRESIGNED_SECONDS),
            "X-Amz-SignedHeaders": "host",
        },
        quote_via=quote,
        safe="~",
    )
    request = f"{method}\n{path}\n{query}\nhost:{urlsplit(origin).netloc}\n\nhost\nUNSIGNED-PAYLOAD"
    to_sign = f"{_ALGORITHM}\n{moment}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    signature = hmac.digest(_signing_key(settings, scope), to_sign.encode(), hashlib.sha256).hex()
    return f"{origin}{path}?{query}&X-Amz-Signature={signature}"


def _signing_key(settings: Settings, scope: str) -> bytes:
    secret = settings.video_s3_secret.get_secret_value() if settings.video_s3_secret is not None else ""
    parts = (part.encode() for part in scope.split("/"))
    return reduce(lambda key, part: hmac.digest(key, part, hashlib.sha256), parts, f"AWS4{secret}".encode())
