"""The blueprint, and what all of its answers have in common."""

from __future__ import annotations

from flask import Blueprint

from church.web.responses import keep_private

bp = Blueprint("delivery", __name__)
bp.after_request(keep_private)
