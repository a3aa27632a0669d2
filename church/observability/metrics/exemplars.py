"""Exemplars of the request histogram: for each bucket the last sampled request that fell into it.

prometheus_client keeps none where several processes count. Here each slot has a file of its own with records of one
size, written in place by its process alone and read by whichever worker is scraped. A record that is read while it
is written fails its checksum and is left out: the next scrape has it.
OpenMetrics 1.0: an exemplar's labels have at most 128 characters; it belongs to a bucket, with value and timestamp.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
import zlib
from bisect import bisect_left
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from church.observability.metrics import client_internals, definitions, worker_files

MOST = 2048  # records of a slot: 0.5 MiB
KEPT = 3600.0  # seconds after which a trace is too old to lead to
_RECORD = struct.Struct("<I d d 32s 16s 184s")
_BOUNDS: tuple[float, ...] = client_internals.bucket_bounds(definitions.http_request_duration)
_BODY = _RECORD.size - 4

Place = tuple[tuple[str, ...], float]
"""A bucket: the values of the histogram's labels, ordered by the labels' names, and the bucket's bound."""


class Exemplar(NamedTuple):
    """One observation (seconds) and the trace it was made in, at a Unix time."""

    value: float
    at: float
    trace_id: str
    span_id: str

    def __str__(self) -> str:
        """As OpenMetrics has it behind a bucket's value."""
        labels = f'span_id="{self.span_id}",trace_id="{self.trace_id}"'
        return f" # {{{labels}}} {self.value!r} {self.at:.3f}"


class Book:
    """What this process's slot has noted; in memory alone until there is a slot to write to."""

    def __init__(self) -> None:
        self._places: dict[tuple[str, str, str, int], int] = {}
        self._file: mmap.mmap | None = None
        self._of: tuple[Path, int] | None = None

    def note(self, method: str, route: str, status_class: str, value: float, ids: tuple[str, str]) -> None:
        """Remember the request with ``ids`` (trace, span) for its bucket. Raises OSError on a full disk."""
        file = self._open()
        if file is None:
            return
        bucket = min(bisect_left(_BOUNDS, value), len(_BOUNDS) - 1)
        key = (method, route, status_class, bucket)
        number = self._places.get(key)
        if number is None:
            number = len(self._places)
            if number >= MOST or len(_packed(key)) > 184:
                return
            self._places[key] = number
        record = _RECORD.pack(0, value, time.time(), ids[0].encode(), ids[1].encode(), _packed(key))
        start = number * _RECORD.size
        file[start : start + _RECORD.size] = zlib.crc32(record[4:]).to_bytes(4, "little") + record[4:]

    def _open(self) -> mmap.mmap | None:
        """The slot's file, made anew when the slot was taken by this process."""
        directory, number = worker_files.SLOTS.directory, worker_files.SLOTS.number
        if directory is None or number is None:
            return None
        if self._of != (directory, number):
            path = directory / f"exemplars.slot{number}"
            path.unlink(missing_ok=True)
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.ftruncate(fd, MOST * _RECORD.size)
                client_internals.reserve(fd, MOST * _RECORD.size)
                self._file = mmap.mmap(fd, MOST * _RECORD.size)
            finally:
                os.close(fd)
            self._places.clear()
            self._of = (directory, number)
        return self._file


def _packed(key: tuple[str, str, str, int]) -> bytes:
    return "\0".join(map(str, key)).encode()


def read(directory: Path) -> dict[Place, Exemplar]:
    """The newest exemplar of each bucket over all slots of ``directory``; what is damaged or old is left out."""
    found: dict[Place, Exemplar] = {}
    oldest = time.time() - KEPT
    for path in directory.glob("exemplars.slot*"):
        with suppress(OSError):
            for place, exemplar in _records(path.read_bytes()):
                if exemplar.at >= oldest and (place not in found or found[place].at < exemplar.at):
                    found[place] = exemplar
    return found


def _records(data: bytes) -> Sequence[tuple[Place, Exemplar]]:
    found = []
    for start in range(0, len(data) - _RECORD.size + 1, _RECORD.size):
        crc, value, at, trace_id, span_id, packed = _RECORD.unpack_from(data, start)
        if not crc:
            break  # records are filled one after the other
        if zlib.crc32(data[start + 4 : start + 4 + _BODY]) != crc:
            continue
        method, route, status_class, bucket = packed.rstrip(b"\0").decode().split("\0")
        place = ((method, route, status_class), _BOUNDS[int(bucket)])
        found.append((place, Exemplar(value, at, trace_id.decode(), span_id.decode())))
    return found


BOOK = Book()
