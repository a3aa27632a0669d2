"""The blueprint, and what all of its answers have in common."""

from __future__ import annotations

from flask import Blueprint, Response, request

bp = Blueprint("auth", __name__, url_prefix="/auth")


@bp.after_request
def _keep_private(response: Response) -> Response:
    """Nobody keeps these pages, and the address of a mailed link is told to no other site.

    ``same-origin`` and not ``no-referrer``: with that a form would be sent from the origin "null".
    """
    response.headers["Cache-Control"] = "private, no-store"
    if "token" in (request.view_args or {}):
        response.headers["Referrer-Policy"] = "same-origin"
    return response
