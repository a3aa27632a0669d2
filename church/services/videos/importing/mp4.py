"""An MP4 read without ffprobe: how large and how long it is, and whether browsers play it (ISO/IEC 14496-12).

A file from a stranger: every length in it is held against what there is, and nothing is believed for long.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from church.services.videos.errors import NotVideoError
from church.services.videos.importing.probe import Probed, checked

_MOST_INDEX = 64 * 1024 * 1024
_MOST_BOXES = 10_000
_PLAYED = frozenset({b"avc1", b"avc3", b"av01", b"vp09"})
_NEITHER = "Without ffmpeg, only MP4 files with H.264 are accepted."

Box = tuple[bytes, memoryview]


def read(file: Path) -> Probed:
    """What the MP4 ``file`` is. Raises NotVideoError."""
    try:
        with file.open("rb") as stream:
            return checked(_movie(_index(stream, file.stat().st_size)))
    except (struct.error, IndexError, ValueError, OverflowError, ZeroDivisionError):
        raise NotVideoError(_NEITHER) from None


def _index(stream: BinaryIO, size: int) -> memoryview:
    """The contents of ``moov``, wherever in the file it is; the pictures themselves are skipped."""
    at = 0
    for count in range(_MOST_BOXES):
        stream.seek(at)
        head = stream.read(16)
        length, name, skip = _head(head, size - at)
        if length < skip or at + length > size or (count == 0 and name != b"ftyp"):
            break
        if name == b"moov":
            if length > _MOST_INDEX:
                break
            stream.seek(at + skip)
            return memoryview(stream.read(length - skip))
        at += length
    raise ValueError("no moov")


def _head(head: bytes, left: int) -> tuple[int, bytes, int]:
    """Length of a box, its name, and where its contents begin."""
    length, name = struct.unpack_from(">I4s", head)
    if length == 1:
        return struct.unpack_from(">Q", head, 8)[0], name, 16
    return (left if length == 0 else length), name, 8


def _boxes(data: memoryview) -> Iterator[Box]:
    at = 0
    while at + 8 <= len(data):
        length, name, skip = _head(bytes(data[at : at + 16]), len(data) - at)
        if length < skip or at + length > len(data):
            raise ValueError("a box reaches out of another")
        yield name, data[at + skip : at + length]
        at += length


def _child(data: memoryview, *path: bytes) -> memoryview:
    """The first box at the end of ``path``. Raises ValueError."""
    for name in path:
        found = next((body for label, body in _boxes(data) if label == name), None)
        if found is None:
            raise ValueError(f"no {name!r}")
        data = found
    return data


def _movie(moov: memoryview) -> Probed:
    for number, track in enumerate(body for name, body in _boxes(moov) if name == b"trak"):
        if bytes(_child(track, b"mdia", b"hdlr")[8:12]) != b"vide":
            continue
        if bytes(_child(track, b"mdia", b"minf", b"stbl", b"stsd")[12:16]) not in _PLAYED:
            break
        width, height = struct.unpack(">II", _child(track, b"tkhd")[-8:])  # 16.16 fixed point
        return Probed(number, width >> 16, height >> 16, _duration(_child(moov, b"mvhd")))
    raise ValueError("no track that browsers play")


def _duration(mvhd: memoryview) -> int:
    scale, length = struct.unpack_from(">IQ", mvhd, 20) if mvhd[0] == 1 else struct.unpack_from(">II", mvhd, 12)
    return int(length) * 1000 // int(scale)
