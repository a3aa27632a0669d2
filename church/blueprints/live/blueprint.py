"""The blueprint of the live rooms, and what all of its answers have in common."""

from __future__ import annotations

from flask import Blueprint

from church.answers import keep_private

bp = Blueprint("live", __name__, url_prefix="/live")
bp.after_request(keep_private)
