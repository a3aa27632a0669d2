"""Small pictures for tests, built in memory."""

from __future__ import annotations

import struct
import zlib

SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 20"><path d="M0 0h40v20z"/></svg>'


def make_png(width: int, height: int) -> bytes:
    """A grey PNG."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes(1 + width) * height)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", rows) + _chunk(b"IEND", b"")


def make_jpeg(width: int, height: int) -> bytes:
    """The head of a JPEG: a comment, then the frame with the size."""
    comment = b"\xff\xfe" + (2 + 300).to_bytes(2) + bytes(300)
    return b"\xff\xd8" + comment + b"\xff\xc2\x00\x11\x08" + struct.pack(">HH", height, width) + bytes(10)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
