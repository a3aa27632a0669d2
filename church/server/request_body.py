"""The body of a request, read in turns and within a deadline, from its chunks or by its length."""

from __future__ import annotations

import re
import time
from contextlib import suppress
from typing import Any, Protocol

from gunicorn.http.body import ChunkedReader, LengthReader
from gunicorn.http.errors import ChunkMissingTerminator, InvalidChunkSize, InvalidHeader, NoMoreData, ParseException
from werkzeug.exceptions import BadRequest, HTTPException, RequestTimeout

from church.server.client_stream import LARGEST_PIECE, PIECE, ClientStream

_MAX_CHUNK = 1 << 32
_MAX_LINE = 1024  # a chunk's size and its extensions
_MAX_TRAILERS = 8192
_MAX_OVERHEAD = 64 * 1024  # bytes of framing, beside one for each byte of the body
_SKIPPED_BYTES = 64 * 1024
_SKIPPED_SECONDS = 0.1

# RFC 9112, 7.1, with the tokens and quoted strings of RFC 9110, 5.6. The line end after a chunk is read with the next
# chunk's size, so that each chunk is one match.
_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_QUOTED = rb'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"'
_EXTENSIONS = rb"(?:[ \t]*;[ \t]*%b(?:[ \t]*=[ \t]*(?:%b|%b))?)*" % (_TOKEN, _TOKEN, _QUOTED)
_FIRST_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,16})%b\r\n" % _EXTENSIONS)
_NEXT_CHUNK = re.compile(rb"\r\n([0-9A-Fa-f]{1,16})%b\r\n" % _EXTENSIONS)
_TRAILERS = re.compile(rb"(?:%b:[^\x00-\x08\n-\x1f\x7f]*\r\n)*\r\n" % _TOKEN)
_BARE_LINE_FEED = re.compile(rb"(?<!\r)\n")


class Framing(Protocol):
    """Where a body ends among the bytes of a connection."""

    left: int
    """Bytes that are certainly still to come."""

    @property
    def finished(self) -> bool:
        """Whether all of the body has been taken."""

    def take(self, size: int) -> bytes:
        """Take at most ``size`` bytes of the body from what has arrived; b"" if there are none yet, or at the end."""

    def wanted(self) -> int:
        """How much to receive next."""


class SizedFraming:
    """A body of a known length. ``held`` is what has arrived."""

    def __init__(self, held: bytearray, length: int) -> None:
        self._held = held
        self.left = length

    @property
    def finished(self) -> bool:
        """Whether all of the body has been taken."""
        return not self.left

    def take(self, size: int) -> bytes:
        """Take at most ``size`` bytes of the body."""
        size = min(size, self.left, len(self._held))
        data = bytes(self._held[:size])
        del self._held[:size]
        self.left -= size
        return data

    def wanted(self) -> int:
        """Receive no byte of the next request."""
        return min(self.left, LARGEST_PIECE)


class ChunkedFraming:
    """A chunked body. Extensions and trailers are checked and dropped; the work is linear in the bytes."""

    def __init__(self, held: bytearray) -> None:
        self._held = held
        self._next = _FIRST_CHUNK
        self._body = self._overhead = 0
        self.left = 0
        self.finished = False

    def take(self, size: int) -> bytes:
        """Take at most ``size`` bytes of the body. Raises a ParseException for what can't become a valid body."""
        pieces, at = [], 0
        while size > 0 and not self.finished:
            if not self.left:
                begun = self._begin_chunk(at)
                if begun is None:
                    break
                at = begun
            elif piece := self._held[at : at + min(size, self.left)]:
                pieces.append(piece)
                at += len(piece)
                size -= len(piece)
                self.left -= len(piece)
            else:
                break
        del self._held[:at]
        return b"".join(pieces)

    def wanted(self) -> int:
        """Receive a large chunk at once, but none of what comes after it."""
        return min(max(self.left + 2, PIECE), LARGEST_PIECE)

    def _begin_chunk(self, at: int) -> int | None:
        """Read the size of the chunk at ``at``, or the trailers. Returns where they end; None if more has to come."""
        match = self._next.match(self._held, at)
        if match is None:
            self._check_unfinished(at)
            return None
        if self._next is _TRAILERS:
            self.finished = True
            return match.end()
        self.left = int(match[1], 16)
        self._body += self.left
        self._overhead += match.end() - at
        if self.left > _MAX_CHUNK:
            raise InvalidChunkSize(b"beyond 4 GiB")
        if self._overhead > _MAX_OVERHEAD + self._body:
            raise InvalidChunkSize(b"more framing than body")
        self._next = _NEXT_CHUNK if self.left else _TRAILERS
        return match.end()

    def _check_unfinished(self, at: int) -> None:
        """Raise a ParseException if no further bytes could make this valid."""
        held, begins = self._held, at
        if self._next is _NEXT_CHUNK:
            if not b"\r\n".startswith(held[at : at + 2]):
                raise ChunkMissingTerminator(bytes(held[at : at + 2]))
            begins += 2
        end, most = (b"\r\n\r\n", _MAX_TRAILERS) if self._next is _TRAILERS else (b"\r\n", _MAX_LINE)
        if held.find(end, begins) >= 0 or len(held) - at > most or _BARE_LINE_FEED.search(held, at):
            raise InvalidHeader("trailers") if self._next is _TRAILERS else InvalidChunkSize(b"malformed")


