"""Answer with a file: preconditions, one range, and a body that the server can send by sendfile."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

from flask import Response, request
from werkzeug.exceptions import PreconditionFailed, RequestedRangeNotSatisfiable
from werkzeug.wsgi import wrap_file

from church.lib.validators import Validators
from church.web.byte_ranges import FileBody, choose_answer

_READ_SIZE = 64 * 1024  # bytes per read, on a server without sendfile
_PATIENCE = 60.0


def answer_file(
    file: BinaryIO,
    size: int,
    version: Validators,
    content_type: str,
    *,
    patience: float = _PATIENCE,
    ended: Callable[[float, int], None] | None = None,
) -> Response:
    """Answer the current request with ``file``, and close it. ``patience`` and ``ended`` are those of ``FileBody``.

    Raises PreconditionFailed and RequestedRangeNotSatisfiable.
    """
    wanted = choose_answer(request.method, request.headers, version, size)
    has_body = request.method == "GET" and wanted.status in {200, 206}
    if not has_body:
        file.close()
    if wanted.status == 412:
        raise PreconditionFailed
    if wanted.status == 416:
        raise RequestedRangeNotSatisfiable(length=size)
    response = Response(status=wanted.status, content_type=content_type)
    if has_body:
        body = FileBody(file, wanted.start, wanted.length, patience=patience, ended=ended)
        response.response = wrap_file(request.environ, body, _READ_SIZE)  # type: ignore[arg-type]  # reads as a file
        response.direct_passthrough = True
    if wanted.status != 304:
        response.content_length = wanted.length
    if wanted.status == 206:
        response.headers["Content-Range"] = f"bytes {wanted.start}-{wanted.start + wanted.length - 1}/{size}"
    response.headers["Accept-Ranges"] = "bytes"
    response.headers["Last-Modified"] = version.last_modified
    response.set_etag(version.etag)
    return response
