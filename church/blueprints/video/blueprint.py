"""The blueprint that its rooms add their views to."""

from __future__ import annotations

from flask import Blueprint

bp = Blueprint("video", __name__, url_prefix="/video")
