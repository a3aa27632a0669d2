"""Videos: list them with the state of their import, show and edit one, retry an import, delete one."""

from __future__ import annotations

import dataclasses
from typing import Any

from flask import Response, url_for

from church.blueprints.admin.area import Group, bp, render_answer, section
from church.blueprints.admin.list_filters import read_choice, read_place
from church.errors import FieldErrors
from church.models.videos import VideoState
from church.services import videos as library
from church.services.access import Access
from church.services.videos import AdminVideo
from church.web.error_pages import wants_json
from church.web.forms import read_fields
from church.web.rate_limits import limited
from church.web.responses import current_actor, respond_done
from church.web.route_access import ADMINS, allow

_MOST = 20_000  # characters read of a field; the service checks the real limit
LEVELS = ((Access.PUBLIC, "everyone"), (Access.MEMBERS, "members"), (Access.PREMIUM, "subscribers"))
_FIELDS = ("title", "access", "description")


@bp.get("/videos")
@section("Content", Group.SITE, 40, "c")
@allow(ADMINS)
@limited("page")
def videos() -> Response:
    """List the videos, newest first, optionally those in one state. The JSON includes the progress of imports."""
    state = read_choice(VideoState, "state")
    found = library.list_for_admin(state, read_place())
    data = {"videos": [video_as_data(row) for row in found], "older": found.older, "newer": found.newer}
    return render_answer("admin/videos.html", data, page=found.as_data(), state=state, states=list(VideoState))


@bp.get("/videos/<ref>")
@allow(ADMINS)
@limited("page")
def video(ref: str) -> Response:
    """Show one video and the forms that change it."""
    return show_video(ref)


@bp.post("/videos/<ref>")
@allow(ADMINS)
@limited("account")
def video_edit(ref: str) -> Response:
    """Change title and description, and who may watch it."""
    sent = read_fields()
    title, access, description = (sent.text(name, _MOST, required=False) for name in _FIELDS)
    try:
        sent.check()
        library.edit_video(ref, title, access, description, current_actor())
    except FieldErrors as error:
        if wants_json():
            raise
        return show_video(ref, error, {"title": title, "access": access, "description": description})
    return confirm_change(ref, "Video saved.")


@bp.post("/videos/<ref>/retry")
@allow(ADMINS)
@limited("account")
def video_retry(ref: str) -> Response:
    """Queue a failed import again."""
    library.retry_import(ref, current_actor())
    return confirm_change(ref, "Import queued again.")


@bp.post("/videos/<ref>/delete")
@allow(ADMINS)
@limited("account")
def video_delete(ref: str) -> Response:
    """Delete the video and its files."""
    library.delete_video(ref, current_actor())
    return respond_done("Video deleted.", url_for("admin.videos"))


def show_video(ref: str, error: FieldErrors | None = None, values: dict[str, str] | None = None) -> Response:
    """Show the page of a video; with ``error``, also the form's ``values`` and their errors."""
    row = library.load_for_admin(ref)
    current = {"title": row.title, "access": row.access, "description": row.description}
    current["chapters"] = library.format_chapters(row.chapters)
    errors = error.errors if error is not None else {}
    context = {"row": row, "values": {**current, **(values or {})}, "errors": errors, "levels": LEVELS}
    return render_answer(
        "admin/video.html", {"video": video_as_data(row)}, error.status if error is not None else 200, **context
    )


def video_as_data(row: AdminVideo) -> dict[str, Any]:
    """Return a video's facts for the JSON answer, without the paths of its files."""
    data = {field.name: getattr(row, field.name) for field in dataclasses.fields(row)}
    data["renditions"] = [
        {
            "quality": rendition.quality,
            "bytes": rendition.bytes,
            "width": rendition.width,
            "height": rendition.height,
            "bitrate": rendition.bitrate,
        }
        for rendition in row.renditions
    ]
    data["captions"] = [{"language": caption.language, "label": caption.label} for caption in row.captions]
    return {**data, "url": row.url}


def confirm_change(ref: str, message: str) -> Response:
    """Confirm a change, and return to the page of the video."""
    return respond_done(message, url_for("admin.video", ref=ref))
