"""Find the share of a file that is missing, by the sizes that the file itself states.

Parts are stepped over, not read. Sizes come from a stranger: each is only compared with the size of the file.
Sources: ISO/IEC 14496-12, 4.2 (MP4); RFC 8794 and RFC 9559 (Matroska); Microsoft's AVI RIFF and ASF specifications.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

_MAX_PARTS = 1_000_000
# Boxes at the top of an MP4. Anything else is what phones and players append to the file.
_MP4_BOXES = frozenset(
    {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"moof", b"mfra", b"sidx", b"ssix", b"styp", b"uuid"}
    | {b"meta", b"pdin", b"emsg", b"prft", b"udta", b"pnot"}
)
_EBML, _SEGMENT = 0x1A45DFA3, 0x18538067
# Elements of a Matroska segment: Cluster, SeekHead, Info, Tracks, Cues, Attachments, Chapters, Tags, Void, CRC-32.
_IN_SEGMENT = frozenset(
    {0x1F43B675, 0x114D9B74, 0x1549A966, 0x1654AE6B, 0x1C53BB6B, 0x1941A469, 0x1043A770, 0x1254C367, 0xEC, 0xBF}
)
_ASF_FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_ASF_HEADER_BYTES = 64 * 1024


def find_missing_share(file: Path, format_name: str) -> float | None:
    """Return 0 for a complete file, up to 1 for one that lost its end, None if the file does not say.

    ``format_name`` is ffprobe's, such as ``matroska,webm``.
    """
    read = next((read for name, read in _READERS.items() if format_name.startswith(name)), None)
    if read is None:
        return None
    size = file.stat().st_size
    try:
        with file.open("rb") as stream:
            stated = read(stream, size)
    except (struct.error, ValueError, IndexError, OverflowError):
        return None
    return max(0.0, (stated - size) / stated) if stated else None


def _read_mp4(stream: BinaryIO, size: int) -> int | None:
    """Return where the last box ends."""
    at = 0
    for _ in range(_MAX_PARTS):
        if at >= size:
            return at
        stream.seek(at)
        header = stream.read(16)
        length, name = struct.unpack_from(">I4s", header)
        if length == 0 or name not in _MP4_BOXES:  # 0: up to the end of the file, however much of it is there
            return None
        if length == 1:
            length = struct.unpack_from(">Q", header, 8)[0]
        if length < 8:
            return None
        at += length
    return None


def _read_matroska(stream: BinaryIO, size: int) -> int | None:
    """Return where the segment ends; None if it states no size, or if its elements do not lead there."""
    name, length, body = _read_element(stream, 0)
    if name != _EBML or length is None:
        return None
    name, length, at = _read_element(stream, body + length)
    if name != _SEGMENT or length is None:
        return None
    end = at + length
    if end > size:
        return end
    for _ in range(_MAX_PARTS):
        if at >= end:
            return size
        name, length, body = _read_element(stream, at)
        if name not in _IN_SEGMENT or length is None:
            return None
        at = body + length
    return None


def _read_element(stream: BinaryIO, at: int) -> tuple[int, int | None, int]:
    """Return id and length of an EBML element, None for an unknown length, and where its contents begin."""
    stream.seek(at)
    header = stream.read(12)
    wide = 9 - header[0].bit_length()
    long = 9 - header[wide].bit_length()
    if wide > 4 or long > 8 or len(header) < wide + long:
        raise ValueError("not an EBML element")
    value = int.from_bytes(header[wide : wide + long], "big") & ((1 << 7 * long) - 1)
    unknown = value == (1 << 7 * long) - 1
    return int.from_bytes(header[:wide], "big"), None if unknown else value, at + wide + long


def _read_avi(stream: BinaryIO, size: int) -> int | None:
    """Return where the last RIFF chunk ends: a large file has several."""
    at = 0
    for _ in range(_MAX_PARTS):
        stream.seek(at)
        header = stream.read(12)
        if at and (len(header) < 12 or header[:4] != b"RIFF"):
            return at
        length = int.from_bytes(header[4:8], "little")
        if length in (0, 0xFFFFFFFF):  # a recorder that never came back to write it
            return None
        at += 8 + length + length % 2
        if at > size:
            return at
    return None


def _read_asf(stream: BinaryIO, _size: int) -> int | None:
    header = stream.read(_ASF_HEADER_BYTES)
    at = header.index(_ASF_FILE_PROPERTIES)
    size, flags = struct.unpack_from("<Q", header, at + 40)[0], struct.unpack_from("<I", header, at + 88)[0]
    return None if flags & 1 or not size else int(size)  # 1: broadcast, so its size was not known


_READERS: dict[str, Callable[[BinaryIO, int], int | None]] = {
    "mov,": _read_mp4,
    "matroska,": _read_matroska,
    "avi": _read_avi,
    "asf": _read_asf,
}
