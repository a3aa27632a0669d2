"""Old segments go, and many small ones become few."""

from __future__ import annotations

from church.telemetry_store.retention import MOST_BYTES_MERGED, MOST_ROWS_MERGED, find_expired, find_mergeable
from church.telemetry_store.segments import SegmentInfo

HOUR = 3_600_000_000
DAY = 24 * HOUR
TODAY = 100 * DAY


def segment(first: int, rows: int = 100, size: int = 10, table: str = "logs", last: int | None = None) -> SegmentInfo:
    end = first + HOUR if last is None else last
    return SegmentInfo(f"{table}-{first}-{rows}.parquet", table, rows, size, first, end, 1, rows)


def test_find_expired_takes_segments_that_ended_before_the_limit() -> None:
    old, reaches_over, new = segment(0), segment(2 * HOUR, last=5 * HOUR), segment(6 * HOUR)
    assert find_expired([new, reaches_over, old], oldest=4 * HOUR, most_bytes=1000) == [old]


def test_find_expired_takes_the_oldest_of_all_tables_beyond_the_bytes() -> None:
    segments = [segment(2 * DAY), segment(0), segment(DAY, table="traces"), segment(3 * DAY, table="errors")]
    assert find_expired(segments, oldest=-DAY, most_bytes=25) == [segment(0), segment(DAY, table="traces")]


def test_find_expired_leaves_samples_and_counts_them() -> None:
    samples = segment(0, size=30, table="samples")
    assert find_expired([samples, segment(DAY)], oldest=2 * DAY, most_bytes=1000) == [segment(DAY)]
    assert find_expired([samples, segment(DAY)], oldest=-DAY, most_bytes=35) == [segment(DAY)]


def test_find_mergeable_takes_eight_of_like_size_of_one_day() -> None:
    of_today = [segment(TODAY + place * HOUR) for place in range(8)]
    assert find_mergeable([segment(TODAY - HOUR), *of_today], TODAY + DAY - 1) == of_today
    assert find_mergeable(of_today[:7], TODAY + DAY - 1) == []
    assert find_mergeable([*of_today[:7], segment(TODAY + 20 * HOUR, rows=20_000)], TODAY + DAY - 1) == []


def test_find_mergeable_leaves_large_segments() -> None:
    many_rows = [segment(TODAY + place * HOUR, rows=MOST_ROWS_MERGED // 2) for place in range(20)]
    many_bytes = [segment(TODAY + place * HOUR, size=MOST_BYTES_MERGED // 2) for place in range(20)]
    for today in (TODAY, TODAY + DAY):
        assert find_mergeable(many_rows, today) == []
        assert find_mergeable(many_bytes, today) == []


def test_find_mergeable_takes_no_more_than_fit_into_one() -> None:
    by_rows = [segment(TODAY + place * HOUR, rows=50_000) for place in range(20)]
    by_bytes = [segment(TODAY + place * HOUR, size=MOST_BYTES_MERGED // 3) for place in range(20)]
    for today in (TODAY, TODAY + DAY):
        assert find_mergeable(by_rows, today) == by_rows[:4]
        assert find_mergeable(by_bytes, today) == by_bytes[:3]


def test_find_mergeable_takes_all_small_ones_of_a_day_that_is_over() -> None:
    segments = [segment(TODAY - DAY + place * HOUR, rows=10 ** (place + 2)) for place in range(3)]
    assert find_mergeable(segments, TODAY) == segments
    assert find_mergeable(segments[:1], TODAY) == []


def test_a_day_of_segments_becomes_few() -> None:
    """A segment each ten minutes, merged as they come."""
    kept: list[SegmentInfo] = []
    written = 0
    for place in range(144):
        kept.append(segment(TODAY + place * HOUR // 6, rows=600))
        while found := find_mergeable(kept, TODAY + place * HOUR // 6):
            kept = [one for one in kept if one not in found]
            kept.append(segment(found[0].first, rows=sum(one.rows for one in found), last=found[-1].last))
            kept.sort(key=lambda one: one.first)
            written += kept[-1].rows
    assert len(kept) < 24
    found = find_mergeable(kept, TODAY + DAY)
    assert found == kept
    assert sum(one.rows for one in kept) == 144 * 600
