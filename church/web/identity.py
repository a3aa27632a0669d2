"""Who makes this request: flask-login over the rows of sign-ins, by cookie or by access token.

A request without either costs nothing. While the database is down who asks is *unknown*: nobody on pages that are
everyone's, and 503 where a sign-in would open more (``known_viewer``, ``insist``).
"""

from __future__ import annotations

import time
from typing import Any

from flask import Flask, Request, current_app, g, has_request_context, request, session
from flask_login import LoginManager, current_user

from church import telemetry
from church.errors import UnavailableError
from church.services import member_tokens, sessions
from church.services.access import ANONYMOUS, Reader
from church.services.sessions import SignedIn

_BEARER = "bearer eyj"  # every JSON Web Token begins so: base64 of {"
_SINCE = "since"


def viewer() -> SignedIn | None:
    """Who is signed in; None for strangers, and while the database can't tell. Never raises, outside a request either.

    It is ``viewer`` in every template.
    """
    return _found() if has_request_context() else None


def known_viewer() -> SignedIn | None:
    """Who is signed in, None only for strangers. Raises DatabaseDownError or DatabaseBusyError while nobody knows."""
    found = _found()
    insist()
    return found


def insist() -> None:
    """Go on only if it is known who asks, stranger or not. Raises what the database answered instead (503)."""
    _found()
    if g.unknown_viewer is not None:
        raise g.unknown_viewer


def reader() -> Reader:
    """What of pages is open to who asks: a member is somebody whose address is confirmed."""
    found = viewer()
    return Reader(member=found.is_member, premium=found.premium) if found is not None else ANONYMOUS


def is_stranger() -> bool:
    """Whether the answer is nobody's in particular, so that anybody may be given the same.

    A message that was taken out of the session to be shown once makes it somebody's, too.
    """
    return _found() is None and g.unknown_viewer is None and not session.modified


def begin(token: str) -> None:
    """Sign this browser in with the raw ``token`` of ``sessions.start_session``; nothing of its session before is kept.

    That makes a new CSRF token, too: a planted one is worth nothing after login.
    """
    session.clear()
    session.permanent = True
    session["_user_id"] = token
    _forget()


def end() -> None:
    """Sign this browser out: its session is emptied. The sign-in itself is ended by the service."""
    session.clear()
    _forget()


def renew() -> None:
    """Show this browser its account as it is from now on, whichever worker answers it.

    To be called after the viewer's own account was changed: a worker may remember for a second how it was.
    """
    session[_SINCE] = round(time.time(), 3)
    _forget()


def _forget() -> None:
    for name in ("viewer", "unknown_viewer", "_login_user"):
        g.pop(name, None)


def _found() -> SignedIn | None:
    """What flask-login finds, once a request; why it found nothing is left in ``g.unknown_viewer``."""
    if "viewer" in g:
        seen: SignedIn | None = g.viewer
        return seen
    g.viewer, g.unknown_viewer = None, None
    if not _shows_something():
        return None
    try:
        found = current_user._get_current_object()
    except UnavailableError as error:
        g.unknown_viewer = error
        return None
    if not isinstance(found, SignedIn):
        return None
    g.viewer = found
    telemetry.identify(found.ref)
    return found


def _shows_something() -> bool:
    """Whether the request has anything that could sign it in; looked at before the session, which costs."""
    environ = request.environ
    if "HTTP_AUTHORIZATION" in environ and _bearer(request) is not None:
        return True
    return "HTTP_COOKIE" in environ and current_app.config["SESSION_COOKIE_NAME"] in request.cookies


def _bearer(asked: Request) -> str | None:
    header = asked.headers.get("Authorization", "")
    return header[len("bearer ") :].strip() if header[: len(_BEARER)].lower() == _BEARER else None


class _Manager(LoginManager):  # type: ignore[misc]  # flask-login has no types
    """flask-login without its remember cookie, whose hook would open the session of every request."""

    def init_app(self, app: Flask, add_context_processor: bool = False) -> None:
        """Attach to ``app``, and to nothing else of it."""
        app.login_manager = self  # type: ignore[attr-defined]


def _by_cookie(token: Any) -> SignedIn | None:
    if not isinstance(token, str):
        return None
    since = session.get(_SINCE, 0.0)
    return sessions.load(token, since=since if isinstance(since, float) else 0.0)


def _by_bearer(asked: Request) -> SignedIn | None:
    token = _bearer(asked)
    return member_tokens.who(token) if token is not None else None


def init_app(app: Flask) -> None:
    """Wire flask-login, the memory of sign-ins, and ``viewer`` in templates.

    The cookie lives as long as a sign-in may, and is sent anew only when it changes.
    """
    app.config.update(
        REMEMBER_COOKIE_NAME=";",  # no cookie can have it: flask-login would look into whatever a stranger calls so
        PERMANENT_SESSION_LIFETIME=app.config["CHURCH"].session_lifetime,
        SESSION_REFRESH_EACH_REQUEST=False,
    )
    sessions.init_app(app)
    manager = _Manager()
    manager.session_protection = None  # a phone changes its address, and a browser its version
    manager.user_loader(_by_cookie)
    manager.request_loader(_by_bearer)
    manager.init_app(app)
    app.context_processor(lambda: {"viewer": viewer()})
