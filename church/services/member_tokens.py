"""Access tokens for a signed-in member's programs: JSON Web Tokens (RFC 7519), valid for ten minutes.

A token belongs to a session: when the session ends, so does the token. Keys are derived from the site's secret with a
label, so tokens that were signed for another use are not accepted.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from church import telemetry
from church.config import current_settings
from church.errors import ForbiddenError
from church.services import sessions
from church.services.sessions import SignedIn

LIFETIME = 600  # seconds
_LEEWAY = 30  # seconds by which the clocks of two hosts may differ
_AUDIENCE = "church"
_ALGORITHM = "HS256"
_LABEL = b"church access token v1"
_CLAIMS = ["iss", "aud", "sub", "sid", "iat", "exp", "jti"]
_LONGEST = 1024  # characters


@dataclass(frozen=True)
class AccessToken:
    """A new token, returned once."""

    token: str
    expires_at: datetime


@dataclass(frozen=True)
class ValidToken:
    """A valid token: its member and when it expires (seconds since 1970)."""

    signed_in: SignedIn
    until: float


def issue_token(signed_in: SignedIn) -> AccessToken:
    """Issue a token for a session. The route decides who may have one.

    Raises ForbiddenError if the request came with an access token: a stolen one could be renewed for weeks.
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
    import jwt  # noqa: PLC0415 - with cryptography 4 MiB, for sites whose members use programs

    kid, key = next(iter(_keys(current_settings().secret_keys).items()))
    return AccessToken(jwt.encode(claims, key, _ALGORITHM, headers={"kid": kid}), expires_at)


def find_member(token: str) -> SignedIn | None:
    """Find the member of a token; None if it has expired or is not valid. An invalid one is a security event.

    Raises DatabaseDownError, DatabaseBusyError.
    """
    valid = verify_token(token)
    return valid.signed_in if valid is not None else None


def verify_token(token: str) -> ValidToken | None:
    """Like ``who``, with the token's expiry, for connections that last longer than a request."""
    claims = _claims(token)
    if claims is None or not isinstance(claims["sid"], str):
        return None
    signed_in = sessions.load_ref(claims["sid"], claims["sub"])
    return ValidToken(signed_in, float(claims["exp"]) + _LEEWAY) if signed_in is not None else None


def _claims(token: str) -> dict[str, Any] | None:
    """Verify a token and return its claims, or None. PyJWT checks the signature first, then the claims."""
    import jwt  # noqa: PLC0415 - see issue_token

    site = current_settings()
    try:
        if len(token) > _LONGEST or not token.isascii():
            raise jwt.DecodeError
        key = _keys(site.secret_keys).get(str(jwt.get_unverified_header(token).get("kid")))
        if key is None:
            raise jwt.InvalidSignatureError
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[_ALGORITHM],
            audience=_AUDIENCE,
            issuer=site.origin,
            leeway=_LEEWAY,
            options={"require": _CLAIMS},
        )
    except (jwt.ExpiredSignatureError, jwt.ImmatureSignatureError):
        return None  # expired or not valid yet, but signed by us
    except jwt.InvalidTokenError:
        telemetry.track_security_event("invalid_token", "medium")
        return None
    return claims


@lru_cache(maxsize=8)
def _keys(secret_keys: tuple[str, ...]) -> dict[str, bytes]:
    """Derive the keys, by id: first the one that signs, then older ones that are still accepted."""
    derived = [hmac.digest(secret.encode(), _LABEL, hashlib.sha256) for secret in secret_keys]
    return {hashlib.sha256(key).hexdigest()[:8]: key for key in derived}
