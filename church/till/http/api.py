"""Serve the API: check the key, run one transaction a call, repeat replies to repeated calls, render errors.

Sources: https://docs.stripe.com/api/authentication, /idempotent_requests, /pagination, /expanding_objects
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable
from typing import Any

from flask import Blueprint, Flask, Response, request
from werkzeug.exceptions import HTTPException

from church.till.desk import Till, current_till
from church.till.http.errors import ApiDownError, ApiKeyError, IdempotencyError, RecordedCardError, TillError
from church.till.http.expand import expand_paths
from church.till.http.params import Params, decode
from church.till.shapes import API_VERSION
from church.till.store import Obj

Handler = Callable[..., Obj]
_handlers: list[tuple[str, str, Handler]] = []


def endpoint(method: str, rule: str) -> Callable[[Handler], Handler]:
    """Serve the function at ``rule`` below /v1; it gets the till, the parameters, and the ids in the rule."""

    def add(handler: Handler) -> Handler:
        _handlers.append((method, rule, handler))
        return handler

    return add


def make_blueprint(key: str) -> Blueprint:
    """Return a blueprint with all endpoints that are registered, protected by ``key``."""
    bp = Blueprint("api", __name__, url_prefix="/v1")

    @bp.before_request
    def guard() -> None:
        _check_key(key)
        _check_version()
        with current_till().store.transaction():
            down, delay = (
                current_till().store.get_knob("api_down"),
                float(current_till().store.get_knob("api_delay", "0")),
            )
        time.sleep(delay)
        if down:
            raise ApiDownError("The operator of the test till has switched off its API.")

    for method, rule, handler in _handlers:
        bp.add_url_rule(rule, f"{method} {rule}", _view(handler), methods=[method])
    bp.register_error_handler(TillError, _render_error)
    bp.after_request(_add_headers)
    return bp


def init_app(app: Flask, key: str) -> None:
    """Register the API; Flask's own errors below /v1 become error objects of the API too."""
    app.register_blueprint(make_blueprint(key))

    def render(error: HTTPException) -> Any:
        if not request.path.startswith("/v1/"):
            return error
        if error.code == 500:
            return ApiDownError("The test till failed; its console has the error.").body(), 500
        return TillError(f"Unrecognized request URL ({request.method}: {request.path}).").body(), error.code

    app.register_error_handler(HTTPException, render)


def _check_key(key: str) -> None:
    header = request.authorization
    sent = (header.token if header.type == "bearer" else header.username) if header else None
    if not sent:
        raise ApiKeyError(
            "You did not provide an API key. Send it as a bearer token or as the user name of basic authentication."
        )
    if not hmac.compare_digest(sent.encode(), key.encode()):
        raise ApiKeyError(f"Invalid API Key provided: {sent[:8]}***", "api_key_invalid")


def _check_version() -> None:
    version = request.headers.get("Stripe-Version", API_VERSION)
    if version != API_VERSION:
        raise TillError(f"Invalid Stripe API version: {version}. The test till speaks {API_VERSION}.")


def _view(handler: Handler) -> Callable[..., Response]:
    def view(**ids: str) -> Response:
        raw = request.get_data()  # before the transaction, since the body may arrive slowly
        fields = decode([*request.args.items(multi=True), *request.form.items(multi=True)])
        fingerprint = hashlib.sha256(request.full_path.encode() + b"\n" + raw).hexdigest()
        key = request.headers.get("Idempotency-Key") if request.method == "POST" else None
        with current_till().store.transaction():
            if key and (reply := _stored_reply(current_till(), key, fingerprint)):
                return reply
            status, body = _call(current_till(), handler, fields, ids, key)
            if key:
                row = (key, fingerprint, status, body, _request_id())
                current_till().store.execute("INSERT INTO replies VALUES (?, ?, ?, ?, ?)", *row)
        return Response(body, status, mimetype="application/json")

    return view


def _call(till: Till, handler: Handler, fields: Obj, ids: dict[str, str], key: str | None) -> tuple[int, str]:
    params = Params(fields)
    till.request = (_request_id(), key)
    try:
        answer = handler(till, params, **ids)
    except RecordedCardError as error:
        return error.status, json.dumps(error.body())
    finally:
        till.request = (None, None)
    return 200, json.dumps(expand_paths(till, answer, params.texts("expand")), indent=2)


def _stored_reply(till: Till, key: str, fingerprint: str) -> Response | None:
    rows = till.store.execute("SELECT fingerprint, status, body, request FROM replies WHERE key = ?", key)
    if not rows:
        return None
    first_fingerprint, status, body, original = rows[0]
    if first_fingerprint != fingerprint:
        raise IdempotencyError(
            "Keys for idempotent requests can only be used with the same parameters they were first used with."
        )
    replay = {"Idempotent-Replayed": "true", "Original-Request": original}
    return Response(body, status, replay, mimetype="application/json")


def _render_error(error: TillError) -> tuple[dict[str, Any], int]:
    return error.body(), error.status


def _request_id() -> str:
    request_id: str = request.environ.setdefault("till.request_id", f"req_{secrets.token_hex(7)}")
    return request_id


def _add_headers(response: Response) -> Response:
    response.headers["Request-Id"] = _request_id()
    response.headers["Stripe-Version"] = API_VERSION
    response.headers["Cache-Control"] = "no-store"
    if response.status_code < 500:
        response.headers["Stripe-Should-Retry"] = "false"
    return response
