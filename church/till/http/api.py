"""The API's frame: the key, one transaction a call, repeated answers, lists, expansion, errors.

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

from church.till.desk import Desk, desk
from church.till.http.errors import AttemptError, DownError, IdempotencyError, KeyRefusedError, TillError
from church.till.http.expand import expand
from church.till.http.params import Params, decode
from church.till.shapes import API_VERSION
from church.till.store import Obj

Handler = Callable[..., Obj]
_handlers: list[tuple[str, str, Handler]] = []


def endpoint(method: str, rule: str) -> Callable[[Handler], Handler]:
    """Serve what is decorated at ``rule`` below /v1; it gets the desk, the parameters, and the ids of the rule."""

    def add(handler: Handler) -> Handler:
        _handlers.append((method, rule, handler))
        return handler

    return add


def blueprint(key: str) -> Blueprint:
    """All endpoints that are known by now, guarded by ``key``."""
    bp = Blueprint("api", __name__, url_prefix="/v1")

    @bp.before_request
    def guard() -> None:
        _check_key(key)
        _check_version()
        with desk().store.transaction():
            down, delay = desk().store.knob("api_down"), float(desk().store.knob("api_delay", "0"))
        time.sleep(delay)
        if down:
            raise DownError("The operator of the test till has switched its API off.")

    for method, rule, handler in _handlers:
        bp.add_url_rule(rule, f"{method} {rule}", _view(handler), methods=[method])
    bp.register_error_handler(TillError, _refuse)
    bp.after_request(_label)
    return bp


def init_app(app: Flask, key: str) -> None:
    """Serve it; what goes wrong below /v1 without us is told in the API's words too."""
    app.register_blueprint(blueprint(key))

    def explain(error: HTTPException) -> Any:
        if not request.path.startswith("/v1/"):
            return error
        if error.code == 500:
            return DownError("The test till failed; its console says why.").body(), 500
        return TillError(f"Unrecognized request URL ({request.method}: {request.path}).").body(), error.code

    app.register_error_handler(HTTPException, explain)


def _check_key(key: str) -> None:
    given = request.authorization
    sent = (given.token if given.type == "bearer" else given.username) if given else None
    if not sent:
        raise KeyRefusedError("You did not provide an API key. Send it as a bearer token or as basic's user name.")
    if not hmac.compare_digest(sent.encode(), key.encode()):
        raise KeyRefusedError(f"Invalid API Key provided: {sent[:8]}***", "api_key_invalid")


def _check_version() -> None:
    version = request.headers.get("Stripe-Version", API_VERSION)
    if version != API_VERSION:
        raise TillError(f"Invalid Stripe API version: {version}. The test till speaks {API_VERSION}.")


def _view(handler: Handler) -> Callable[..., Response]:
    def view(**ids: str) -> Response:
        raw = request.get_data()  # before the transaction: it may have to be waited for
        fields = decode([*request.args.items(multi=True), *request.form.items(multi=True)])
        fingerprint = hashlib.sha256(request.full_path.encode() + b"\n" + raw).hexdigest()
        key = request.headers.get("Idempotency-Key") if request.method == "POST" else None
        with desk().store.transaction():
            if key and (known := _known(desk(), key, fingerprint)):
                return known
            status, body = _done(desk(), handler, fields, ids, key)
            if key:
                row = (key, fingerprint, status, body, _request_id())
                desk().store.execute("INSERT INTO replies VALUES (?, ?, ?, ?, ?)", *row)
        return Response(body, status, mimetype="application/json")

    return view


def _done(till: Desk, handler: Handler, fields: Obj, ids: dict[str, str], key: str | None) -> tuple[int, str]:
    params = Params(fields)
    till.request = (_request_id(), key)
    try:
        found = handler(till, params, **ids)
    except AttemptError as error:
        return error.status, json.dumps(error.body())
    finally:
        till.request = (None, None)
    return 200, json.dumps(expand(till, found, params.texts("expand")), indent=2)


def _known(till: Desk, key: str, fingerprint: str) -> Response | None:
    rows = till.store.execute("SELECT fingerprint, status, body, request FROM replies WHERE key = ?", key)
    if not rows:
        return None
    before, status, body, original = rows[0]
    if before != fingerprint:
        raise IdempotencyError(
            "Keys for idempotent requests can only be used with the same parameters they were first used with."
        )
    replay = {"Idempotent-Replayed": "true", "Original-Request": original}
    return Response(body, status, replay, mimetype="application/json")


def _refuse(error: TillError) -> tuple[dict[str, Any], int]:
    return error.body(), error.status


def _request_id() -> str:
    made: str = request.environ.setdefault("till.request_id", f"req_{secrets.token_hex(7)}")
    return made


def _label(response: Response) -> Response:
    response.headers["Request-Id"] = _request_id()
    response.headers["Stripe-Version"] = API_VERSION
    response.headers["Cache-Control"] = "no-store"
    if response.status_code < 500:
        response.headers["Stripe-Should-Retry"] = "false"
    return response
