"""What the rooms share: the way to Stripe's pages, and what is told when it does not work.

The same addresses serve people and programs: the answer is JSON for who prefers it, or sent JSON.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from flask import Response, flash, jsonify, make_response, redirect, render_template
from werkzeug.wrappers import Response as AnyResponse

from church.errors import ConflictError, FieldErrors
from church.services import billing
from church.web import headers
from church.web.error_pages import wants_json
from church.web.responses import View

PRICING = "/stripe/pricing"
ACCOUNT = "/auth/account"


def page(template: str, **context: Any) -> Response:
    """A page whose forms may end at Stripe."""
    headers.forms_lead_to(billing.payment_origins())
    return make_response(render_template(template, **context))


def onward(address: str) -> AnyResponse:
    """To a page of Stripe's. One at an address of the operator's own is gone to by a page: no policy names it."""
    if wants_json():
        return jsonify(url=address)
    parts = urlsplit(address)
    if f"{parts.scheme}://{parts.netloc}" in billing.payment_origins():
        return redirect(address, 303)
    return make_response(render_template("stripe/onward.html", address=address))


def told(to: str) -> Callable[[View], View]:
    """Tell a person at ``to`` why it could not be done; programs get the error itself, as problem+json."""

    def decorate(view: View) -> View:
        @functools.wraps(view)
        def guarded(**address: Any) -> AnyResponse:
            try:
                return view(**address)
            except (ConflictError, FieldErrors) as error:
                if wants_json():
                    raise
                words = " ".join(error.errors.values()) if isinstance(error, FieldErrors) else str(error)
                flash(words, "error")
                return redirect(to, 303)

        return guarded

    return decorate
