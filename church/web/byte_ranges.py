"""Which bytes of a file an HTTP request asks for: preconditions and one range, by RFC 9110, as pure functions."""

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
_MOST_DIGITS = 19  # of any size that a file can have; Python refuses to read numbers of thousands


@dataclass(frozen=True)
class Asked:
    """The answer's status (200, 206, 304, 412 or 416) and, of the first two, the bytes that go with it."""

    status: int
    start: int = 0
    length: int = 0


def asked(method: str, headers: Headers, now: Validators, size: int) -> Asked:
    """What to answer a GET or HEAD, in the order of RFC 9110, section 13.2.2.

    A range is for GET alone (14.2). Several ranges are answered by the whole file, as 14.2 allows: no player asks so,
    and a thousand of them would cost more than they are worth.
    """
    if not _holds(headers, now):
        return Asked(412)
    if _is_known(headers, now):
        return Asked(304)
    header = headers.get("Range") if method == "GET" else None
    if header is None or not _goes_on(headers.get("If-Range"), now):
        return Asked(200, 0, size)
    return _piece(header, size)


def _holds(headers: Headers, now: Validators) -> bool:
    """If-Match, or else If-Unmodified-Since (13.1.1, 13.1.4)."""
    if "If-Match" in headers:
        found = parse_etags(headers["If-Match"])
        return found.star_tag or found.contains(now.etag)
    since = parse_date(headers.get("If-Unmodified-Since"))
    return since is None or _changed(now) <= since


def _is_known(headers: Headers, now: Validators) -> bool:
    """If-None-Match, compared weakly, or else If-Modified-Since (13.1.2, 13.1.3)."""
    if "If-None-Match" in headers:
        found = parse_etags(headers["If-None-Match"])
        return found.star_tag or found.contains_weak(now.etag)
    since = parse_date(headers.get("If-Modified-Since"))
    return since is not None and _changed(now) <= since


def _changed(now: Validators) -> datetime:
    return datetime.fromtimestamp(int(now.modified), UTC)


def _goes_on(condition: str | None, now: Validators) -> bool:
    """If-Range: an entity tag compared strongly, or the very date that was given (13.1.5)."""
    if condition is None:
        return True
    condition = condition.strip()
    return condition in (f'"{now.etag}"', now.last_modified)


def _piece(header: str, size: int) -> Asked:
    """The one range of ``header``; all of the file where it is in no form that we understand, 416 beyond its end."""
    whole = Asked(200, 0, size)
    unit, equals, ranges = header.partition("=")
    specs = [spec for part in ranges.split(",", 64) if (spec := part.strip(" \t"))]
    if unit.strip().lower() != "bytes" or not equals or len(specs) != 1:
        return whole
    match = _RANGE.fullmatch(specs[0])
    if match is None or match[0] == "-":
        return whole
    if not match["first"]:
        length = min(_number(match["last"]), size)
        return Asked(206, size - length, length) if length else Asked(416)
    first = _number(match["first"])
    last = _number(match["last"]) if match["last"] else size - 1
    if match["last"] and last < first:
        return whole  # no range at all (14.1.1)
    return Asked(206, first, min(last, size - 1) - first + 1) if first < size else Asked(416)


def _number(digits: str) -> int:
    """Its value; one of more digits than any size has is merely larger than all of them."""
    significant = digits.lstrip("0")
    return int(significant or "0") if len(significant) <= _MOST_DIGITS else 10**_MOST_DIGITS


class FileBody:
    """``length`` bytes of ``file`` from ``start`` on; closing it closes the file and tells how it went, once.

    A server with a ``wsgi.file_wrapper`` takes its ``fileno`` and sends from where that stands; any other reads.
    ``ended`` is told the seconds that it took and the bytes that were sent, however the connection ended.
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
        """Seconds that its reader may take nothing."""
        self.sent = 0
        """Bytes that have gone out; ``church.server.sendfile`` counts here, too."""
        self._file = file
        self._left = length
        self._ended = ended
        self._began = time.monotonic()
        os.lseek(file.fileno(), start, os.SEEK_SET)

    def fileno(self) -> int:
        """The file, standing at the first byte of the piece."""
        return self._file.fileno()

    def read(self, size: int = -1) -> bytes:
        """The next bytes of the piece, for servers without sendfile; fewer than its length where the file has ended."""
        wanted = self._left if size < 0 else min(size, self._left)
        data = os.read(self._file.fileno(), wanted) if wanted else b""
        self._left -= len(data)
        self.sent += len(data)
        return data

    def close(self) -> None:
        """Close the file and tell; the second call does nothing."""
        if self._file.closed:
            return
        self._file.close()
        if self._ended is not None:
            self._ended(time.monotonic() - self._began, self.sent)
