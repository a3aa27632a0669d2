"""The share of a file that is missing, by the sizes that each format states."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from church.services.videos.importing.missing_bytes import find_missing_share

MP4, MATROSKA = "mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"


def box(name: bytes, contents: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(contents), name) + contents


def element(name: str, contents: bytes, size: bytes | None = None) -> bytes:
    """Return an EBML element; its size takes 8 bytes, as ffmpeg writes it."""
    return bytes.fromhex(name) + (size or (1 << 56 | len(contents)).to_bytes(8, "big")) + contents


def riff(name: bytes, contents: bytes) -> bytes:
    return b"RIFF" + struct.pack("<I", 4 + len(contents)) + name + contents


def asf(size: int, flags: int = 2) -> bytes:
    properties = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365") + bytes(24) + struct.pack("<Q", size)
    return bytes(30) + properties + bytes(40) + struct.pack("<I", flags)


LONG_BOX = struct.pack(">I4sQ", 1, b"mdat", 1016) + bytes(1000)
MOVIE = box(b"ftyp", bytes(8)) + box(b"moov", bytes(100)) + LONG_BOX
HEAD = element("1a45dfa3", bytes(20))
CLUSTERS = element("1549a966", bytes(50)) + element("1f43b675", bytes(400)) * 2 + element("1254c367", bytes(5))
FILM = HEAD + element("18538067", CLUSTERS)
UNKNOWN = b"\x01" + b"\xff" * 7
AVI = riff(b"AVI ", bytes(500)) + riff(b"AVIX", bytes(499)) + b"\0"
WINDOWS = asf(1000).ljust(1000, b"\0")


@pytest.mark.parametrize(
    ("format_name", "data"), [(MP4, MOVIE), (MATROSKA, FILM), ("avi", AVI), ("asf", WINDOWS), ("avi", AVI + bytes(20))]
)
def test_missing_share_of_complete_file_is_0_and_of_half_a_file_a_half(
    tmp_path: Path, format_name: str, data: bytes
) -> None:
    file = tmp_path / "film"
    file.write_bytes(data)
    assert find_missing_share(file, format_name) == 0
    file.write_bytes(data[: len(data) // 4])
    assert (find_missing_share(file, format_name) or 0) > 0.45  # of its first RIFF chunk, or of all


@pytest.mark.parametrize(
    ("format_name", "data"),
    [
        (MP4, box(b"ftyp", bytes(8)) + struct.pack(">I4s", 0, b"mdat") + bytes(100)),  # "up to the end"
        (MP4, box(b"ftyp", bytes(8)) + bytes(100)),
        (MP4, MOVIE + b"\x7f\0\0\0SEFH" + bytes(20)),  # what a phone appends
        (MATROSKA, HEAD + element("18538067", CLUSTERS, UNKNOWN)),  # a live recording
        (MATROSKA, HEAD + element("18538067", CLUSTERS[:300] + bytes(300))),  # zeros, where the rest was to be copied
        (MATROSKA, HEAD + element("18538067", element("1f43b675", bytes(9), UNKNOWN))),
        (MATROSKA, HEAD + b"\0" * 30),
        (MATROSKA, b"\xff"),
        ("avi", b"RIFF\0\0\0\0AVI " + bytes(50)),
        ("asf", asf(1000, flags=1)),  # a broadcast
        ("asf", bytes(1000)),
        ("mpegts", b"G" * 1000),
        (MP4, b""),
    ],
)
def test_missing_share_of_file_that_states_no_size_is_unknown(tmp_path: Path, format_name: str, data: bytes) -> None:
    file = tmp_path / "film"
    file.write_bytes(data)
    assert find_missing_share(file, format_name) is None
