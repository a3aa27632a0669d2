"""The blueprint, and what all of its answers have in common."""

from __future__ import annotations

from flask import Blueprint, Response, request

from church.web.responses import keep_private

bp = Blueprint("auth", __name__, url_prefix="/auth")
bp.after_request(keep_private)


@bp.after_request
def _keep_links(response: Response) -> Response:
    """The address of a mailed link is told to no other site.

    ``same-origin`` and not ``no-referrer``: with that a form would be sent from the origin "null".
    """
    if "token" in (request.view_args or {}):
        response.headers["Referrer-Policy"] = "same-origin"
    return response
