"""Read an MP4 without ffprobe: its size, its duration, and whether browsers play it (ISO/IEC 14496-12).

The file comes from a stranger, so every length in it is checked against the file's size, and the search is bounded.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from church.services.videos.errors import NotVideoError
from church.services.videos.importing.detect_cut_short import CutShortError
from church.services.videos.importing.missing_bytes import find_missing_share
from church.services.videos.importing.probe import VideoFacts, check_facts

_MAX_INDEX_BYTES = 64 * 1024 * 1024
_MAX_BOXES = 10_000
_PLAYABLE_CODECS = frozenset({b"avc1", b"avc3", b"av01", b"vp09"})
_COVER_CODECS = frozenset({b"jpeg", b"png "})
_NOT_PLAYABLE = "Without ffmpeg, only MP4 files with H.264 are accepted."

Box = tuple[bytes, memoryview]


def read_facts(file: Path) -> VideoFacts:
    """Read the facts of an MP4 ``file``. Raises NotVideoError, also if its end is missing."""
    try:
        with file.open("rb") as stream:
            facts = check_facts(_parse_index(_load_index(stream, file.stat().st_size)))
    except (struct.error, IndexError, ValueError, OverflowError, ZeroDivisionError):
        raise NotVideoError(_NOT_PLAYABLE) from None
    if find_missing_share(file, "mov,"):
        raise NotVideoError(str(CutShortError()))
    return facts


def _load_index(stream: BinaryIO, size: int) -> memoryview:
    """Load the contents of the ``moov`` box, wherever it is in the file; the frames are skipped."""
    at = 0
    for count in range(_MAX_BOXES):
        stream.seek(at)
        header = stream.read(16)
        length, name, skip = _parse_header(header, size - at)
        if length < skip or at + length > size or (count == 0 and name != b"ftyp"):
            break
        if name == b"moov":
            if length > _MAX_INDEX_BYTES:
                break
            stream.seek(at + skip)
            return memoryview(stream.read(length - skip))
        at += length
    raise ValueError("no moov")


def _parse_header(header: bytes, left: int) -> tuple[int, bytes, int]:
    """Return the length of a box, its name, and the offset of its contents; length 0 means all that is ``left``."""
    length, name = struct.unpack_from(">I4s", header)
    if length == 1:
        return struct.unpack_from(">Q", header, 8)[0], name, 16
    return (left if length == 0 else length), name, 8


def _boxes(data: memoryview) -> Iterator[Box]:
    at = 0
    while at + 8 <= len(data):
        length, name, skip = _parse_header(bytes(data[at : at + 16]), len(data) - at)
        if length < skip or at + length > len(data):
            raise ValueError("a box is longer than the box around it")
        yield name, data[at + skip : at + length]
        at += length


def _child(data: memoryview, *path: bytes) -> memoryview:
    """Return the first box at the end of ``path``. Raises ValueError."""
    for name in path:
        contents = next((body for label, body in _boxes(data) if label == name), None)
        if contents is None:
            raise ValueError(f"no {name!r}")
        data = contents
    return data


def _parse_index(moov: memoryview) -> VideoFacts:
    for number, track in enumerate(body for name, body in _boxes(moov) if name == b"trak"):
        if bytes(_child(track, b"mdia", b"hdlr")[8:12]) != b"vide":
            continue
        codec = bytes(_child(track, b"mdia", b"minf", b"stbl", b"stsd")[12:16])
        if codec in _COVER_CODECS:
            continue
        if codec not in _PLAYABLE_CODECS:
            break
        width, height = struct.unpack(">II", _child(track, b"tkhd")[-8:])  # 16.16 fixed point
        return VideoFacts(number, width >> 16, height >> 16, _duration_ms(_child(moov, b"mvhd")))
    raise ValueError("no track that browsers play")


def _duration_ms(mvhd: memoryview) -> int:
    scale, length = struct.unpack_from(">IQ", mvhd, 20) if mvhd[0] == 1 else struct.unpack_from(">II", mvhd, 12)
    return int(length) * 1000 // int(scale)
