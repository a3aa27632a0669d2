"""Whether a request that changes something was made on this site (ASVS 5.0.0, 3.5.1 and 3.5.2).

A form carries the token of its visitor's session, and so, in a header, does a piece of an upload. A JSON body needs
none, since another site's page can't send that type without asking first (the preflight of CORS, which is never granted
here); its origin is checked nevertheless. Any other type of body is refused: a browser sends text/plain, unasked, for
anyone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from flask import current_app, request
from flask_wtf.csrf import CSRFProtect, validate_csrf
from werkzeug.exceptions import UnsupportedMediaType

from church import telemetry
from church.config import current_settings
from church.errors import InvalidError
from church.web.forms import FORMS, JSON, PIECE

if TYPE_CHECKING:
    from flask import Flask

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_EXTENSION = "csrf_exempt"
_WORDS = {
    "origin": "This form came from another site, so nothing was done. Open the page here and send it again.",
    "token": "This form has expired. Go back, reload the page and send it again.",
}


def check(endpoint: str) -> None:
    """Refuse a request that changes something unless it was made on this site. ``endpoint`` is where it goes.

    Raises InvalidError, and UnsupportedMediaType for a type of body that no page of ours sends.
    """
    if endpoint in current_app.extensions[_EXTENSION]:
        return
    kind = request.mimetype
    if kind not in FORMS and kind not in {JSON, PIECE, ""}:
        raise UnsupportedMediaType
    if not _is_from_here(is_json=kind == JSON):
        _refuse("origin")
    if kind != JSON and not _has_token():
        _refuse("token")


def _refuse(reason: str) -> None:
    telemetry.track_security_event("csrf_refused", "medium", reason=reason)
    raise InvalidError(_WORDS[reason])


def _is_from_here(*, is_json: bool) -> bool:
    """Whether what the browser says of where the request was made, if it says anything, is this site.

    A page may keep its origin to itself ("null"): its form has a token to show, its JSON has nothing.
    """
    if request.headers.get("Sec-Fetch-Site", "none").lower() not in {"same-origin", "none"}:
        return False
    said = request.headers.get("Origin")
    if said is None and is_json:
        said = _origin_of(request.headers.get("Referer"))
    if said is None or (said == "null" and not is_json):
        return True
    return said.lower() in {current_settings().origin.lower(), f"{request.scheme}://{request.host}".lower()}


def _origin_of(address: str | None) -> str | None:
    """Scheme and host of a Referer; of one that is no address, what is the origin of nothing."""
    if address is None:
        return None
    try:
        parts = urlsplit(address)
    except ValueError:
        return "null"
    return f"{parts.scheme}://{parts.netloc}"


def _has_token() -> bool:
    """Whether the form (or a script, by header) shows this session's token, signed by any key still believed."""
    # The header first: to look for a form in the piece of an upload would be to read it.
    shown = request.headers.get("X-CSRFToken") or request.form.get("csrf_token")
    return any(_is_token(shown, key) for key in current_settings().secret_keys)


def _is_token(shown: str | None, key: str) -> bool:
    try:
        validate_csrf(shown, secret_key=key)
    except ValueError:  # what wtforms' ValidationError is
        return False
    return True


def init_app(app: Flask, exempt: frozenset[str] = frozenset()) -> None:
    """``exempt`` are the endpoints of machines, which show a signature or a bearer token instead of a cookie."""
    app.extensions[_EXTENSION] = exempt
    app.config.update(WTF_CSRF_CHECK_DEFAULT=False, WTF_CSRF_TIME_LIMIT=None, WTF_CSRF_SSL_STRICT=False)
    CSRFProtect(app)  # offers ``csrf_token()`` to the templates
