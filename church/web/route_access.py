"""Who may use a route: declared on every view, refused where nothing is declared."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlencode

from flask import Flask, Response, current_app, make_response, redirect, request
from werkzeug.routing import RequestRedirect

from church import telemetry
from church.config import current_settings
from church.errors import ChurchError, ForbiddenError, UnauthorizedError
from church.models.accounts import Role
from church.services import machine_tokens
from church.services.sessions import SignedIn
from church.web import csrf, identity, rate_limits
from church.web.error_pages import error_response, wants_json
from church.web.proxies import plain_address

if TYPE_CHECKING:
    View = Callable[..., Any]

_V = TypeVar("_V", bound="Callable[..., Any]")
_LOGIN = "/auth/login"
_LONGEST_NEXT = 1000  # characters
_TRIES = "telemetry_api"  # the limit that tokens which are no good count against
_FORWARDED = ("HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "HTTP_X_REAL_IP", "HTTP_VIA")


@dataclass(frozen=True)
class Policy:
    """One kind of caller; ``check`` raises for any other."""

    name: str
    check: Callable[[], None] | None = None


class SignInError(UnauthorizedError):
    """Nobody is signed in: a browser is shown the way to the login, a program gets 401."""

    def __init__(self) -> None:
        super().__init__("Sign in first.")


class TriedTooOftenError(ChurchError):
    """An address has shown more tokens that are no good than a mistake explains; a good one is still heard."""

    status = 429


def _signed_in() -> SignedIn:
    """Who is signed in. Raises SignInError, and 503 while the database can't tell."""
    found = identity.known_viewer()
    if found is None:
        raise SignInError
    return found


def _check_signed_in() -> None:
    _signed_in()


def _check_member() -> None:
    if not _signed_in().is_member:
        raise ForbiddenError("Confirm your email address first. Your account page can send you a new link.")


def _check_admin() -> None:
    found = _signed_in()
    if found.role != Role.ADMIN:
        telemetry.track_security_event("role_probe", "medium", user_ref=found.ref)
        raise ForbiddenError
    _check_member()


EVERYONE = Policy("everyone")
SIGNED_IN = Policy("signed in", _check_signed_in)
"""Whoever has an account, its address confirmed or not."""
MEMBERS = Policy("members", _check_member)
"""Whoever has an account with a confirmed address."""
ADMINS = Policy("admins", _check_admin)
"""Members who look after the site."""


def bearer(scope: str) -> Policy:
    """Callers that show a token with ``scope``; without METRICS_TOKEN, loopback in development too."""
    return Policy(f"bearer {scope}", lambda: _check_bearer(scope))


def _check_bearer(scope: str) -> None:
    shown, own = _shown_bearer(), current_settings().metrics_token
    if own is None and not shown.startswith(machine_tokens.PREFIX):
        if not is_local():
            raise ForbiddenError("Send a token, or set METRICS_TOKEN, to use this from another machine.")
        return
    if not shown:
        raise _refused()
    # METRICS_TOKEN has every scope of these, and is known without a look at the database.
    if own is not None and hmac.compare_digest(_bytes_of(shown), own.get_secret_value().encode()):
        return
    scopes = machine_tokens.scopes_of(shown)
    if scopes is None:
        refusal = _refused()
        if isinstance(refusal, UnauthorizedError):
            telemetry.track_security_event("invalid_token", "medium")
        raise refusal
    if scope not in scopes:
        raise ForbiddenError(f"This token lacks the scope {scope}.")


def _refused() -> ChurchError:
    """Who shows no good token is told so, and after many of them to wait."""
    seconds = rate_limits.take(_TRIES, "refused", rate_limits.client())
    if seconds is None:
        return UnauthorizedError()
    telemetry.track_rate_limit(_TRIES)
    return TriedTooOftenError(retry_after=seconds)


def _shown_bearer() -> str:
    """The token of the request's header; empty where there is none."""
    kind, _, shown = request.headers.get("Authorization", "").partition(" ")
    return shown.strip() if kind.lower() == "bearer" else ""


def _check_dora() -> None:
    """A member's own token is a JSON Web Token, and says who asks."""
    shown = _shown_bearer()
    if current_settings().dora_public:
        return
    if shown and not shown.lower().startswith("eyj"):
        _check_bearer(DORA_SCOPE)
    else:
        _check_admin()


DORA_SCOPE = "dora:read"
DORA = Policy("admins or bearer dora:read", _check_dora)
"""Whoever may see how well is delivered; everyone if ``CHURCH_DORA_PUBLIC``."""


def _bytes_of(header: str) -> bytes:
    """A header as it was sent: WSGI hands its bytes on as Latin-1 (PEP 3333)."""
    return header.encode("latin-1", "replace")


def is_local() -> bool:
    """Whether the caller is on this machine itself; behind a proxy everyone would seem to be, so none is."""
    if any(name in request.environ for name in _FORWARDED):
        return False
    try:
        return plain_address(request.remote_addr or "").is_loopback
    except ValueError:
        return False


def allow(policy: Policy) -> Callable[[_V], _V]:
    """Declare who may use a view."""

    def declare(view: _V) -> _V:
        view.allowed = policy  # type: ignore[attr-defined]
        return view

    return declare


def policy_of(view: Callable[..., Any]) -> Policy | None:
    """What ``view`` declares, if anything."""
    found: Policy | None = getattr(view, "allowed", None)
    return found


def _redirect_to_path() -> Response | None:
    """Redirect to the address with or without a slash, by its path alone.

    Werkzeug builds it from the Host header, which a stranger chooses. Flask hands it to no error handler.
    """
    error = request.routing_exception
    if not isinstance(error, RequestRedirect):
        return None
    path = error.new_url.split("://", 1)[-1].partition("/")[2]
    return make_response(redirect("/" + path.lstrip("/\\"), error.code))


def _guard() -> Response | None:
    if request.endpoint is None:
        return _redirect_to_path()
    if request.method not in csrf.SAFE_METHODS:
        csrf.check(request.endpoint)
    policy = policy_of(current_app.view_functions[request.endpoint])
    if policy is None:
        raise ForbiddenError(f"{request.endpoint} does not declare who may use it: decorate it with @allow(...).")
    if policy.check is not None:
        policy.check()
    return None


def _on_stranger(error: SignInError) -> Response:
    """To the login, and back here if here is a page; whoever speaks JSON, or showed a token, is told 401 instead."""
    if wants_json() or request.headers.get("Authorization", "").lower().startswith("bearer "):
        return error_response(error.status, error.detail)
    here = quote(request.path)
    if query := request.query_string:
        here += "?" + query.decode("latin-1")
    comes_back = request.method in {"GET", "HEAD"} and len(here) <= _LONGEST_NEXT
    return make_response(redirect(f"{_LOGIN}?{urlencode({'next': here})}" if comes_back else _LOGIN, 303))


def init_app(app: Flask) -> None:
    """Check every request against its view's declaration; static files are everyone's."""
    app.register_error_handler(SignInError, _on_stranger)
    app.view_functions["static"] = allow(EVERYONE)(app.view_functions["static"])
    app.before_request(_guard)
