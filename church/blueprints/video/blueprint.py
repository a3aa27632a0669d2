"""The blueprint that its rooms add their views to, and who asks in all of them."""

from __future__ import annotations

from flask import Blueprint

from church.web import identity

bp = Blueprint("video", __name__, url_prefix="/video")


def member_id() -> int | None:
    """The number of the member who asks; None for strangers, and for an account whose address is not confirmed."""
    found = identity.viewer()
    return found.user_id if found is not None and found.is_member else None
