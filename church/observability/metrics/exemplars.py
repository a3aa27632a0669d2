"""Exemplars of the request histogram: the last sampled request of each bucket.

prometheus_client keeps none where several processes count. Here each slot has a file with records of a fixed size,
written in place by its process alone and read by the worker that is scraped. A record that is read while it is
written fails its checksum and is left out until the next scrape.
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

MAX_RECORDS = 2048  # records of a slot: 0.5 MiB
MAX_AGE_SECONDS = 3600.0  # seconds for which an exemplar is shown
_RECORD = struct.Struct("<I d d 32s 16s 184s")
_BOUNDS: tuple[float, ...] = client_internals.bucket_bounds(definitions.http_request_duration)
_BODY = _RECORD.size - 4

Place = tuple[tuple[str, ...], float]
"""A bucket: the values of the histogram's labels, ordered by the labels' names, and the bucket's bound."""


class Exemplar(NamedTuple):
    """A duration in seconds, its Unix time, and the trace of its request."""

    value: float
    at: float
    trace_id: str
    span_id: str

    def __str__(self) -> str:
        """The OpenMetrics text that follows a bucket's value."""
        labels = f'span_id="{self.span_id}",trace_id="{self.trace_id}"'
        return f" # {{{labels}}} {self.value!r} {self.at:.3f}"


class ExemplarWriter:
    """Writes the exemplars of this process to the file of its slot; drops them until it has one."""

    def __init__(self) -> None:
        self._places: dict[tuple[str, str, str, int], int] = {}
        self._file: mmap.mmap | None = None
        self._of: tuple[Path, int] | None = None

    def note(self, method: str, route: str, status_class: str, value: float, ids: tuple[str, str]) -> None:
        """Keep the request with ``ids`` (trace, span) as the exemplar of its bucket. Raises OSError on a full disk."""
        file = self._open()
        if file is None:
            return
        bucket = min(bisect_left(_BOUNDS, value), len(_BOUNDS) - 1)
        key = (method, route, status_class, bucket)
        number = self._places.get(key)
        if number is None:
            number = len(self._places)
            if number >= MAX_RECORDS or len(_packed(key)) > 184:
                return
            self._places[key] = number
        record = _RECORD.pack(0, value, time.time(), ids[0].encode(), ids[1].encode(), _packed(key))
        start = number * _RECORD.size
        file[start : start + _RECORD.size] = zlib.crc32(record[4:]).to_bytes(4, "little") + record[4:]

    def _open(self) -> mmap.mmap | None:
        """The slot's file, created anew after this process has taken the slot."""
        directory, number = worker_files.SLOTS.directory, worker_files.SLOTS.number
        if directory is None or number is None:
            return None
        if self._of != (directory, number):
            path = directory / f"exemplars.slot{number}"
            path.unlink(missing_ok=True)
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.ftruncate(fd, MAX_RECORDS * _RECORD.size)
                client_internals.reserve(fd, MAX_RECORDS * _RECORD.size)
                self._file = mmap.mmap(fd, MAX_RECORDS * _RECORD.size)
            finally:
                os.close(fd)
            self._places.clear()
            self._of = (directory, number)
        return self._file


def _packed(key: tuple[str, str, str, int]) -> bytes:
    return "\0".join(map(str, key)).encode()


def read(directory: Path) -> dict[Place, Exemplar]:
    """The newest exemplar of each bucket over all slots of ``directory``, without damaged and old ones."""
    newest: dict[Place, Exemplar] = {}
    oldest = time.time() - MAX_AGE_SECONDS
    for path in directory.glob("exemplars.slot*"):
        with suppress(OSError):
            for place, exemplar in _records(path.read_bytes()):
                if exemplar.at >= oldest and (place not in newest or newest[place].at < exemplar.at):
                    newest[place] = exemplar
    return newest


def _records(data: bytes) -> Sequence[tuple[Place, Exemplar]]:
    records = []
    for start in range(0, len(data) - _RECORD.size + 1, _RECORD.size):
        crc, value, at, trace_id, span_id, packed = _RECORD.unpack_from(data, start)
        if not crc:
            break  # the rest is empty: records are filled in order
        if zlib.crc32(data[start + 4 : start + 4 + _BODY]) != crc:
            continue
        method, route, status_class, bucket = packed.rstrip(b"\0").decode().split("\0")
        place = ((method, route, status_class), _BOUNDS[int(bucket)])
        records.append((place, Exemplar(value, at, trace_id.decode(), span_id.decode())))
    return records


WRITER = ExemplarWriter()
