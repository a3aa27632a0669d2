"""The tokens by which a stream is opened: who may have which rendition of which video, until when.

A token is short text that stands in an address: a version, the key's id, the end, the names of the member, the sign-in,
the video, the rendition and the playback, and their HMAC-SHA256. Its keys are made from the site's secret for this
purpose alone, so that nothing else that the site signs is a token, nor the reverse.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import time
from dataclasses import dataclass
from functools import lru_cache

from church import telemetry
from church.config import current_settings
from church.errors import ForbiddenError
from church.services.sessions import SignedIn

_VERSION = "cvt1"  # the redaction of logs knows a token by it (church/observability/logs/redaction.py)
_LABEL = b"church video token v1"
_NOBODY = "-"
_FIELD = re.compile(r"[A-Za-z0-9_-]{1,64}")
_PLAYBACK = re.compile(r"[A-Za-z0-9_-]{8,40}")
_LONGEST = 512  # characters
_LEEWAY = 5  # seconds that the clocks of two hosts may differ


class TokenError(ForbiddenError):
    """A stream is not opened by this token; ``outcome`` is how metrics call the reason."""

    outcome = "forbidden"


class MissingError(TokenError):
    """There is none. Nobody forges what they do not show: an address that was cut short, a crawler."""

    def __init__(self) -> None:
        super().__init__("This stream address is incomplete. Open the video's page.")


class AlteredError(TokenError):
    """It was not signed by us, or not like this."""

    outcome = "forged"

    def __init__(self) -> None:
        super().__init__("This address is invalid. Open the video's page again.")


class ExpiredError(TokenError):
    """Its time is over."""

    outcome = "expired"

    def __init__(self) -> None:
        super().__init__("This address has expired. Open the video's page again.")


class OtherVideoError(TokenError):
    """It is good, for another video."""

    def __init__(self) -> None:
        super().__init__("This address belongs to another video.")


class OtherMemberError(TokenError):
    """It is good, and somebody else's."""

    def __init__(self) -> None:
        super().__init__("This address belongs to another member. Open the video's page yourself.")


class EntitlementError(TokenError):
    """Whom it was made for may no longer watch this, or has signed out."""

    def __init__(self) -> None:
        super().__init__("You no longer have access to this video. Sign in, or check your membership.")


@dataclass(frozen=True)
class Signed:
    """A token as it is handed out."""

    token: str
    expires_at: int
    """Seconds since 1970."""
    playback: str


@dataclass(frozen=True)
class Claims:
    """What a token says, while it is good. ``member`` and ``sign_in`` are None for one that was made for strangers."""

    member: str | None
    sign_in: str | None
    video: str
    quality: str
    playback: str
    expires_at: int


def new_playback(given: str = "") -> str:
    """The name of one playback: ``given``, where a player goes on with one that it has, else a new one."""
    return given if _PLAYBACK.fullmatch(given) else secrets.token_urlsafe(12)


def sign(video: str, quality: str, who: SignedIn | None, playback: str = "") -> Signed:
    """A token for a rendition of the video of a ref, for ``CHURCH_VIDEO_TTL`` from now on.

    ``who`` is None for what everybody may watch. ``playback`` goes on with that of an earlier token.
    """
    kid, key = next(iter(_keys(current_settings().secret_keys).items()))
    playback, expires_at = new_playback(playback), int(time.time()) + current_settings().video_ttl
    person = (who.ref, who.session_ref) if who is not None else (_NOBODY, _NOBODY)
    fields = (_VERSION, kid, str(expires_at), *person, video, quality, playback)
    if not all(_FIELD.fullmatch(field) for field in fields):
        raise ValueError(f"{quality!r} or {video!r} can't stand in an address")
    said = ".".join(fields)
    return Signed(f"{said}.{_signature(key, said)}", expires_at, playback)


def read(token: str) -> Claims:
    """What a token of ours says. Raises MissingError, AlteredError, which is a security event, and ExpiredError."""
    if not token:
        raise MissingError
    said, _, shown = token.rpartition(".")
    fields = said.split(".")
    key = _keys(current_settings().secret_keys).get(fields[1]) if len(fields) == 8 and len(token) <= _LONGEST else None
    genuine = hmac.compare_digest(_signature(key or b"", said).encode(), shown.encode("utf-8", "surrogatepass"))
    if key is None or not genuine or fields[0] != _VERSION:
        telemetry.track_security_event("video_token_forged", "medium")
        raise AlteredError
    _, _, end, member, sign_in, video, quality, playback = fields
    if int(end) + _LEEWAY < time.time():
        raise ExpiredError
    nobody = member == _NOBODY
    return Claims(None if nobody else member, None if nobody else sign_in, video, quality, playback, int(end))


def _signature(key: bytes, said: str) -> str:
    mac = hmac.digest(key, said.encode("utf-8", "surrogatepass"), hashlib.sha256)
    return base64.urlsafe_b64encode(mac).rstrip(b"=").decode()


@lru_cache(maxsize=8)
def _keys(secret_keys: tuple[str, ...]) -> dict[str, bytes]:
    """The keys by their ids: the one that signs, and after it those that are still believed."""
    derived = [hmac.digest(secret.encode(), _LABEL, hashlib.sha256) for secret in secret_keys]
    return {hashlib.sha256(key).hexdigest()[:8]: key for key in derived}
