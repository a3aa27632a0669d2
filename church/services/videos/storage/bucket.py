"""The bucket that sends the videos where ``CHURCH_VIDEO_OFFLOAD`` is ``s3``: any service that speaks S3.

boto3 is the extra ``s3``, loaded by whoever first needs it: few sites do, and it is large.
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

from flask import current_app
from sqlalchemy import select

from church import jobs, telemetry
from church.config import Settings, current_settings
from church.errors import UnavailableError
from church.extensions import db
from church.models import Rendition, Video
from church.models.videos import VideoState
from church.services.videos.editing import REMOVE
from church.services.videos.errors import ImportFailedError
from church.services.videos.importing.import_job import PUSH, drop_work
from church.services.videos.storage import local

log = logging.getLogger("church.videos")

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


_ALGORITHM = "AWS4-HMAC-SHA256"
_LONGEST = 7 * 24 * 3600  # seconds; S3 takes no more


def bucket_origin(settings: Settings) -> str:
    """Scheme and host that a browser is sent to for the videos: what a page's policy has to allow."""
    if settings.video_s3_endpoint is not None:
        return settings.video_s3_endpoint
    return f"https://{settings.video_s3_bucket}.s3.{settings.video_s3_region}.amazonaws.com"


def presigned(settings: Settings, key: str, seconds: int, now: datetime | None = None, *, method: str = "GET") -> str:
    """An address of the object ``key`` that is good for ``seconds``; at an endpoint of one's own, in path style.

    It is good for ``method`` alone: that is signed, too.
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
            "X-Amz-Expires": min(max(seconds, 1), _LONGEST),
            "X-Amz-SignedHeaders": "host",
        },
        quote_via=quote,
        safe="~",
    )
    request = f"{method}\n{path}\n{query}\nhost:{urlsplit(origin).netloc}\n\nhost\nUNSIGNED-PAYLOAD"
    signed = f"{_ALGORITHM}\n{moment}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    signature = hmac.digest(_key(settings, scope), signed.encode(), hashlib.sha256).hex()
    return f"{origin}{path}?{query}&X-Amz-Signature={signature}"


def _key(settings: Settings, scope: str) -> bytes:
    secret = settings.video_s3_secret.get_secret_value() if settings.video_s3_secret is not None else ""
    parts = (part.encode() for part in scope.split("/"))
    return reduce(lambda key, part: hmac.digest(key, part, hashlib.sha256), parts, f"AWS4{secret}".encode())


@jobs.handler(PUSH, heavy=True)
def push_job(payload: dict[str, Any]) -> None:
    """Upload the renditions of one video that the bucket has not; until then the site sends them itself."""
    if current_settings().video_offload == "s3":
        _push(str(payload["ref"]))


def push() -> int:
    """Upload what the bucket has not, of all videos; how many files. Raises UnavailableError."""
    with db.read() as session:
        waiting = select(Video.ref).join(Rendition).where(Video.state == VideoState.READY.value, ~Rendition.in_bucket)
        refs = list(session.scalars(waiting.distinct()))
    return sum(_push(ref) for ref in refs)


def _push(ref: str) -> int:
    with db.read() as session:
        missing = select(Rendition).join(Video).where(Video.ref == ref, ~Rendition.in_bucket)
        files = {row.id: row.file for row in session.scalars(missing)}
    folder = local.folder_of(current_settings(), ref)
    for number, file in files.items():
        upload(f"{ref}/{file}", folder / file)
        with db.write() as session:
            there = session.get(Rendition, number, with_for_update=True)
            if there is not None:
                there.in_bucket = True
        if there is None:  # deleted meanwhile, by somebody who knew of nothing in the bucket
            remove([f"{ref}/{file}"])
            continue
        log.info("rendition uploaded", extra={"event": "video.uploaded", "video_ref": ref, "file": file})
    return len(files)


@jobs.handler(REMOVE)
def remove_job(payload: dict[str, Any]) -> None:
    """Delete the files of a video whose rows are gone."""
    site, ref = current_settings(), str(payload["ref"])
    drop_work(site, ref)
    local.source_of(site, ref).unlink(missing_ok=True)
    shutil.rmtree(local.folder_of(site, ref), ignore_errors=True)
    keys = [f"{ref}/{file}" for file in payload.get("bucket", ())]
    if keys and site.video_s3_bucket is not None:
        remove(keys)
