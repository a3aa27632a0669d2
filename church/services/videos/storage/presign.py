"""Addresses by which a bucket gives away one object for a while: AWS Signature Version 4, in the query.

Computed here, without the SDK: a web worker never speaks to the bucket, and thirty lines spare it twenty megabytes.
Source: Amazon S3 API Reference, "Authenticating Requests: Using Query Parameters".
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime
from functools import reduce
from urllib.parse import quote, urlencode, urlsplit

from church.config import Settings

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
