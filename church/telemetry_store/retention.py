"""Which segments are too old or too many, and which should become one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from church.telemetry_store.segments import SegmentInfo

SAMPLES = "samples"
"""The table whose rows are thinned and kept for spans of their own."""
MOST_ROWS_MERGED = 500_000
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

    Eight of like size of one day do. Of a day that is over (before ``today``, microseconds) all small ones do.
    """
    for day, group in groupby(segments, key=lambda segment: segment.first // _DAY):
        of_day = [segment for segment in group if segment.rows < MOST_ROWS_MERGED]
        if day < today // _DAY:
            if len(found := next(_fill(of_day), [])) > 1:
                return found
            continue
        by_size = sorted(of_day, key=_size)
        for _, like in groupby(by_size, key=_size):
            chosen = list(like)[:_GROUP]
            if len(chosen) == _GROUP and sum(segment.rows for segment in chosen) <= 2 * MOST_ROWS_MERGED:
                return chosen
    return []


def _size(segment: SegmentInfo) -> int:
    """0 for up to 1,000 rows, and one more for each eight times as many."""
    size, limit = 0, _SMALLEST
    while segment.rows > limit:
        size, limit = size + 1, limit * _GROUP
    return size


def _fill(segments: list[SegmentInfo]) -> Iterator[list[SegmentInfo]]:
    """Put neighbours together as long as they are not too many rows; only what is more than one segment."""
    filled: list[SegmentInfo] = []
    for segment in segments:
        if filled and sum(one.rows for one in filled) + segment.rows > MOST_ROWS_MERGED:
            if len(filled) > 1:
                yield filled
            filled = []
        filled.append(segment)
    if len(filled) > 1:
        yield filled
