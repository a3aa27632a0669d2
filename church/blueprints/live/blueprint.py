"""The live blueprint; gives the chat service its rate limiter."""

from __future__ import annotations

from flask import Blueprint

from church.services import chat
from church.web import rate_limits
from church.web.responses import keep_private

bp = Blueprint("live", __name__)  # without a prefix: the socket is at /ws
bp.after_request(keep_private)
chat.set_limiter(rate_limits.count_or_wait, rate_limits.give_back)
