"""Helpers for the forms of this blueprint: read one, show it again with errors, redirect after sending an email."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from flask import Response, jsonify, make_response, redirect, render_template, request
from werkzeug.wrappers import Response as AnyResponse

from church import telemetry
from church.errors import ConflictError, FieldErrors, InvalidError
from church.services.accounts import CredentialsError, ThrottledError
from church.services.email_links import LinkError
from church.services.sessions import Device
from church.web.error_pages import wants_json
from church.web.forms import Fields, read_fields, safe_next
from church.web.responses import View

ACCOUNT = "/auth/account"
LOGIN = "/auth/login"


class FormPage(Protocol):
    """Renders the page of a form."""

    def __call__(self, **context: Any) -> Response:
        """``context`` has the parts of the URL and the form's ``values``, ``errors`` and ``form_error``."""


def request_device() -> Device:
    """Return the device of the current request, as its owner sees it in the list of devices."""
    return Device(address=request.remote_addr or "unknown", user_agent=request.user_agent.string)


@contextmanager
def read_form(kind: str | None = None) -> Iterator[Fields]:
    """Read a form inside the block. Raises InvalidError and FieldErrors, counted as a failed attempt of ``kind``.

    Errors that a service raises afterwards are counted by the service.
    """
    try:
        form = read_fields()
        yield form
        form.check()
    except InvalidError:
        if kind is not None:
            telemetry.track_auth_attempt(kind, "failed_validation")
        raise


def render_form(template: str, **context: Any) -> Response:
    """Render a page with a form."""
    return make_response(render_template(template, **{"values": {}, "errors": {}, "form_error": None, **context}))


def show_again_on_error(show: FormPage, *names: str) -> Callable[[View], View]:
    """Show the form again if the view refuses it, with the errors and with the fields ``names`` as typed.

    API clients get the error as problem+json.
    """

    def decorate(view: View) -> View:
        @functools.wraps(view)
        def wrapper(**url_parts: Any) -> AnyResponse:
            try:
                return view(**url_parts)
            except (FieldErrors, CredentialsError, ConflictError, ThrottledError) as error:
                if wants_json():
                    raise
                errors = error.errors if isinstance(error, FieldErrors) else {}
                response = show(
                    **url_parts,
                    values=read_fields().shown(*names),
                    errors=errors,
                    form_error=None if errors else str(error),
                )
                response.status_code = error.status
                if error.retry_after is not None:
                    response.headers["Retry-After"] = str(error.retry_after)
                return response

        return wrapper

    return decorate


def email_sent_response(what: str, message: str) -> AnyResponse:
    """Answer that an email may have been sent; the answer is the same if none was."""
    return make_response(jsonify(detail=message), 202) if wants_json() else redirect(f"/auth/sent/{what}", 303)


def bad_link_page(template: str, token: str) -> Response:
    """Render ``template`` for an invalid link; API clients get the LinkError itself."""
    if wants_json():
        raise LinkError
    response = render_form(template, token=token, state="bad")
    response.status_code = LinkError.status
    return response


def next_page(target: str) -> str:
    """Return where to go after signing in: ``target`` if it is on this site, else the account page."""
    return safe_next(target) or ACCOUNT
