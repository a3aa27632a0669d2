"""What the blueprints answer alike: who asks, that something is done, and what a service shows of something.

The same addresses serve people and programs: the answer is JSON for who prefers it, or sent JSON.
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
from church.web.identity import viewer
from church.web.route_access import SignInError

View = Callable[..., AnyResponse]


def signed_in() -> SignedIn:
    """Whoever is signed in, in a view whose policy lets nobody else in."""
    found = viewer()
    if found is None:
        raise SignInError
    return found


def actor() -> Actor:
    """Who does it, for the audit log; a stranger has an address and no number."""
    person = viewer()
    return Actor(person.user_id if person is not None else None, "web", request.remote_addr)


def done(words: str, to: str, **data: Any) -> Response:
    """It is done: a person goes to ``to`` and reads so there, a program is told here, with ``data``."""
    if wants_json():
        return jsonify({"detail": words, **as_data(data)})
    flash(words, "success")
    return make_response(redirect(to, 303))


def as_data(value: Any) -> Any:
    """``value`` as JSON can say it: dataclasses as objects, times in ISO 8601, enumerations by their value."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: as_data(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {str(as_data(key)): as_data(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_data(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return value.value if isinstance(value, Enum) else value


def keep_private(response: Response) -> Response:
    """Let nobody keep the answer: it says who asks, or holds the token of a form."""
    response.headers["Cache-Control"] = "private, no-store"
    response.vary.update(("Accept", "Cookie"))
    return response
