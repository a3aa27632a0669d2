"""WebSocket frames (RFC 6455), server side: a strict reader, and frames encoded once for any number of clients.

No extension is supported, so every reserved bit is an error. An invalid frame raises FrameError with its status code of
section 7.4.1.
"""

from __future__ import annotations

from codecs import IncrementalDecoder, getincrementaldecoder
from collections.abc import Iterator
from typing import Final, NamedTuple

TEXT: Final = 0x1
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA
MAX_MESSAGE_BYTES: Final = 16_384
"""Maximum bytes of a message."""

NORMAL: Final = 1000
GOING_AWAY: Final = 1001
PROTOCOL_ERROR: Final = 1002
UNSUPPORTED: Final = 1003
ABNORMAL: Final = 1006
"""Section 7.4.1: closed without a close frame; never sent."""
INVALID_TEXT: Final = 1007
POLICY: Final = 1008
TOO_BIG: Final = 1009
NO_STATUS: Final = 1005
"""Section 7.4.1: a close frame without a code; never sent."""
UNAUTHENTICATED: Final = 4401
FORBIDDEN: Final = 4403
TOO_MANY: Final = 4429

_CONTINUATION = 0x0
_BINARY = 0x2
_OPCODES = frozenset({_CONTINUATION, TEXT, _BINARY, CLOSE, PING, PONG})
_CODES = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015)})
_LONGEST_CONTROL = 125
_decoder = getincrementaldecoder("utf-8")


