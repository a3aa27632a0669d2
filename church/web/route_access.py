"""Access rules of routes: every view declares who may use it, and a view without a rule is refused."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Container
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlencode

from flask import Flask, Response, current_app, make_response, redirect, request
from werkzeug.routing import RequestRedirect

from church import telemetry
from church.config import current_settings
from church.errors import ChurchError, ForbiddenError, UnauthorizedError
from church.lib.network.addresses import parse_address
from church.models.accounts import Role
from church.services import machine_tokens
from church.services.sessions import SignedIn
from church.web import csrf, identity, rate_limits
from church.web.error_pages import error_response, wants_json
from church.web.origins import is_sent_to_own_host

if TYPE_CHECKING:
    View = Callable[..., Any]

_V = TypeVar("_V", bound="Callable[..., Any]")
_LOGIN = "/auth/login"
_MAX_NEXT = 1000  # characters
_TRIES = "telemetry_api"  # the limit that invalid tokens count against
_FORWARDED = ("X-FORWARDED-FOR", "FORWARDED", "X-REAL-IP", "VIA")


@dataclass(frozen=True)
class Policy:
    """A rule for who may use a route. ``check`` raises an error for other callers."""

    name: str
    check: Callable[[], None] | None = None


class SignInError(UnauthorizedError):
    """The caller is not signed in. A browser is redirected to the sign-in page, a program gets 401."""

    def __init__(self) -> None:
        super().__init__("Sign in first.")


class UnconfirmedError(ForbiddenError):
    """The caller is signed in, and has not confirmed the email address."""

    def __init__(self) -> None:
        super().__init__("Confirm your email address first. Your account page can send you a new link.")


class TooManyTokensError(ChurchError):
    """An address has sent too many invalid tokens. A valid one still works."""

    status = 429


def _signed_in() -> SignedIn:
    """The signed-in account. Raises SignInError, and 503 while the database can't tell."""
    account = identity.viewer_or_unavailable()
    if account is None:
        raise SignInError
    return account


def _check_signed_in() -> None:
    _signed_in()


def _check_member() -> None:
    if not _signed_in().is_member:
        if not wants_json():
            identity.remember_refused_page()
        raise UnconfirmedError


def _check_admin() -> None:
    account = _signed_in()
    if account.role != Role.ADMIN:
        telemetry.track_security_event("role_probe", "medium", user_ref=account.ref)
        raise ForbiddenError
    _check_member()


EVERYONE = Policy("everyone")
SIGNED_IN = Policy("signed in", _check_signed_in)
"""Accounts, with a confirmed address or without."""
MEMBERS = Policy("members", _check_member)
"""Accounts with a confirmed address."""
ADMINS = Policy("admins", _check_admin)
"""Members with the role admin."""


def bearer(scope: str) -> Policy:
    """Callers with a token that has ``scope``. Without METRICS_TOKEN, callers on this machine may send none."""
    return Policy(f"bearer {scope}", lambda: _check_bearer(scope))


def _check_bearer(scope: str) -> None:
    token, metrics_token = _bearer_token(), current_settings().metrics_token
    if metrics_token is None and "Authorization" not in request.headers:
        _check_open_to_this_machine()
        return
    if not token:
        raise _refusal()
    # METRICS_TOKEN has every scope, and is checked without the database.
    if metrics_token is not None and hmac.compare_digest(_bytes_of(token), metrics_token.get_secret_value().encode()):
        return
    scopes = machine_tokens.find_scopes(token)
    if scopes is None:
        refusal = _refusal()
        if isinstance(refusal, UnauthorizedError):
            telemetry.track_security_event("invalid_token", "medium")
        raise refusal
    if scope not in scopes:
        raise ForbiddenError(f"This token lacks the scope {scope}.")


def _check_open_to_this_machine() -> None:
    """Let programs of this machine in, but no page whose host name was pointed at it."""
    if not is_local():
        raise ForbiddenError("Send a token, or set METRICS_TOKEN, to use this from another machine.")
    if not is_sent_to_own_host():
        raise ForbiddenError("Without METRICS_TOKEN, use this by localhost or by the address in CHURCH_SITE_URL.")


