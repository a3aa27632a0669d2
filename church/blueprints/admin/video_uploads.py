"""Video uploads: in pieces that can resume after an interruption, or as one plain form.

Pieces follow tus 1.0 (https://tus.io/protocols/resumable-upload): HEAD returns the offset, PATCH sends from there.
"""

from __future__ import annotations

from flask import Response, jsonify, request, url_for
from werkzeug.exceptions import UnsupportedMediaType

from church import telemetry
from church.blueprints.admin.area import bp, render_answer
from church.blueprints.admin.videos import LEVELS, video_as_data
from church.config import current_settings
from church.errors import ChurchError, FieldErrors, InvalidError
from church.services import videos as library
from church.services.access import Access
from church.services.videos import AdminVideo, UploadView, VideoDraft
from church.web.error_pages import wants_json
from church.web.forms import UPLOAD_CHUNK, Fields, read_fields
from church.web.rate_limits import limited
from church.web.responses import current_actor, require_account, respond_done, to_json_data
from church.web.route_access import ADMINS, allow

_MOST = 20_000  # characters read of a field; the service checks the real limit
_LONGEST_NAME = 255
_MOST_BYTES = 2**53 - 1  # JavaScript's largest safe integer; the service checks the real limit
_OFFSET = "Upload-Offset"


@bp.get("/videos/new")
@allow(ADMINS)
@limited("page")
def video_new() -> Response:
    """Show the form and this admin's unfinished uploads."""
    return _show_form({"access": Access.MEMBERS.value})


@bp.post("/videos/new")
@allow(ADMINS)
@limited("account")
def video_add() -> Response:
    """Upload a small video in one form, for a browser without scripts."""
    sent = read_fields()
    file = request.files.get("file")
    try:
        draft = _draft(sent)
        sent.check()
        if file is None or not file.filename:
            raise FieldErrors({"file": "Choose a file."})
        added = library.receive_whole(file.filename, file.stream, draft, current_actor())
    except ChurchError as error:
        if wants_json() or error.status >= 500:
            raise
        return _show_form(sent.shown("title", "access", "description"), error)
    return respond_done("Upload complete. The import starts next.", url_for("admin.video", ref=added.ref))


@bp.post("/video-uploads")
@allow(ADMINS)
@limited("account")
def video_upload() -> Response:
    """Start an upload: title, access and description of the video, ``name`` of the file, ``size`` in bytes."""
    sent = read_fields()
    draft = _draft(sent)
    name, size = sent.text("name", _LONGEST_NAME), sent.number("size", _MOST_BYTES)
    sent.check()
    return _upload_state(library.start_upload(require_account().user_id, name, size, draft), 201)


@bp.get("/video-uploads/<ref>")
@allow(ADMINS)
@limited("upload")
def video_upload_state(ref: str) -> Response:
    """Return how many bytes have arrived."""
    return _upload_state(library.load_upload(ref, require_account().user_id))


@bp.patch("/video-uploads/<ref>")
@telemetry.never_scan_body
@allow(ADMINS)
@limited("upload")
def video_upload_piece(ref: str) -> Response:
    """Receive the piece that starts at ``Upload-Offset``. The last piece turns the upload into a video."""
    if request.mimetype != UPLOAD_CHUNK:
        raise UnsupportedMediaType
    offset = request.headers.get(_OFFSET, "")
    if not (offset.isascii() and offset.isdigit() and len(offset) <= len(str(_MOST_BYTES))):
        raise InvalidError(f"{_OFFSET} must be the byte at which the piece starts.")
    request.max_content_length = library.MAX_PIECE_BYTES
    piece = request.get_data(cache=False)
    result = library.append_piece(ref, require_account().user_id, int(offset), piece, current_actor())
    if isinstance(result, AdminVideo):
        return jsonify(to_json_data({"video": video_as_data(result), "url": url_for("admin.video", ref=result.ref)}))
    return _upload_state(result)


@bp.post("/video-uploads/<ref>/give-up")
@allow(ADMINS)
@limited("account")
def video_upload_give_up(ref: str) -> Response:
    """Cancel an upload and delete what has arrived."""
    library.cancel_upload(ref, require_account().user_id)
    return respond_done("Upload cancelled.", url_for("admin.video_new"))


def _draft(sent: Fields) -> VideoDraft:
    title, access, description = (sent.text(name, _MOST, required=False) for name in ("title", "access", "description"))
    return VideoDraft(title, access, description)


def _upload_state(upload: UploadView, status: int = 200) -> Response:
    response = jsonify(upload=to_json_data(upload))
    response.status_code = status
    response.headers[_OFFSET] = str(upload.received)
    response.headers["Upload-Length"] = str(upload.size)
    return response


def _show_form(values: dict[str, str], error: ChurchError | None = None) -> Response:
    errors = error.errors if isinstance(error, FieldErrors) else {}
    problem = str(error) if error is not None and not errors else None
    site = current_settings()
    limits = {"most": site.video_max_bytes, "most_plain": site.max_body, "levels": LEVELS}
    data = {"uploads": library.list_uploads(require_account().user_id)}
    context = {"values": values, "errors": errors, "problem": problem, **limits}
    return render_answer("admin/video_new.html", data, error.status if error is not None else 200, **context)
