"""Short tokens by which a signed-in member's programs act: JSON Web Tokens (RFC 7519), good for ten minutes.

A token names its sign-in and is worth nothing without it: ending the sign-in ends the token. Keys are made from the
site's secret, so that a token signed for anything else is none here.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import jwt

from church import telemetry
from church.config import current_settings
from church.errors import ForbiddenError
from church.services import sessions
from church.services.sessions import SignedIn

LIFETIME = 600  # seconds
_LEEWAY = 30  # seconds that the clocks of two hosts may differ
_AUDIENCE = "church"
_ALGORITHM = "HS256"
_LABEL = b"church access token v1"
_CLAIMS = ["iss", "aud", "sub", "sid", "iat", "exp", "jti"]
_LONGEST = 1024  # characters


@dataclass(frozen=True)
class AccessToken:
    """A token as it is handed out, once."""

    token: str
    expires_at: datetime


@dataclass(frozen=True)
class Shown:
    """A good token as it was shown: whose it is, and until when (seconds since 1970)."""

    signed_in: SignedIn
    until: float


def issue(signed_in: SignedIn) -> AccessToken:
    """A token for the sign-in that asks, whichever account it is: who may have one is the route's to say.

    Raises ForbiddenError for who asks with an access token: a stolen one would be renewed for weeks.
    """
    if not signed_in.token:
        raise ForbiddenError("An access token cannot request another token. Sign in with the cookie first.")
    now = datetime.now(UTC).replace(microsecond=0)
    expires_at = now + timedelta(seconds=LIFETIME)
    claims = {
        "iss": current_settings().origin,
        "aud": _AUDIENCE,
        "sub": signed_in.ref,
        "sid": signed_in.session_ref,
        "iat": now,
        "exp": expires_at,
        "jti": secrets.token_urlsafe(16),
    }
    kid, key = next(iter(_keys(current_settings().secret_keys).items()))
    return AccessToken(jwt.encode(claims, key, _ALGORITHM, headers={"kid": kid}), expires_at)


def who(token: str) -> SignedIn | None:
    """Whose token it is; None where it is not good any more, or never was, which is a security event.

    Raises DatabaseDownError, DatabaseBusyError.
    """
    found = shown(token)
    return found.signed_in if found is not None else None


def shown(token: str) -> Shown | None:
    """The same with its end, for what lasts longer than a request."""
    claims = _claims(token)
    if claims is None or not isinstance(claims["sid"], str):
        return None
    found = sessions.load_ref(claims["sid"], claims["sub"])
    return Shown(found, float(claims["exp"]) + _LEEWAY) if found is not None else None


def _claims(token: str) -> dict[str, Any] | None:
    """What a token of ours says, while it is good. PyJWT looks at the signature first and at the claims after it."""
    site = current_settings()
    try:
        if len(token) > _LONGEST or not token.isascii():
            raise jwt.DecodeError
        key = _keys(site.secret_keys).get(str(jwt.get_unverified_header(token).get("kid")))
        if key is None:
            raise jwt.InvalidSignatureError
        found: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[_ALGORITHM],
            audience=_AUDIENCE,
            issuer=site.origin,
            leeway=_LEEWAY,
            options={"require": _CLAIMS},
        )
    except (jwt.ExpiredSignatureError, jwt.ImmatureSignatureError):
        return None  # it was signed by us
    except jwt.InvalidTokenError:
        telemetry.track_security_event("invalid_token", "medium")
        return None
    return found


@lru_cache(maxsize=8)
def _keys(secret_keys: tuple[str, ...]) -> dict[str, bytes]:
    """The keys by their ids: the one that signs, and after it those that are still believed."""
    derived = [hmac.digest(secret.encode(), _LABEL, hashlib.sha256) for secret in secret_keys]
    return {hashlib.sha256(key).hexdigest()[:8]: key for key in derived}
