"""How long samples are kept, and how old ones become fewer: 15 seconds for 2 days, 5 minutes for 90, hours for 2 years.

A thinned sample stands for a period that ends at its ``ts``: of a counter it has the increase in it, of a histogram
that of each bucket, of a gauge the average over the time with scrapes, and as ``total`` the highest value.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from church.telemetry_store.metrics import own
from church.telemetry_store.segments import SegmentInfo, read_segments, write_segment

TABLE = "samples"
DAY = 86_400_000_000  # microseconds
_NAME = re.compile(rf"{TABLE}-\d+-\d+-(\d+)s\.parquet")


class Stage(NamedTuple):
    """Samples that stand for ``resolution`` seconds are kept for ``days``, and then thinned for the next stage."""

    resolution: int
    days: int


STAGES = (Stage(15, 2), Stage(300, 90), Stage(3600, 730))


class Batch(NamedTuple):
    """Segments of one day to thin together, to samples that stand for ``resolution`` seconds."""

    segments: list[SegmentInfo]
    resolution: int


def coarsest_since(begin: int, now: int) -> int:
    """The most seconds that samples since ``begin`` stand for. Times are in microseconds since 1970."""
    for stage in STAGES:
        if begin >= now - stage.days * DAY:
            return stage.resolution
    return STAGES[-1].resolution


def find_thinnable(segments: Iterable[SegmentInfo], now: int) -> Iterator[Batch]:
    """The segments of samples that are older than their stage keeps them, day by day."""
    due = [(segment.first // DAY, resolution, segment) for segment in segments if (resolution := _due(segment, now))]
    due.sort(key=lambda one: one[:2])
    for (_, resolution), batch in groupby(due, key=lambda one: one[:2]):
        yield Batch([segment for _, _, segment in batch], resolution)


def find_outdated(segments: Iterable[SegmentInfo], now: int) -> list[SegmentInfo]:
    """The segments of samples that are older than the last stage keeps them."""
    return [segment for segment in segments if segment.last < now - STAGES[-1].days * DAY]


def _due(segment: SegmentInfo, now: int) -> int | None:
    """The resolution that a segment should have by its age, None if it has it."""
    found = _NAME.fullmatch(segment.file)
    resolution = int(found[1]) if found else STAGES[0].resolution
    wanted = coarsest_since(segment.last, now)
    return wanted if wanted > resolution else None


def thin(connection: Any, sources: Sequence[Path], resolution: int, target: Path) -> SegmentInfo:
    """Write the samples of several segments to the new file ``target``, one for each ``resolution`` seconds.

    Samples that stand for as much already stay as they are. Raises what ``write_segment`` raises.
    """
    statement = _THIN.format(source=read_segments(sources), seconds=int(resolution), up=own.UP)
    connection.execute(f"CREATE OR REPLACE TEMP TABLE thinned AS {statement}")
    return write_segment(connection, TABLE, "thinned", target)


_THIN = """
WITH placed AS (
    SELECT *, greatest(resolution, {seconds}) AS period,
        ((ts - 1) // (period * 1000000) + 1) * period * 1000000 AS until
    FROM {source}
), summed AS (
    SELECT until, max(seq) AS seq, host, period, name, kind, source, labels, bounds,
        sum(value) AS value, sum(total) AS total, max(coalesce(total, value)) AS highest,
        sum(value * resolution) AS area, sum(resolution) AS seconds
    FROM placed GROUP BY until, host, period, name, kind, source, labels, bounds
), scraped AS (
    SELECT until, host, period, nullif(area, 0) AS seconds FROM summed WHERE name = '{up}'
), counts AS (
    SELECT until, host, period, name, labels, bounds, unnest(buckets) AS count,
        generate_subscripts(buckets, 1) AS place
    FROM placed WHERE buckets IS NOT NULL
), counted AS (
    SELECT until, host, period, name, labels, bounds, list(count ORDER BY place) AS buckets FROM (
        SELECT until, host, period, name, labels, bounds, place, sum(count) AS count FROM counts
        GROUP BY until, host, period, name, labels, bounds, place
    ) GROUP BY until, host, period, name, labels, bounds
)
SELECT until AS ts, seq, host, CAST(period AS BIGINT) AS resolution, name, kind, source, labels,
    CASE WHEN kind <> 'gauge' THEN value
        WHEN name = '{up}' THEN area / summed.seconds
        ELSE area / coalesce(scraped.seconds, summed.seconds) END AS value,
    CASE kind WHEN 'histogram' THEN total WHEN 'gauge' THEN highest END AS total,
    buckets, bounds
FROM summed LEFT JOIN scraped USING (until, host, period)
    LEFT JOIN counted USING (until, host, period, name, labels, bounds)
"""
