"""The signed cookie, also when the clocks of two hosts differ. A request without it costs nothing."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import datetime
from functools import lru_cache
from typing import Any

from flask import Flask, Request, Response
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface, SessionMixin
from itsdangerous import BadSignature, SignatureExpired, TimestampSigner, URLSafeTimedSerializer

from church.web.headers import add_vary


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


@lru_cache(maxsize=1024)
def _verify(serializer: URLSafeTimedSerializer, signed: str) -> tuple[bytes, datetime]:
    """Return what was signed, and when. Raises BadSignature, which is not cached."""
    for signer in serializer.iter_unsigners():
        with suppress(BadSignature):
            payload, signed_at = signer.unsign(signed.encode(), return_timestamp=True)
            return payload, signed_at
    raise BadSignature("signed by none of the keys")


class SessionCookie(SecureCookieSessionInterface):
    """Flask's session cookie, read by any host of the site."""

    def __init__(self) -> None:
        self._serializers: dict[tuple[Any, ...], URLSafeTimedSerializer | None] = {}

    def get_signing_serializer(self, app: Flask) -> URLSafeTimedSerializer | None:
        """Return the serializer of the cookie, made once for the keys of ``app``."""
        keys = (app.secret_key, *(app.config["SECRET_KEY_FALLBACKS"] or ()))
        if keys not in self._serializers:
            serializer = super().get_signing_serializer(app)
            if serializer is not None:
                serializer.signer = _ForgivingSigner
            self._serializers = {keys: serializer}
        return self._serializers[keys]

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        """Read the cookie. Most visitors have none: their session is empty, and no serializer is needed.

        A signature that was right stays right, and is computed once; how old the cookie is counts each time.
        """
        if not app.secret_key:
            return None
        sent = request.cookies.get(self.get_cookie_name(app)) if "HTTP_COOKIE" in request.environ else None
        serializer = self.get_signing_serializer(app) if sent else None
        if not sent or serializer is None:
            return self.session_class()
        try:
            payload, signed_at = _verify(serializer, sent)
            is_old = int(time.time()) - int(signed_at.timestamp()) > int(app.permanent_session_lifetime.total_seconds())
            return self.session_class() if is_old else self.session_class(serializer.load_payload(payload))
        except BadSignature:
            return self.session_class()

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Set the cookie if the session has changed; say that the answer depends on it if the session was read."""
        if session.modified or self.should_set_cookie(app, session):
            super().save_session(app, session, response)
        elif session.accessed:
            add_vary(response, "Cookie")
