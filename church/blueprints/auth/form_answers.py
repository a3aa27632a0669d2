"""What the rooms share: reading a form, showing it again with what is wrong, saying that a mail may be on its way."""

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
from church.services.accounts.passwords import LONGEST
from church.services.email_links import LinkError
from church.services.sessions import Device
from church.web.error_pages import wants_json
from church.web.forms import Fields, fields, safe_next
from church.web.responses import View

PASSWORD_MOST = LONGEST
"""Characters of a password that are read at all."""
ACCOUNT = "/auth/account"
LOGIN = "/auth/login"


class Page(Protocol):
    """Shows a form."""

    def __call__(self, **context: Any) -> Response:
        """``context`` is what the address holds, and what came of the form: ``values``, ``errors``, ``form_error``."""


def device() -> Device:
    """What the request under way comes from, as its owner will read it in the list of devices."""
    return Device(address=request.remote_addr or "unknown", user_agent=request.user_agent.string)


@contextmanager
def parsed(kind: str | None = None) -> Iterator[Fields]:
    """What was sent; the block reads it. Raises InvalidError and FieldErrors, each one failed attempt of ``kind``.

    What a service says of it afterwards, the service counts.
    """
    try:
        found = fields()
        yield found
        found.check()
    except InvalidError:
        if kind is not None:
            telemetry.track_auth_attempt(kind, "failed_validation")
        raise


def page(template: str, **context: Any) -> Response:
    """A page with a form."""
    return make_response(render_template(template, **{"values": {}, "errors": {}, "form_error": None, **context}))


def shown_again(show: Page, *names: str) -> Callable[[View], View]:
    """Answer a person whose form can't be taken with the form: ``names`` as they were typed, and what is wrong.

    Programs get the error itself, as problem+json.
    """

    def decorate(view: View) -> View:
        @functools.wraps(view)
        def guarded(**address: Any) -> AnyResponse:
            try:
                return view(**address)
            except (FieldErrors, CredentialsError, ConflictError, ThrottledError) as error:
                if wants_json():
                    raise
                errors = error.errors if isinstance(error, FieldErrors) else {}
                response = show(
                    **address, values=fields().shown(*names), errors=errors, form_error=None if errors else str(error)
                )
                response.status_code = error.status
                if error.retry_after is not None:
                    response.headers["Retry-After"] = str(error.retry_after)
                return response

        return guarded

    return decorate


def sent(what: str, words: str) -> AnyResponse:
    """A mail may be on its way; the answer is the same whether one is."""
    return make_response(jsonify(detail=words), 202) if wants_json() else redirect(f"/auth/sent/{what}", 303)


def bad_link(template: str, token: str) -> Response:
    """The page of ``template`` on a link that opens nothing; programs get the LinkError itself."""
    if wants_json():
        raise LinkError
    response = page(template, token=token, state="bad")
    response.status_code = LinkError.status
    return response


def way_on(asked: str) -> str:
    """Where somebody who has signed in goes: to ``asked`` if that is on this site, else to the account."""
    return safe_next(asked) or ACCOUNT
