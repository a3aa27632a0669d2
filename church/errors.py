"""What can go wrong on purpose, and how it is told: one HTML page, or RFC 9457 problem+json.

ChurchError
├── UnavailableError   503, something that the site leans on does not answer
│   └── BusyError      503, the site has more of this under way than it takes on
├── ForbiddenError     403, the reader may not
├── UnauthorizedError  401, the caller has not shown who it is
├── ConflictError      409, what is asked for does not go with how things are
└── InvalidError       400, the input is wrong and says how
    └── FieldErrors    422, fields of a form are wrong, and each says how
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING

from flask import Response, current_app, jsonify, make_response, redirect, render_template, request
from werkzeug.exceptions import HTTPException, InternalServerError
from werkzeug.routing import RequestRedirect

from church import telemetry

if TYPE_CHECKING:
    from flask import Flask

log = logging.getLogger("church.errors")

# Told to people: what happened and what they can do. The HTTP phrase is the title.
_WORDS = {
    400: "The request could not be understood. Go back and try once more.",
    401: "This needs a key that was not shown, or that is no longer good.",
    403: "This is not open to you.",
    404: "There is nothing at this address. It may have moved, or the link has a slip in it.",
    405: "This address does not take that kind of request.",
    408: "The request took too long to arrive.",
    409: "That does not go together with how things are now.",
    413: "What was sent is larger than this site takes.",
    415: "This kind of content is not taken here.",
    422: "Some of what was filled in needs another look.",
    429: "That was a lot at once. Wait a little, then go on.",
    500: "Something broke on our side. It has been written down; quote the number below if you ask about it.",
    503: "The site cannot answer this right now. Please come back in a moment.",
}


class ChurchError(Exception):
    """Root of the errors that the site raises on purpose; ``detail`` is shown to the visitor."""

    status = 500

    def __init__(self, detail: str | None = None, *, retry_after: int | None = None) -> None:
        super().__init__(detail or _WORDS.get(self.status, ""))
        self.detail = detail
        self.retry_after = retry_after

    @property
    def reason(self) -> str:
        """For the log, which no visitor reads."""
        return type(self).__name__


class UnavailableError(ChurchError):
    """Something that the site leans on does not answer; try again after ``retry_after`` seconds."""

    status = 503

    def __init__(self, detail: str | None = None, *, retry_after: int | None = 5) -> None:
        super().__init__(detail, retry_after=retry_after)


class BusyError(UnavailableError):
    """As much of this as the site takes on is under way; a moment later there is room."""

    def __init__(self, detail: str | None = None, *, retry_after: int | None = 2) -> None:
        super().__init__(detail, retry_after=retry_after)


class ForbiddenError(ChurchError):
    """The caller is known well enough, and may not."""

    status = 403


class UnauthorizedError(ChurchError):
    """The caller has not shown who it is, or not well enough: nothing, or a password or token that is no good."""

    status = 401


class ConflictError(ChurchError):
    """Understood and allowed, and it can't be done as things are; ``detail`` says what stands against it."""

    status = 409


class InvalidError(ChurchError):
    """The input is wrong; ``detail`` says how."""

    status = 400


class FieldErrors(InvalidError):  # noqa: N818 - it is many
    """Fields of a form are wrong; ``errors`` says of each by its name how, in words for whoever filled it in."""

    status = 422

    def __init__(self, errors: dict[str, str], detail: str | None = None) -> None:
        super().__init__(detail)
        self.errors = errors


def wants_json() -> bool:
    """Whether the client prefers JSON to a page; a tie is a page, or JSON where JSON was sent."""
    accept = request.accept_mimetypes
    page, machine = accept["text/html"], max(accept["application/json"], accept["application/problem+json"])
    return machine > page or (machine == page and request.mimetype == "application/json")


def error_response(
    status: int, detail: str | None = None, retry_after: int | None = None, errors: Mapping[str, str] | None = None
) -> Response:
    """The one shape of every error: page or problem+json, with the request id and without a cause.

    ``errors`` are those of single fields; a page that has the form shows them beside it instead.
    """
    title = HTTPStatus(status).phrase
    facts = {"status": status, "title": title, "detail": detail or _WORDS.get(status, "")}
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


def _on_http(error: HTTPException) -> Response:
    if error.code is None or error.code < 400:
        return make_response(error.get_response())
    limit_reset = getattr(error, "retry_after", None)
    retry_after = int(limit_reset) if isinstance(limit_reset, (int, float)) else None
    response = error_response(error.code, retry_after=retry_after)
    for name, value in error.get_headers():
        if name in {"Allow", "Content-Range"}:
            response.headers[name] = value
    return response


def _redirect_here() -> Response | None:
    """Werkzeug builds a slash redirect from the Host header, which a stranger chooses: keep its path alone.

    Flask hands such an answer to no error handler.
    """
    error = request.routing_exception
    if not isinstance(error, RequestRedirect):
        return None
    path = error.new_url.split("://", 1)[-1].partition("/")[2]
    return make_response(redirect("/" + path.lstrip("/\\"), error.code))


def _on_church(error: ChurchError) -> Response:
    if error.status == 500:
        log.error("failed", extra={"event": "error.failed", "reason": type(error.__cause__ or error).__name__})
    elif error.status > 500:
        log.warning("unavailable", extra={"event": "error.unavailable", "reason": error.reason})
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
    """Register the handlers of every error on ``app``."""
    app.log_exception = lambda exc_info: None  # type: ignore[method-assign]  # _on_unexpected logs it, once
    app.before_request(_redirect_here)
    app.register_error_handler(HTTPException, _on_http)
    app.register_error_handler(ChurchError, _on_church)
    app.register_error_handler(InternalServerError, _on_unexpected)
