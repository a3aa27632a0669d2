"""Helpers that views of all blueprints share: the current account, answers after a change, JSON.

The same URLs serve browsers and programs: a client that prefers JSON, or sent JSON, gets JSON.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from flask import Response, flash, jsonify, make_response, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from church.services.audit import Actor
from church.services.sessions import SignedIn
from church.web.error_pages import wants_json
from church.web.headers import add_vary
from church.web.identity import viewer
from church.web.route_access import SignInError

View = Callable[..., AnyResponse]


def require_account() -> SignedIn:
    """The signed-in account, for views that require one. Raises SignInError."""
    account = viewer()
    if account is None:
        raise SignInError
    return account


def current_actor() -> Actor:
    """The viewer as the audit log names them: account number, if they are signed in, and IP address."""
    account = viewer()
    return Actor(account.user_id if account is not None else None, "web", request.remote_addr)


def respond_done(message: str, to: str, **data: Any) -> Response:
    """Answer a successful change: a browser is redirected to ``to`` and shown a message, a program gets JSON."""
    if wants_json():
        return jsonify({"detail": message, **to_json_data(data)})
    flash(message, "success")
    return make_response(redirect(to, 303))


def to_json_data(value: Any) -> Any:
    """Convert ``value`` for JSON: dataclasses become objects, times ISO 8601 text, enumerations their value."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_json_data(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {str(to_json_data(key)): to_json_data(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_json_data(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return value.value if isinstance(value, Enum) else value


def keep_private(response: Response) -> Response:
    """Forbid caches to keep the response: it shows the viewer's account, or holds the token of a form."""
    response.headers["Cache-Control"] = "private, no-store"
    add_vary(response, "Accept", "Cookie")
    return response
