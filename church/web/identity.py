"""Find out who makes a request: flask-login over the table of sign-ins, by cookie or by access token.

A request with neither costs nothing. While the database is down the viewer is *unknown*: public pages treat them as
signed out, and pages that need a sign-in answer 503 (``known_viewer``, ``insist``).
"""

from __future__ import annotations

import json
import time
from typing import Any

from flask import Flask, Request, current_app, g, has_request_context, request, session
from flask_login import LoginManager, current_user

from church import telemetry
from church.errors import UnavailableError
from church.services import member_tokens, sessions
from church.services.access import Reader
from church.services.sessions import SignedIn
from church.web.session_cookie import SessionCookie

_BEARER = "bearer eyj"  # every JSON Web Token begins with this: base64 of {"
_SINCE = "since"
_NEXT = "next"
_MAX_NEXT = 2000  # characters as the cookie has them, which has 4096 bytes


def viewer() -> SignedIn | None:
    """The signed-in account; None for visitors who are not signed in, and while the database is down.

    Never raises, even outside a request. Templates have it as ``viewer``.
    """
    return _find() if has_request_context() else None


def viewer_or_unavailable() -> SignedIn | None:
    """The signed-in account, or None. Raises DatabaseDownError or DatabaseBusyError if the database can't tell."""
    account = _find()
    require_known_viewer()
    return account


def require_known_viewer() -> None:
    """Raise the database's error (503) if it could not tell who makes the request."""
    _find()
    if g.unknown_viewer is not None:
        raise g.unknown_viewer


def reader() -> Reader:
    """Access rights of the viewer. A member is an account with a confirmed address."""
    return sessions.reader_of(viewer())


def is_anonymous() -> bool:
    """Whether the response holds nothing personal, so that the same one may be sent to anyone.

    A flashed message makes it personal, too: showing it changes the session.
    """
    return _find() is None and g.unknown_viewer is None and not session.modified


def sent_access_token() -> bool:
    """Whether the request has an access token, valid or not."""
    return _bearer(request) is not None


def acts_by_access_token() -> bool:
    """Whether the account was found by an access token. With the cookie of a sign-in, that one counts.

    Raises DatabaseDownError or DatabaseBusyError if the database can't tell.
    """
    if not sent_access_token():
        return False
    account = viewer_or_unavailable()
    return account is not None and not account.token


def start_browser_session(token: str) -> None:
    """Sign this browser in with the raw ``token`` of a new sign-in. Its session before is dropped.

    That makes a new CSRF token, too: a token planted before sign-in is useless afterwards.
    """
    session.clear()
    session.permanent = True
    session["_user_id"] = token
    _forget()


def remember_page(address: str) -> None:
    """Remember the page that this browser came for, until its account is signed in and confirmed."""
    if address and len(json.dumps(address)) <= _MAX_NEXT:
        session[_NEXT] = address


def remember_refused_page() -> None:
    """Remember the requested page for an account that has to confirm its address first, unless it came for another."""
    account = _find()
    if account is not None and account.token and not account.is_member and request.method == "GET":
        remember_page(session.get(_NEXT) or request.full_path.removesuffix("?"))


def remembered_page() -> str:
    """The page that this browser came for; empty if there is none. The caller checks it."""
    address = session.get(_NEXT, "")
    return address if isinstance(address, str) else ""


def forget_remembered_page() -> None:
    """Forget the page, because the browser is sent there now."""
    session.pop(_NEXT, None)


def end_browser_session() -> None:
    """Sign this browser out by emptying its session. The sessions service ends the sign-in itself."""
    session.clear()
    _forget()


def refresh_viewer() -> None:
    """Show this browser the current state of its account from now on, in every worker.

    Call it after changing the viewer's own account: workers cache an account for a second.
    """
    session[_SINCE] = round(time.time(), 3)
    _forget()


def _forget() -> None:
    for name in ("viewer", "unknown_viewer", "_login_user"):
        g.pop(name, None)


def _find() -> SignedIn | None:
    """Ask flask-login, once a request. If the database fails, its error is left in ``g.unknown_viewer``."""
    if "viewer" in g:
        cached: SignedIn | None = g.viewer
        return cached
    g.viewer, g.unknown_viewer = None, None
    if not _has_credentials():
        return None
    try:
        account = current_user._get_current_object()
    except UnavailableError as error:
        g.unknown_viewer = error
        return None
    if not isinstance(account, SignedIn):
        return None
    g.viewer = account
    telemetry.set_user_ref(account.ref)
    return account


def _has_credentials() -> bool:
    """Whether the request has a token or a session cookie; checked first, because opening the session is costly."""
    environ = request.environ
    if "HTTP_AUTHORIZATION" in environ and _bearer(request) is not None:
        return True
    return "HTTP_COOKIE" in environ and current_app.config["SESSION_COOKIE_NAME"] in request.cookies


def _bearer(incoming: Request) -> str | None:
    header = incoming.headers.get("Authorization", "")
    return header[len("bearer ") :].strip() if header[: len(_BEARER)].lower() == _BEARER else None


class _Manager(LoginManager):  # type: ignore[misc]  # flask-login has no types
    """flask-login without its remember cookie, whose hook opens the session of every request, and its protection."""

    def init_app(self, app: Flask, add_context_processor: bool = False) -> None:
        app.login_manager = self  # type: ignore[attr-defined]

    def _session_protection_failed(self) -> bool:
        """Never: ``session_protection`` is off. Even so, flask-login would hash address and browser of each request."""
        return False


def _by_cookie(token: Any) -> SignedIn | None:
    if not isinstance(token, str):
        return None
    since = session.get(_SINCE, 0.0)
    return sessions.load(token, since=since if isinstance(since, float) else 0.0)


def _by_bearer(incoming: Request) -> SignedIn | None:
    token = _bearer(incoming)
    return member_tokens.find_member(token) if token is not None else None


def init_app(app: Flask) -> None:
    """Set up flask-login, the cache of sign-ins, and ``viewer`` in templates.

    The cookie lasts as long as a sign-in can, and is sent again only when it changes.
    """
    app.config.update(
        REMEMBER_COOKIE_NAME=";",  # an impossible name: flask-login would read any cookie that a visitor calls so
        PERMANENT_SESSION_LIFETIME=app.config["CHURCH"].session_lifetime,
        SESSION_REFRESH_EACH_REQUEST=False,
    )
    app.session_interface = SessionCookie()
    sessions.init_app(app)
    manager = _Manager()
    manager.session_protection = None  # phones change their address, browsers their version
    manager.user_loader(_by_cookie)
    manager.request_loader(_by_bearer)
    manager.init_app(app)
    app.context_processor(lambda: {"viewer": viewer()})
