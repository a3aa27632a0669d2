"""Sign and read the tokens of stream addresses: one member, one rendition of one video, until it expires.

A token is text for a URL: a version, the key's id, the expiry, the refs of the member, the session and the video, the
quality, the playback, and the HMAC-SHA256 of all that. Its keys are derived from the site's secret for this purpose
only, so that no other signature of the site is a valid token, and no token is valid elsewhere.
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

_VERSION = "cvt1"  # log redaction recognizes tokens by it (church/observability/logs/redaction.py)
_LABEL = b"church video token v1"
_STRANGER = "-"
_FIELD = re.compile(r"[A-Za-z0-9_-]{1,64}")
_PLAYBACK = re.compile(r"[A-Za-z0-9_-]{8,40}")
_MAX_LENGTH = 512  # characters
_CLOCK_LEEWAY = 5  # seconds by which the clocks of two hosts may differ


class TokenError(ForbiddenError):
    """The token does not open this stream; ``outcome`` is the label in metrics."""

    outcome = "forbidden"


class NoTokenError(TokenError):
    """The address has no token: it was cut off, or a crawler called it. Not counted as forged."""

    def __init__(self) -> None:
        super().__init__("This stream address is incomplete. Open the video's page.")


class ForgedTokenError(TokenError):
    """The token was not signed by this site, or was changed."""

    outcome = "forged"

    def __init__(self) -> None:
        super().__init__("This address is invalid. Open the video's page again.")


class ExpiredTokenError(TokenError):
    """The token has expired."""

    outcome = "expired"

    def __init__(self) -> None:
        super().__init__("This address has expired. Open the video's page again.")


class OtherVideoError(TokenError):
    """The token is valid and names another video."""

    def __init__(self) -> None:
        super().__init__("This address belongs to another video.")


class OtherMemberError(TokenError):
    """The token is valid and names another member."""

    def __init__(self) -> None:
        super().__init__("This address belongs to another member. Open the video's page yourself.")


class AccessEndedError(TokenError):
    """The member of the token may no longer watch this, or has signed out."""

    def __init__(self) -> None:
        super().__init__("You no longer have access to this video. Sign in, or check your subscription.")


@dataclass(frozen=True)
class SignedToken:
    """A signed token with its expiry and its playback."""

    token: str
    expires_at: int
    """Seconds since 1970."""
    playback: str


@dataclass(frozen=True)
class TokenClaims:
    """Contents of a valid token. ``member`` and ``sign_in`` are refs; None in a token for a public video."""

    member: str | None
    sign_in: str | None
    video: str
    quality: str
    playback: str
    expires_at: int


def choose_playback(given: str = "") -> str:
    """Return ``given`` if it is a valid playback id, so that a playback continues; else a new id."""
    return given if _PLAYBACK.fullmatch(given) else secrets.token_urlsafe(12)


def sign_token(video: str, quality: str, viewer: SignedIn | None, playback: str = "") -> SignedToken:
    """Sign a token for a rendition of a video (by its ref), valid for ``CHURCH_VIDEO_TTL`` seconds.

    ``viewer`` is None for strangers, who can watch public videos. ``playback`` continues the one of an earlier token.
    """
    kid, key = next(iter(_keys(current_settings().secret_keys).items()))
    playback, expires_at = choose_playback(playback), int(time.time()) + current_settings().video_ttl
    holder = (viewer.ref, viewer.session_ref) if viewer is not None else (_STRANGER, _STRANGER)
    fields = (_VERSION, kid, str(expires_at), *holder, video, quality, playback)
    if not all(_FIELD.fullmatch(field) for field in fields):
        raise ValueError(f"{quality!r} or {video!r} cannot be part of an address")
    payload = ".".join(fields)
    return SignedToken(f"{payload}.{_signature(key, payload)}", expires_at, playback)


def read_token(token: str) -> TokenClaims:
    """Verify a token and return its contents.

    Raises MissingError, ExpiredError, and AlteredError, which is also recorded as a security event.
    """
    if not token:
        raise NoTokenError
    payload, _, signature = token.rpartition(".")
    fields = payload.split(".")
    key = (
        _keys(current_settings().secret_keys).get(fields[1]) if len(fields) == 8 and len(token) <= _MAX_LENGTH else None
    )
    genuine = hmac.compare_digest(_signature(key or b"", payload).encode(), signature.encode("utf-8", "surrogatepass"))
    if key is None or not genuine or fields[0] != _VERSION:
        telemetry.track_security_event("video_token_forged", "medium")
        raise ForgedTokenError
    _, _, expiry, member, sign_in, video, quality, playback = fields
    if int(expiry) + _CLOCK_LEEWAY < time.time():
        raise ExpiredTokenError
    stranger = member == _STRANGER
    return TokenClaims(
        None if stranger else member, None if stranger else sign_in, video, quality, playback, int(expiry)
    )


def _signature(key: bytes, payload: str) -> str:
    mac = hmac.digest(key, payload.encode("utf-8", "surrogatepass"), hashlib.sha256)
    return base64.urlsafe_b64encode(mac).rstrip(b"=").decode()


@lru_cache(maxsize=8)
def _keys(secret_keys: tuple[str, ...]) -> dict[str, bytes]:
    """Derive the keys, by id: first the one that signs, then older ones that are still accepted."""
    derived = [hmac.digest(secret.encode(), _LABEL, hashlib.sha256) for secret in secret_keys]
    return {hashlib.sha256(key).hexdigest()[:8]: key for key in derived}
