"""Render errors: one HTML page, or RFC 9457 problem+json for clients that prefer JSON."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING

from flask import Response, current_app, jsonify, make_response, render_template, request
from werkzeug.datastructures import MIMEAccept
from werkzeug.exceptions import HTTPException, InternalServerError
from werkzeug.http import parse_accept_header

from church import telemetry
from church.errors import MESSAGES, ChurchError, FieldErrors

if TYPE_CHECKING:
    from flask import Flask

log = logging.getLogger("church.errors")


def wants_json() -> bool:
    """Whether the client prefers JSON to HTML. On a tie, JSON only if the request's body is JSON."""
    html, machine = _weigh(request.environ.get("HTTP_ACCEPT", ""))
    return machine > html or (machine == html and request.mimetype == "application/json")


@lru_cache(maxsize=256)
def _weigh(accept: str) -> tuple[float, float]:
    """How much the header Accept likes HTML, and JSON."""
    accepted = parse_accept_header(accept, MIMEAccept)
    return accepted["text/html"], max(accepted["application/json"], accepted["application/problem+json"])


def error_response(
    status: int, detail: str | None = None, retry_after: int | None = None, errors: Mapping[str, str] | None = None
) -> Response:
    """Build the answer for any error: an HTML page or problem+json, with the request ID and no internal cause.

    ``errors`` maps field names to messages. Only JSON includes them: a page shows them beside its form.
    """
    title = HTTPStatus(status).phrase
    facts = {"status": status, "title": title, "detail": detail or MESSAGES.get(status, "")}
    if wants_json():
        fields = {"errors": errors} if errors else {}
        response = jsonify(type="about:blank", request_id=telemetry.request_id(), **facts, **fields)
        response.content_type = "application/problem+json"
    else:
        response = make_response(
            render_template("errors/error.html", request_id=telemetry.request_id(), retry_after=retry_after, **facts)
        )
    response.status_code = status
    response.headers["Cache-Control"] = "no-store"
    if retry_after is not None:
        response.headers["Retry-After"] = str(retry_after)
    if status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _on_http_error(error: HTTPException) -> Response:
    if error.code is None or error.code < 400:
        return make_response(error.get_response())
    limit_reset = getattr(error, "retry_after", None)
    retry_after = int(limit_reset) if isinstance(limit_reset, (int, float)) else None
    response = error_response(error.code, retry_after=retry_after)
    for name, value in error.get_headers():
        if name in {"Allow", "Content-Range"}:
            response.headers[name] = value
    return response


def _on_church_error(error: ChurchError) -> Response:
    if error.status == 500:
        log.error("request failed", extra={"event": "error.failed", "reason": type(error.__cause__ or error).__name__})
    elif error.status > 500:
        log.warning("dependency unavailable", extra={"event": "error.unavailable", "reason": error.reason})
    errors = error.errors if isinstance(error, FieldErrors) else None
    return error_response(error.status, error.detail, error.retry_after, errors)


def _on_unexpected(error: Exception) -> Response:
    original = getattr(error, "original_exception", None) or error
    log.error("unexpected error", exc_info=original, extra={"event": "error.unexpected"})
    telemetry.track_security_event("unexpected_error", "low")
    if current_app.testing and current_app.config.get("RAISE_UNEXPECTED"):
        raise original
    return error_response(500)


def init_app(app: Flask) -> None:
    """Register a handler for every error on ``app``."""
    app.log_exception = lambda exc_info: None  # type: ignore[method-assign]  # _on_unexpected logs it, once
    app.register_error_handler(HTTPException, _on_http_error)
    app.register_error_handler(ChurchError, _on_church_error)
    app.register_error_handler(InternalServerError, _on_unexpected)
