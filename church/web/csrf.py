"""CSRF protection: a request that changes something must come from this site (ASVS 5.0.0, 3.5.1 and 3.5.2).

A form carries the token of its visitor's session; a chunk of an upload carries it in a header. A JSON body needs no
token, because another site's page can't send that type without a CORS preflight, which is never granted here; its
origin is checked all the same. So is that of a request by an access token, which needs no form's token either: a
browser never adds that header by itself. A request with the cookie of a sign-in acts by the cookie, whatever else it
has. Any other type of body is refused: a browser sends text/plain for any site, without a preflight.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from flask import current_app, request, session
from flask_wtf.csrf import generate_csrf, validate_csrf
from itsdangerous import URLSafeTimedSerializer
from werkzeug.exceptions import UnsupportedMediaType

from church import telemetry
from church.config import current_settings
from church.errors import InvalidError, UnauthorizedError
from church.web import identity
from church.web.forms import FORMS, JSON, UPLOAD_CHUNK
from church.web.origins import is_own_origin

if TYPE_CHECKING:
    from flask import Flask

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_EXTENSION = "csrf_exempt"
_FIELD = "csrf_token"
_SALT = "wtf-csrf-token"
_MESSAGES = {
    "origin": "This form came from another site, so nothing was done. Open the page here and send it again.",
    "token": "This form has expired. Go back, reload the page and send it again.",
}
_INVALID_TOKEN = "This access token is not valid or has expired. Request a new one."  # noqa: S105 - an error text


def check_csrf(endpoint: str) -> None:
    """Refuse the current request, which changes something, unless it was made on this site.

    Raises InvalidError, UnsupportedMediaType for a type of body that no page of this site sends, UnauthorizedError for
    an access token that is not valid, and the database's errors if it can't tell.
    """
    if endpoint in current_app.extensions[_EXTENSION]:
        return
    kind = request.mimetype
    if kind not in FORMS and kind not in {JSON, UPLOAD_CHUNK, ""}:
        raise UnsupportedMediaType
    if not _is_same_origin(is_json=kind == JSON):
        _refuse("origin")
    if kind != JSON and not identity.acts_by_access_token() and not _has_token():
        if identity.sent_access_token() and identity.viewer() is None:
            raise UnauthorizedError(_INVALID_TOKEN)
        _refuse("token")


def _refuse(reason: str) -> None:
    telemetry.track_security_event("csrf_refused", "medium", reason=reason)
    raise InvalidError(_MESSAGES[reason])


def _is_same_origin(*, is_json: bool) -> bool:
    """Whether the browser names this site as the request's origin, or names no origin.

    A page may hide its origin ("null"). That is accepted from a form, which also has a token, but not with JSON.
    """
    if request.headers.get("Sec-Fetch-Site", "none").lower() not in {"same-origin", "none"}:
        return False
    origin = request.headers.get("Origin")
    if origin is None and is_json:
        origin = _origin_of(request.headers.get("Referer"))
    if origin is None or (origin == "null" and not is_json):
        return True
    return is_own_origin(origin)


def _origin_of(address: str | None) -> str | None:
    """Scheme and host of a Referer; ``null``, which matches no origin, if it can't be parsed."""
    if address is None:
        return None
    try:
        parts = urlsplit(address)
    except ValueError:
        return "null"
    return f"{parts.scheme}://{parts.netloc}"


def _has_token() -> bool:
    """Whether the form or a header has this session's token, signed with the current or the previous key."""
    # The header first: looking for a form field in a chunk of an upload would read the chunk.
    token = request.headers.get("X-CSRFToken") or request.form.get("csrf_token")
    return any(_is_valid(token, key) for key in current_settings().secret_keys)


def _is_valid(token: str | None, key: str) -> bool:
    try:
        validate_csrf(token, secret_key=key)
    except ValueError:  # wtforms' ValidationError is one
        return False
    return True


def make_token() -> str:
    """Make the token for the forms of a page, as Flask-WTF does: its session's secret, signed.

    A token has no time limit, so that the same one is good on every page of the session.
    """
    secret = session.get(_FIELD)
    if not isinstance(secret, str):
        token: str = generate_csrf()  # makes the secret, and puts it into the session
        return token
    return _sign(secret, current_app.config["SECRET_KEY"])


@lru_cache(maxsize=4096)
def _sign(secret: str, key: str) -> str:
    token: str | bytes = URLSafeTimedSerializer(key, salt=_SALT).dumps(secret)
    return token if isinstance(token, str) else token.decode()


def init_app(app: Flask, exempt: frozenset[str] = frozenset()) -> None:
    """Set up tokens. ``exempt`` are endpoints for machines, which send a signature or a bearer token, not a cookie.

    Flask-WTF's own hook is left out: ``route_access`` calls ``check_csrf`` for the requests that change something.
    """
    app.extensions[_EXTENSION] = exempt
    app.config.update(WTF_CSRF_CHECK_DEFAULT=False, WTF_CSRF_TIME_LIMIT=None, WTF_CSRF_SSL_STRICT=False)
