"""The blueprint of the live rooms, and what all of its answers have in common."""

from __future__ import annotations

from flask import Blueprint

from church.web.responses import keep_private

bp = Blueprint("live", __name__)  # without a prefix: the socket is at /ws
bp.after_request(keep_private)
