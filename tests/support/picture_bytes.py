"""Beginnings of pictures of many kinds, built by hand."""

from __future__ import annotations

import struct


def jpeg(width: int, height: int, orientation: int = 1) -> bytes:
    """Make the beginning of a JPEG, with Exif if it is turned, and a long segment before its frame."""
    exif = b""
    if orientation != 1:
        tiff = b"MM\0\x2a\0\0\0\x08" + struct.pack(">HHHIHH", 1, 0x0112, 3, 1, orientation, 0)
        exif = b"\xff\xe1" + struct.pack(">H", len(tiff) + 8) + b"Exif\0\0" + tiff
    profile = b"\xff\xe2\xff\xf0" + bytes(0xFFEE)
    frame = b"\xff\xff\xc2" + struct.pack(">HBHHB", 17, 8, height, width, 3) + bytes(9)
    return b"\xff\xd8" + exif + profile + profile + frame


def gif(width: int, height: int) -> bytes:
    """Make the beginning of a GIF."""
    return b"GIF89a" + struct.pack("<HH", width, height) + bytes(3)


def webp(kind: bytes, width: int, height: int) -> bytes:
    """Make the beginning of a WebP of one of its three kinds."""
    bodies = {
        b"VP8 ": bytes(3) + b"\x9d\x01\x2a" + struct.pack("<HH", width, height),
        b"VP8L": b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14),
        b"VP8X": bytes(4) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little"),
    }
    return b"RIFF" + bytes(4) + b"WEBP" + kind + bytes(4) + bodies[kind]


def avif(width: int, height: int, *, turned: bool = False) -> bytes:
    """Make the beginning of an AVIF with a thumbnail."""
    sizes = b"".join(b"\0\0\0\x14ispe" + struct.pack(">III", 0, *size) for size in ((16, 9), (width, height)))
    return b"\0\0\0\x1cftypavif" + bytes(16) + sizes + (b"\0\0\0\x09irot\x01" if turned else b"")