class FrameError(Exception):
    """The client broke the protocol or a limit; close the connection with ``code``."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Event(NamedTuple):
    """One whole TEXT message, or a PING, PONG or CLOSE; ``code`` is that of a CLOSE."""

    kind: int
    text: str = ""
    data: bytes = b""
    code: int = 0


def text_frame(payload: bytes) -> bytes:
    """Encode a whole text message; the payload is UTF-8."""
    return _head(TEXT, len(payload)) + payload


def pong_frame(payload: bytes) -> bytes:
    """Encode the answer to a ping."""
    return _head(PONG, len(payload)) + payload


def close_frame(code: int, reason: str = "") -> bytes:
    """Encode a close frame. A long reason is cut to the size of a control frame; ``NO_STATUS`` sends no code."""
    if code == NO_STATUS:
        return _head(CLOSE, 0)
    cut = reason.encode()[: _LONGEST_CONTROL - 2].decode("utf-8", "ignore").encode()
    return _head(CLOSE, len(cut) + 2) + code.to_bytes(2) + cut


def _head(opcode: int, size: int) -> bytes:
    if size <= _LONGEST_CONTROL:
        return bytes((0x80 | opcode, size))
    if size < 1 << 16:
        return bytes((0x80 | opcode, 126)) + size.to_bytes(2)
    return bytes((0x80 | opcode, 127)) + size.to_bytes(8)


PING_FRAME: Final = _head(PING, 0)


class _Head(NamedTuple):
    """The header of one frame; its payload is from ``begin`` to ``end``."""

    opcode: int
    last: bool
    mask: bytes
    begin: int
    end: int


class FrameReader:
    """Puts one client's data together; holds at most one unfinished frame and one unfinished message."""

    __slots__ = ("_decoder", "_largest", "_pieces", "_rest", "_size")

    def __init__(self, largest: int = MAX_MESSAGE_BYTES) -> None:
        self._largest = largest
        self._rest = b""
        self._decoder: IncrementalDecoder | None = None  # set while a fragmented message is incomplete
        self._pieces: list[str] = []
        self._size = 0

    def feed(self, data: bytes) -> Iterator[Event | None]:
        """Yield what ``data`` completes, in order: an Event, or None for a fragment (there may be very many).

        Raises FrameError at the first error, after yielding what came before it.
        """
        if self._rest:
            data, self._rest = self._rest + data, b""
        at = 0
        while (head := self._next(data, at)) is not None:
            at = head.end
            yield self._event(head, _unmasked(data[head.begin : head.end], head.mask))
        self._rest = data[at:]

    def _next(self, data: bytes, at: int) -> _Head | None:
        """Return the frame that begins at ``at`` if it is complete; its header is checked as soon as it arrives."""
        if len(data) - at < 2:
            return None
        first, second = data[at], data[at + 1]
        opcode, size = first & 0x0F, second & 0x7F
        self._check(first, second, opcode, size)
        begin = at + 2
        if size > _LONGEST_CONTROL:
            wide = 2 if size == 126 else 8
            if len(data) - begin < wide:
                return None
            size = _long_size(data[begin : begin + wide])
            begin += wide
        if opcode < CLOSE and self._size + size > self._largest:
            raise FrameError(TOO_BIG, "message too big")
        end = begin + 4 + size
        if len(data) < end:
            return None
        return _Head(opcode, bool(first & 0x80), data[begin : begin + 4], begin + 4, end)

    def _check(self, first: int, second: int, opcode: int, size: int) -> None:
        if first & 0x70:
            raise FrameError(PROTOCOL_ERROR, "reserved bits")
        if opcode not in _OPCODES:
            raise FrameError(PROTOCOL_ERROR, "reserved opcode")
        if not second & 0x80:
            raise FrameError(PROTOCOL_ERROR, "not masked")
        if opcode >= CLOSE:
            if not first & 0x80 or size > _LONGEST_CONTROL:
                raise FrameError(PROTOCOL_ERROR, "control frame fragmented or too long")
        elif (opcode == _CONTINUATION) != (self._decoder is not None):
            raise FrameError(PROTOCOL_ERROR, "fragments out of order")
        elif opcode == _BINARY:
            raise FrameError(UNSUPPORTED, "text only")

    def _event(self, head: _Head, payload: bytes) -> Event | None:
        if head.opcode == CLOSE:
            return _closing(payload)
        if head.opcode >= PING:
            return Event(head.opcode, data=payload)
        if head.last and self._decoder is None:
            return Event(TEXT, _decoded(payload))
        return self._add(payload, last=head.last)

    def _add(self, payload: bytes, *, last: bool) -> Event | None:
        """Add one fragment; its text is checked at once, not after the last fragment."""
        if self._decoder is None:
            self._decoder = _decoder()
        self._size += len(payload)
        try:
            piece = self._decoder.decode(payload, last)
        except UnicodeDecodeError:
            raise FrameError(INVALID_TEXT, "not UTF-8") from None
        if piece:  # empty fragments are not kept: there may be any number
            self._pieces.append(piece)
        if not last:
            return None
        whole = "".join(self._pieces)
        self._decoder, self._size = None, 0
        self._pieces.clear()
        return Event(TEXT, whole)


def _long_size(encoded: bytes) -> int:
    """Decode a long length (section 5.2). Raises FrameError unless it has the shortest form."""
    size = int.from_bytes(encoded)
    if size <= _LONGEST_CONTROL or (len(encoded) == 8 and size < 1 << 16):
        raise FrameError(PROTOCOL_ERROR, "length not minimal")
    return size


def _unmasked(payload: bytes, mask: bytes) -> bytes:
    """Remove the mask (section 5.3), as one XOR of two long numbers."""
    size = len(payload)
    key = int.from_bytes((mask * (size // 4 + 1))[:size])
    return (int.from_bytes(payload) ^ key).to_bytes(size)


def _decoded(payload: bytes) -> str:
    try:
        return payload.decode()
    except UnicodeDecodeError:
        raise FrameError(INVALID_TEXT, "not UTF-8") from None


def _closing(payload: bytes) -> Event:
    if not payload:
        return Event(CLOSE, code=NO_STATUS)
    code = int.from_bytes(payload[:2])
    if len(payload) == 1 or not (code in _CODES or 3000 <= code <= 4999):
        raise FrameError(PROTOCOL_ERROR, "invalid close code")
    return Event(CLOSE, _decoded(payload[2:]), code=code)
