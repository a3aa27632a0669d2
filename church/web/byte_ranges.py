"""Serve a file over HTTP: preconditions and one byte range (RFC 9110), and the body that is sent."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import BinaryIO

from werkzeug.datastructures import Headers
from werkzeug.http import parse_date, parse_etags

from church.lib.validators import Validators

_RANGE = re.compile(r"(?P<first>[0-9]*)-(?P<last>[0-9]*)")
_MAX_DIGITS = 19  # enough for any file size; Python refuses to parse numbers of thousands of digits


@dataclass(frozen=True)
class FileAnswer:
    """Status to answer with (200, 206, 304, 412 or 416) and, for the first two, the bytes to send."""

    status: int
    start: int = 0
    length: int = 0


def choose_answer(method: str, headers: Headers, now: Validators, size: int) -> FileAnswer:
    """Choose the answer to a GET or HEAD, in the order of RFC 9110, section 13.2.2.

    Only GET may have a range (14.2). Several ranges are answered with the whole file, as 14.2 allows: no player sends
    them, and a thousand of them would be costly.
    """
    if not _preconditions_hold(headers, now):
        return FileAnswer(412)
    if _is_not_modified(headers, now):
        return FileAnswer(304)
    header = headers.get("Range") if method == "GET" else None
    if header is None or not _if_range_holds(headers.get("If-Range"), now):
        return FileAnswer(200, 0, size)
    return _parse_range(header, size)


def _preconditions_hold(headers: Headers, now: Validators) -> bool:
    """Evaluate If-Match, or else If-Unmodified-Since (13.1.1, 13.1.4)."""
    if "If-Match" in headers:
        etags = parse_etags(headers["If-Match"])
        return etags.star_tag or etags.contains(now.etag)
    since = parse_date(headers.get("If-Unmodified-Since"))
    return since is None or _changed(now) <= since


def _is_not_modified(headers: Headers, now: Validators) -> bool:
    """Evaluate If-None-Match, compared weakly, or else If-Modified-Since (13.1.2, 13.1.3)."""
    if "If-None-Match" in headers:
        etags = parse_etags(headers["If-None-Match"])
        return etags.star_tag or etags.contains_weak(now.etag)
    since = parse_date(headers.get("If-Modified-Since"))
    return since is not None and _changed(now) <= since


def _changed(now: Validators) -> datetime:
    return datetime.fromtimestamp(int(now.modified), UTC)


def _if_range_holds(condition: str | None, now: Validators) -> bool:
    """Evaluate If-Range: an entity tag compared strongly, or exactly the date that was sent (13.1.5)."""
    if condition is None:
        return True
    condition = condition.strip()
    return condition in (f'"{now.etag}"', now.last_modified)


def _parse_range(header: str, size: int) -> FileAnswer:
    """Read the single range in ``header``: the whole file if it can't be understood, 416 beyond the file's end."""
    whole = FileAnswer(200, 0, size)
    unit, equals, ranges = header.partition("=")
    specs = [spec for part in ranges.split(",", 64) if (spec := part.strip(" \t"))]
    if unit.strip().lower() != "bytes" or not equals or len(specs) != 1:
        return whole
    match = _RANGE.fullmatch(specs[0])
    if match is None or match[0] == "-":
        return whole
    if not match["first"]:
        length = min(_number(match["last"]), size)
        return FileAnswer(206, size - length, length) if length else FileAnswer(416)
    first = _number(match["first"])
    last = _number(match["last"]) if match["last"] else size - 1
    if match["last"] and last < first:
        return whole  # an invalid range (14.1.1)
    return FileAnswer(206, first, min(last, size - 1) - first + 1) if first < size else FileAnswer(416)


def _number(digits: str) -> int:
    """The value of ``digits``; with more digits than any file size has, a number larger than all sizes."""
    significant = digits.lstrip("0")
    return int(significant or "0") if len(significant) <= _MAX_DIGITS else 10**_MAX_DIGITS


class FileBody:
    """Response body of ``length`` bytes of ``file`` from ``start`` on. Closing it closes the file.

    A server with a ``wsgi.file_wrapper`` sends from the position of ``fileno``; any other server reads. However the
    connection ends, ``ended`` is called once, with the seconds that it took and the bytes that were sent.
    """

    def __init__(
        self,
        file: BinaryIO,
        start: int,
        length: int,
        *,
        patience: float = 60.0,
        ended: Callable[[float, int], None] | None = None,
    ) -> None:
        self.patience = patience
        """Seconds that the client may go without taking a byte."""
        self.sent = 0
        """Bytes sent so far; ``church.server.sendfile`` counts here, too."""
        self._file = file
        self._left = length
        self._ended = ended
        self._began = time.monotonic()
        os.lseek(file.fileno(), start, os.SEEK_SET)

    def fileno(self) -> int:
        """The file, positioned at the first byte to send."""
        return self._file.fileno()

    def read(self, size: int = -1) -> bytes:
        """The next bytes, for servers without sendfile. Fewer than ``length`` in all if the file ends early."""
        count = self._left if size < 0 else min(size, self._left)
        data = os.read(self._file.fileno(), count) if count else b""
        self._left -= len(data)
        self.sent += len(data)
        return data

    def close(self) -> None:
        """Close the file and call ``ended``. A second call does nothing."""
        if self._file.closed:
            return
        self._file.close()
        if self._ended is not None:
            self._ended(time.monotonic() - self._began, self.sent)