def _refusal() -> ChurchError:
    """The error for an invalid or missing token: 401, or 429 after too many of them."""
    seconds = rate_limits.count_client(current_app, _TRIES, request.remote_addr or "", purpose="refused")
    if seconds is None:
        return UnauthorizedError()
    telemetry.track_rate_limit(_TRIES)
    return TooManyTokensError(retry_after=seconds)


def _bearer_token() -> str:
    """The bearer token of the request; empty if there is none."""
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""


def _check_dora() -> None:
    """A JSON Web Token (``eyJ…``) belongs to a member, whose role decides. Any other token needs the scope."""
    if current_settings().dora_public:
        return
    token = _bearer_token()
    if token and not token.lower().startswith("eyj"):
        _check_bearer(DORA_SCOPE)
    else:
        _check_admin()


DORA_SCOPE = "dora:read"
DORA = Policy("admins or bearer dora:read", _check_dora)
"""Callers who may see the DORA page: everyone if ``CHURCH_DORA_PUBLIC`` is on."""


def _bytes_of(header: str) -> bytes:
    """The bytes of a header as they were sent: WSGI decodes them as Latin-1 (PEP 3333)."""
    return header.encode("latin-1", "replace")


def is_local() -> bool:
    """Whether the caller is on this machine. Behind a proxy everyone would seem to be, so the answer is no."""
    fields = {field for field in _FORWARDED if f"HTTP_{field.replace('-', '_')}" in request.environ}
    return is_local_address(request.remote_addr or "", fields)


def is_local_address(client: str, fields: Container[str]) -> bool:
    """Like ``is_local``, of the client at an address who sent these header ``fields``, by their names in capitals."""
    return not any(field in fields for field in _FORWARDED) and _is_loopback(client)


@lru_cache(maxsize=256)
def _is_loopback(address: str) -> bool:
    try:
        return parse_address(address).is_loopback
    except ValueError:
        return False


def allow(policy: Policy) -> Callable[[_V], _V]:
    """Decorate a view with the rule for who may use it."""

    def declare(view: _V) -> _V:
        view.allowed = policy  # type: ignore[attr-defined]
        return view

    return declare


def policy_of(view: Callable[..., Any]) -> Policy | None:
    """The rule that ``view`` declares, or None."""
    policy: Policy | None = getattr(view, "allowed", None)
    return policy


def _redirect_to_path() -> Response | None:
    """Redirect to the URL with or without its final slash, by path only.

    Werkzeug builds an absolute URL from the Host header, which the client chooses, and Flask passes this redirect to no
    error handler.
    """
    error = request.routing_exception
    if not isinstance(error, RequestRedirect):
        return None
    path = error.new_url.split("://", 1)[-1].partition("/")[2]
    return make_response(redirect("/" + path.lstrip("/\\"), error.code))


def _guard() -> Response | None:
    """Check a request before its view: CSRF if it changes something, then the view's rule."""
    if request.endpoint is None:
        return _redirect_to_path()
    if request.method not in csrf.SAFE_METHODS:
        csrf.check_csrf(request.endpoint)
    policy = policy_of(current_app.view_functions[request.endpoint])
    if policy is None:
        raise ForbiddenError(f"{request.endpoint} does not declare who may use it: decorate it with @allow(...).")
    if policy.check is not None:
        policy.check()
    return None


def answer_signed_out(error: SignInError) -> Response:
    """Redirect to the sign-in page, and from there back to a page; a client of JSON or with a token gets 401."""
    if wants_json() or request.headers.get("Authorization", "").lower().startswith("bearer "):
        return error_response(error.status, error.detail)
    here = quote(request.path)
    if query := request.query_string:
        here += "?" + query.decode("latin-1")
    can_return = request.method in {"GET", "HEAD"} and len(here) <= _MAX_NEXT
    return make_response(redirect(f"{_LOGIN}?{urlencode({'next': here})}" if can_return else _LOGIN, 303))


def init_app(app: Flask) -> None:
    """Check every request against its view's rule. Static files are open to everyone."""
    app.register_error_handler(SignInError, answer_signed_out)
    app.view_functions["static"] = allow(EVERYONE)(app.view_functions["static"])
    app.before_request(_guard)
