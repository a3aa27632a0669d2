"""The signed cookie, also when the clocks of two hosts differ."""

from __future__ import annotations

from typing import Any

from flask import Flask
from flask.sessions import SecureCookieSessionInterface
from itsdangerous import SignatureExpired, TimestampSigner, URLSafeTimedSerializer


class _ForgivingSigner(TimestampSigner):
    """Accepts what is signed in the future: another host's clock is ahead, or this one was set back.

    itsdangerous takes such a cookie for expired, which signs its member out. The signature is ours, and the row of the
    sign-in says when it ends.
    """

    def unsign(self, signed_value: str | bytes, max_age: int | None = None, return_timestamp: bool = False) -> Any:
        """Return the signed value. Raises BadSignature, also after ``max_age`` seconds."""
        try:
            return super().unsign(signed_value, max_age, return_timestamp)  # type: ignore[call-overload]
        except SignatureExpired as error:
            if error.date_signed is None or error.date_signed.timestamp() <= self.get_timestamp():
                raise
            return super().unsign(signed_value, None, return_timestamp)  # type: ignore[call-overload]


class SessionCookie(SecureCookieSessionInterface):
    """Flask's session cookie, read by any host of the site."""

    def get_signing_serializer(self, app: Flask) -> URLSafeTimedSerializer | None:
        """Make the serializer of the cookie."""
        serializer = super().get_signing_serializer(app)
        if serializer is not None:
            serializer.signer = _ForgivingSigner
        return serializer
