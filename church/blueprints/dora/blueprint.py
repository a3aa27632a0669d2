"""The blueprint; browsers and proxies do not store any of its answers."""

from __future__ import annotations

from flask import Blueprint

from church.web.responses import keep_private

bp = Blueprint("delivery", __name__)
bp.after_request(keep_private)
