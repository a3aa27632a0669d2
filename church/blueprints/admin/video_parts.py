"""Captions and chapters of a video: add, replace, remove."""

from __future__ import annotations

from flask import Response, request

from church.blueprints.admin.area import bp
from church.blueprints.admin.videos import confirm_change, show_video
from church.errors import FieldErrors
from church.services import videos as library
from church.web.error_pages import wants_json
from church.web.forms import read_fields
from church.web.rate_limits import limited
from church.web.responses import current_actor
from church.web.route_access import ADMINS, allow

_MOST = 20_000  # characters read of a field; the service checks the real limit
_LONGEST_NAME = 100


@bp.post("/videos/<ref>/captions")
@allow(ADMINS)
@limited("account")
def video_caption(ref: str) -> Response:
    """Add or replace the captions of a language, from a WebVTT or SRT file."""
    sent = read_fields()
    language, label = sent.text("language", _LONGEST_NAME, required=False), sent.text("label", required=False)
    try:
        sent.check()
        file = request.files.get("file")
        data = file.read() if file is not None else b""
        library.add_caption(ref, language, label, data, current_actor(), default=sent.flag("is_default"))
    except FieldErrors as error:
        if wants_json():
            raise
        return show_video(ref, error, {"language": language, "label": label})
    return confirm_change(ref, "Captions added.")


@bp.post("/videos/<ref>/captions/<language>/delete")
@allow(ADMINS)
@limited("account")
def video_caption_delete(ref: str, language: str) -> Response:
    """Remove the captions of a language."""
    library.remove_caption(ref, language, current_actor())
    return confirm_change(ref, "Captions removed.")


@bp.post("/videos/<ref>/chapters")
@allow(ADMINS)
@limited("account")
def video_chapters(ref: str) -> Response:
    """Set the chapters to the lines of ``chapters``; an empty text removes them."""
    sent = read_fields()
    text = sent.text("chapters", _MOST, required=False)
    try:
        sent.check()
        library.set_chapters(ref, text, current_actor())
    except FieldErrors as error:
        if wants_json():
            raise
        return show_video(ref, error, {"chapters": text})
    return confirm_change(ref, "Chapters saved.")
