"""Read type and size of a picture from its first bytes. Nothing is decoded, so no picture can cost much."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import BinaryIO

_HEAD = 64 * 1024
_MOST_SEGMENTS = 200  # of a JPEG, before its frame
_ROTATED = range(5, 9)  # orientations of Exif that swap width and height, as browsers do
_JPEG_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_SVG_BEGIN = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*+(?:(?:<\?xml[^>]*>|<!--.*?-->|<!DOCTYPE[^>\[]*(?:\[[^\]]*\])?[^>]*>)\s*+)*+<svg\b([^>]*)>",
    re.DOTALL,
)
_SVG_LENGTH = rb"""(?:^|\s)%s\s*=\s*["']\s*([0-9]{1,5}(?:\.[0-9]+)?)(?:px)?\s*["']"""
_SVG_WIDTH, _SVG_HEIGHT = re.compile(_SVG_LENGTH % b"width"), re.compile(_SVG_LENGTH % b"height")
_VIEW_BOX = re.compile(rb"""(?:^|\s)viewBox\s*=\s*["']\s*[-0-9.]+[\s,]+[-0-9.]+[\s,]+([0-9.]+)[\s,]+([0-9.]+)""")


@dataclass(frozen=True)
class PictureHeader:
    """Type of a picture, and its width and height in pixels as a browser shows it; 0 if the file does not say."""

    content_type: str
    width: int = 0
    height: int = 0


def read_header(file: BinaryIO) -> PictureHeader | None:
    """Read the header of ``file``. None if it is no PNG, JPEG, GIF, WebP, AVIF or SVG, whatever its name says."""
    head = file.read(_HEAD)
    try:
        return _read_raster(head, file) or _read_svg(head)
    except (struct.error, IndexError):
        return None


def _read_raster(head: bytes, file: BinaryIO) -> PictureHeader | None:
    if head.startswith(b"\x89PNG\r\n\x1a\n") and head[12:16] == b"IHDR":
        return PictureHeader("image/png", *struct.unpack(">II", head[16:24]))
    if head[:6] in {b"GIF87a", b"GIF89a"}:
        return PictureHeader("image/gif", *struct.unpack("<HH", head[6:10]))
    if head.startswith(b"\xff\xd8\xff"):
        return _read_jpeg(file)
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return _read_webp(head)
    is_avif = head[4:8] == b"ftyp" and head[8:12] in {b"avif", b"avis"}
    return _read_avif(head) if is_avif else None


def _read_jpeg(file: BinaryIO) -> PictureHeader | None:
    """Walk the segments to the frame (ITU T.81, annex B); Exif before it may say that the picture is turned."""
    position, orientation = 2, 1
    for _ in range(_MOST_SEGMENTS):
        file.seek(position)
        head = file.read(18)
        while head[:2] == b"\xff\xff":
            head, position = head[1:], position + 1
        if head[:1] != b"\xff":
            return None
        mark, (length,) = head[1], struct.unpack(">H", head[2:4])
        if mark in _JPEG_FRAMES:
            height, width = struct.unpack(">HH", head[5:9])
            return PictureHeader("image/jpeg", *((height, width) if orientation in _ROTATED else (width, height)))
        if mark == 0xE1 and head[4:10] == b"Exif\0\0":
            file.seek(position + 10)
            orientation = _read_orientation(file.read(min(length, 4096)))
        position += 2 + length
    return None


def _read_orientation(tiff: bytes) -> int:
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return 1
    try:
        (first,) = struct.unpack(f"{order}I", tiff[4:8])
        (count,) = struct.unpack(f"{order}H", tiff[first : first + 2])
        for at in range(first + 2, first + 2 + 12 * min(count, 300), 12):
            tag, _, _, value = struct.unpack(f"{order}HHIH", tiff[at : at + 10])
            if tag == 0x0112:
                return int(value)
    except struct.error:
        return 1
    return 1


def _read_webp(head: bytes) -> PictureHeader | None:
    kind = head[12:16]
    if kind == b"VP8X":
        width, height = (1 + int.from_bytes(head[at : at + 3], "little") for at in (24, 27))
    elif kind == b"VP8L" and head[20] == 0x2F:
        (bits,) = struct.unpack("<I", head[21:25])
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    elif kind == b"VP8 " and head[23:26] == b"\x9d\x01\x2a":
        width, height = (size & 0x3FFF for size in struct.unpack("<HH", head[26:30]))
    else:
        return None
    return PictureHeader("image/webp", width, height)


def _read_avif(head: bytes) -> PictureHeader:
    """Find the sizes of all images in the file (ISO/IEC 23008-12, ispe): the largest is the picture."""
    sizes = [
        struct.unpack(">II", head[found.end() + 4 : found.end() + 12])
        for found in re.finditer(b"ispe", head)
        if found.end() + 12 <= len(head)
    ]
    width, height = max(sizes, key=lambda size: size[0] * size[1], default=(0, 0))
    turned = (at := head.find(b"irot")) >= 0 and head[at + 4 : at + 5] in {b"\x01", b"\x03"}
    return PictureHeader("image/avif", *((height, width) if turned else (width, height)))


def _read_svg(head: bytes) -> PictureHeader | None:
    begin = _SVG_BEGIN.match(head)
    if begin is None:
        return None
    width, height = _SVG_WIDTH.search(begin[1]), _SVG_HEIGHT.search(begin[1])
    if width and height:
        return PictureHeader("image/svg+xml", round(float(width[1])), round(float(height[1])))
    box = _VIEW_BOX.search(begin[1])
    try:
        sizes = (round(float(box[1])), round(float(box[2]))) if box else (0, 0)
    except (ValueError, OverflowError):
        sizes = (0, 0)
    return PictureHeader("image/svg+xml", *sizes)