class RequestBody:
    """A body with a deadline, which gunicorn's ``Body`` reads. Its errors are the client's (400, 408), not the site's.

    ``request`` is gunicorn's. The client is invited to send its body (100 Continue) at the first read, so that
    a request can be refused by its head alone.
    """

    def __init__(self, request: Any, seconds: float) -> None:
        self.unreader: ClientStream = request.unreader
        self.started = self.unreader.started
        self.handed_on: dict[str, Any] = getattr(request, "handed_on", {})
        """What the environ gets in addition: the door sets it."""
        self.request = request
        self._framing = _framing(request.body.reader, self.unreader.held)
        self._seconds = seconds
        self._deadline: float | None = None
        self._owes_continue = request._expected_100_continue
        request._expected_100_continue = False
        self._has_failed = False

    @property
    def is_finished(self) -> bool:
        """Whether the next byte of the connection belongs to another request."""
        return self._framing.finished

    def read(self, size: int) -> bytes:
        """Read at most ``size`` bytes; b"" at the end. Raises RequestTimeout and BadRequest."""
        try:
            return self._read(size)
        except TimeoutError:
            self._has_failed = True
            raise RequestTimeout from None
        except (NoMoreData, ParseException):
            self._has_failed = True
            raise BadRequest from None

    def _read(self, size: int) -> bytes:
        if self._deadline is None:  # the time starts with the first read: a client may wait for 100 Continue
            self._deadline = time.monotonic() + self._seconds
        if self._owes_continue:
            self._owes_continue = False
            self.unreader.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        while not (data := self._framing.take(size)) and size > 0 and not self._framing.finished:
            if not self.unreader.receive_rest(self._framing.wanted(), self._deadline):
                raise NoMoreData(bytes(self.unreader.held))
        if self._framing.finished:
            self.unreader.place.work()
        return data

    def settle(self) -> None:
        """Before the head of the answer: skip a small rest of the body, or have the head say ``Connection: close``.

        See RFC 9112, 9.6: a client that reads keep-alive may send its next request, which would be lost.
        """
        if not (self.is_finished or self.request.should_close() or self._skip_rest()):
            self.request.force_close()
        self.unreader.place.work()  # from here on it waits for the site, and no longer for its client

    def _skip_rest(self) -> bool:
        if self._has_failed or self._owes_continue or self._framing.left > _SKIPPED_BYTES:
            return False
        soon = time.monotonic() + _SKIPPED_SECONDS
        self._deadline = soon if self._deadline is None else min(soon, self._deadline)
        left = _SKIPPED_BYTES
        with suppress(HTTPException):
            while left > 0 and (data := self.read(left)):
                left -= len(data)
        return self.is_finished


class _NoBody:
    """The body of a request that has none."""

    is_finished = True


NO_BODY = _NoBody()


def _framing(reader: Any, held: bytearray) -> Framing:
    if isinstance(reader, ChunkedReader):
        return ChunkedFraming(held)
    return SizedFraming(held, reader.length if isinstance(reader, LengthReader) else 0)
