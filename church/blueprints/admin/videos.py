"""The videos: how far each is, what is said of it, its captions and chapters."""

from __future__ import annotations

import dataclasses
from typing import Any

from flask import Response, url_for

from church.blueprints.admin.area import answer, bp, section
from church.blueprints.admin.list_filters import one_of, words
from church.errors import FieldErrors
from church.models.videos import VideoState
from church.services import videos as library
from church.services.access import Access
from church.services.videos import AdminVideo
from church.web.error_pages import wants_json
from church.web.forms import fields
from church.web.rate_limits import limited
from church.web.responses import actor, done
from church.web.route_access import ADMINS, allow

PAGE = 50
_MOST = 20_000  # characters that are read of a field; what is taken, the service says
LEVELS = ((Access.PUBLIC, "everyone"), (Access.MEMBERS, "members"), (Access.PREMIUM, "subscribers"))
_FIELDS = ("title", "access", "description")


@bp.get("/videos")
@section("Videos", 25)
@allow(ADMINS)
@limited("page")
def videos() -> Response:
    """The videos in a state, newest first; a program, or the page's script, is told how far imports are."""
    state = one_of(VideoState, "state")
    found = library.admin_listing(state=state, before_ref=words("before") or None, limit=PAGE + 1)
    older = found[PAGE - 1].ref if len(found) > PAGE else None
    data = {"videos": [facts(one) for one in found[:PAGE]], "older": older}
    return answer("admin/videos.html", data, rows=found[:PAGE], state=state, states=list(VideoState))


@bp.get("/videos/<ref>")
@allow(ADMINS)
@limited("page")
def video(ref: str) -> Response:
    """One video, and the forms that change it."""
    return shown(ref)


@bp.post("/videos/<ref>")
@allow(ADMINS)
@limited("account")
def video_edit(ref: str) -> Response:
    """Change what is said of it, and who may watch it."""
    sent = fields()
    title, access, description = (sent.text(name, _MOST, required=False) for name in _FIELDS)
    try:
        sent.check()
        library.edit(ref, title, access, description, actor())
    except FieldErrors as error:
        if wants_json():
            raise
        return shown(ref, error, {"title": title, "access": access, "description": description})
    return told(ref, "Video saved.")


@bp.post("/videos/<ref>/retry")
@allow(ADMINS)
@limited("account")
def video_retry(ref: str) -> Response:
    """Try a failed import once more."""
    library.retry(ref, actor())
    return told(ref, "Import queued again.")


@bp.post("/videos/<ref>/delete")
@allow(ADMINS)
@limited("account")
def video_delete(ref: str) -> Response:
    """Take it away, with its files."""
    library.delete(ref, actor())
    return done("Video deleted.", url_for("admin.videos"))


def shown(ref: str, error: FieldErrors | None = None, values: dict[str, str] | None = None) -> Response:
    """The page of a video; with ``error``, what was filled in and what is wrong with it."""
    found = library.admin_view(ref)
    now = {"title": found.title, "access": found.access, "description": found.description}
    now["chapters"] = library.chapters_text(found.chapters)
    errors = error.errors if error is not None else {}
    context = {"row": found, "values": {**now, **(values or {})}, "errors": errors, "levels": LEVELS}
    return answer("admin/video.html", {"video": facts(found)}, error.status if error is not None else 200, **context)


def facts(found: AdminVideo) -> dict[str, Any]:
    """A video for programs; where its files lie is nobody's business."""
    told = {field.name: getattr(found, field.name) for field in dataclasses.fields(found)}
    told["renditions"] = [
        {"quality": one.quality, "bytes": one.bytes, "width": one.width, "height": one.height, "bitrate": one.bitrate}
        for one in found.renditions
    ]
    told["captions"] = [{"language": one.language, "label": one.label} for one in found.captions]
    return {**told, "url": found.url}


def told(ref: str, words_: str) -> Response:
    """It is done, and the page of the video says so."""
    return done(words_, url_for("admin.video", ref=ref))
