"""The blueprint, and what all of its answers have in common."""

from __future__ import annotations

from flask import Blueprint, Response

bp = Blueprint("stripe", __name__, url_prefix="/stripe")


@bp.after_request
def _keep_private(response: Response) -> Response:
    """Nobody keeps these pages: they say who pays, or hold the token of a form."""
    response.headers["Cache-Control"] = "private, no-store"
    return response
