"""Which segments are too old or too many, and which should become one."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from church.telemetry_store.segments import SegmentInfo

SAMPLES = "samples"
"""The table whose rows are thinned and kept for spans of their own."""
MOST_ROWS_MERGED = 200_000
MOST_BYTES_MERGED = 16 * 1024 * 1024
"""Rows and bytes on disk of a segment that others become: sorting them takes 200 MB."""
_GROUP = 8
"""How many segments of like size become one, which is then one of eight of the next size."""
_SMALLEST = 1_000
_DAY = 86_400_000_000  # microseconds


def find_expired(segments: Iterable[SegmentInfo], oldest: int, most_bytes: int) -> list[SegmentInfo]:
    """The segments that end before ``oldest`` (microseconds), and the oldest of those that take too much together.

    Those of samples count, and stay.
    """
    by_age = sorted(segments, key=lambda segment: (segment.last, segment.file))
    total = sum(segment.bytes for segment in by_age)
    expired = []
    for segment in by_age:
        if segment.table == SAMPLES:
            continue
        if segment.last < oldest or total > most_bytes:
            expired.append(segment)
            total -= segment.bytes
    return expired


def find_mergeable(segments: list[SegmentInfo], today: int) -> list[SegmentInfo]:
    """The segments of one table, sorted by time, that should become one; none if all are well.

    Of eight of like size of one day as many do as fit. Of a day that is over (before ``today``, microseconds) all small
    ones do.
    """
    for day, group in groupby(segments, key=lambda segment: segment.first // _DAY):
        small = [segment for segment in group if not _is_large(segment)]
        least = 2 if day < today // _DAY else _GROUP
        alike = [small] if least == 2 else _group_by_size(small)
        for found in alike:
            chosen = _fitting(found)
            if len(found) >= least and len(chosen) > 1:
                return chosen
    return []


def _is_large(segment: SegmentInfo) -> bool:
    return segment.rows >= MOST_ROWS_MERGED // 2 or segment.bytes >= MOST_BYTES_MERGED // 2


def _group_by_size(segments: list[SegmentInfo]) -> list[list[SegmentInfo]]:
    by_size = sorted(segments, key=_size)
    return [list(alike) for _, alike in groupby(by_size, key=_size)]


def _size(segment: SegmentInfo) -> int:
    """0 for up to 1,000 rows, and one more for each eight times as many."""
    size, limit = 0, _SMALLEST
    while segment.rows > limit:
        size, limit = size + 1, limit * _GROUP
    return size


def _fitting(segments: list[SegmentInfo]) -> list[SegmentInfo]:
    """The first of the segments, as many as may become one."""
    rows = size = 0
    fitting = []
    for segment in segments:
        rows, size = rows + segment.rows, size + segment.bytes
        if rows > MOST_ROWS_MERGED or size > MOST_BYTES_MERGED:
            break
        fitting.append(segment)
    return fitting
