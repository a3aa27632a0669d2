"""The headers of every response that tell a browser what this site never does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import g

if TYPE_CHECKING:
    from flask import Flask, Response

    from church.config import Settings

_POLICY = "Content-Security-Policy"
_OWN_FORMS = "form-action 'self'"
_OWN_MEDIA = "media-src 'self'"

# No inline script or style anywhere, so that neither nonce nor hash is needed.
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
    "Referrer-Policy": "strict-origin",  # a query stays on its page: it may hold what was typed, or an attack
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_HSTS = "max-age=31536000; includeSubDomains"


def of_every_answer(settings: Settings) -> dict[str, str]:
    """The headers that any answer carries unless it has chosen its own; HSTS where the site is https.

    What does not say that it may be kept is not kept: ``no-store`` is the default.
    """
    https = {"Strict-Transport-Security": _HSTS} if settings.https else {}
    return {**_ALWAYS, **https, "Cache-Control": "no-store"}


def forms_lead_to(origins: tuple[str, ...]) -> None:
    """Let the forms of the page that is being made end at ``origins``: browsers hold a redirect to the policy, too."""
    g.forms_lead_to = origins


def media_from(origins: tuple[str, ...]) -> None:
    """Let the page that is being made play what ``origins`` send: where a redirect of ours leads, the policy rules."""
    g.media_from = origins


def init_app(app: Flask) -> None:
    """Set them on every response."""
    headers = of_every_answer(app.config["CHURCH"])

    def add(response: Response) -> Response:
        for own, elsewhere in ((_OWN_FORMS, g.get("forms_lead_to")), (_OWN_MEDIA, g.get("media_from"))):
            if elsewhere:
                policy = response.headers.get(_POLICY, _CSP)
                response.headers[_POLICY] = policy.replace(own, " ".join((own, *elsewhere)))
        for name, value in headers.items():
            response.headers.setdefault(name, value)
        return response

    app.after_request(add)
