"""The auth blueprint, and the headers of all its responses."""

from __future__ import annotations

from flask import Blueprint, Response, request

from church.web.responses import keep_private

bp = Blueprint("auth", __name__, url_prefix="/auth")
bp.after_request(keep_private)


@bp.after_request
def _keep_links(response: Response) -> Response:
    """Keep the address of an emailed link from other sites.

    ``same-origin``, because ``no-referrer`` would send forms with the origin "null".
    """
    if "token" in (request.view_args or {}):
        response.headers["Referrer-Policy"] = "same-origin"
    return response
