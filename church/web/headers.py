"""Security headers of every response, the Content-Security-Policy among them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import g

if TYPE_CHECKING:
    from flask import Flask, Response

    from church.config import Settings

_POLICY = "Content-Security-Policy"
_OWN_FORMS = "form-action 'self'"
_OWN_MEDIA = "media-src 'self'"

# No page has inline scripts or styles, so no nonce or hash is needed.
_CSP = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        _OWN_MEDIA,
        "connect-src 'self'",
        "manifest-src 'self'",
        _OWN_FORMS,
        "object-src 'none'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
_ALWAYS = {
    _POLICY: _CSP,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "strict-origin",  # never send a query elsewhere: it may hold what a visitor typed
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_HSTS = "max-age=31536000; includeSubDomains"


def default_headers(settings: Settings) -> dict[str, str]:
    """Headers of any response that does not set its own. HSTS is among them if the site uses https.

    Responses are not cached unless they say otherwise: the default is ``no-store``.
    """
    https = {"Strict-Transport-Security": _HSTS} if settings.https else {}
    return {**_ALWAYS, **https, "Cache-Control": "no-store"}


def allow_form_targets(origins: tuple[str, ...]) -> None:
    """Let forms of the current page lead to ``origins``. Browsers apply ``form-action`` to redirects, too."""
    g.forms_lead_to = origins


def allow_media_from(origins: tuple[str, ...]) -> None:
    """Let the current page play media from ``origins``. Browsers apply ``media-src`` to redirects, too."""
    g.media_from = origins


def add_vary(response: Response, *names: str) -> None:
    """Say that the answer depends on these request headers; the same as ``response.vary.update``, without a parser."""
    given = response.headers.get("Vary")
    listed = [name.strip() for name in given.split(",")] if given else []
    present = {name.lower() for name in listed}
    missing = [name for name in names if name.lower() not in present]
    if missing:
        response.headers["Vary"] = ", ".join(listed + missing)


def init_app(app: Flask) -> None:
    """Set the headers on every response."""
    headers = default_headers(app.config["CHURCH"])
    by_key = [(name.lower(), name, value) for name, value in headers.items()]

    def add(response: Response) -> Response:
        for own, elsewhere in ((_OWN_FORMS, g.get("forms_lead_to")), (_OWN_MEDIA, g.get("media_from"))):
            if elsewhere:
                policy = response.headers.get(_POLICY, _CSP)
                response.headers[_POLICY] = policy.replace(own, " ".join((own, *elsewhere)))
        present = {name.lower() for name, _ in response.headers}  # once, not once for each of ours
        response.headers.extend([(name, value) for key, name, value in by_key if key not in present])
        response.headers.pop("Date", None)  # werkzeug's, beside its validators: the server adds one to every answer
        return response

    app.after_request(add)
