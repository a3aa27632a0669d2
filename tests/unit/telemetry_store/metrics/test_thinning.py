"""Old samples become fewer, and say the same of each period."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from church.telemetry_store.engine import Engine
from church.telemetry_store.metrics.thinning import (
    DAY,
    coarsest_since,
    find_outdated,
    find_thinnable,
    thin,
)
from church.telemetry_store.segments import SegmentInfo, segment_name, write_segment
from tests.support.samples import add, sample, sample_table

NOW = 20_000 * DAY + DAY // 2
MINUTE = 60_000_000


@pytest.fixture
def connection() -> Iterator[Any]:
    with sample_table() as opened:
        yield opened


def write(connection: Any, path: Path, rows: Iterable[dict[str, Any]]) -> Path:
    connection.execute("DELETE FROM recent_samples")
    add(connection, rows)
    write_segment(connection, "samples", "recent_samples", path)
    return path


def thinned(connection: Any, folder: Path, *sources: Path, resolution: int = 300) -> list[dict[str, Any]]:
    """The rows of these segments when they have become one."""
    target = folder / segment_name("samples", 0, resolution, resolution)
    thin(connection, sources, resolution, target)
    found = connection.execute(f"SELECT * FROM '{target}' ORDER BY ts, name, labels, host")
    names = [column[0] for column in found.description]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def test_thin_adds_up_increases_and_averages_gauges_over_scrapes(connection: Any, tmp_path: Path) -> None:
    first = write(
        connection,
        tmp_path / "a",
        [
            *(sample(ts * 15_000_000) for ts in range(1, 11)),
            *(sample(ts * 15_000_000, value=0.0) for ts in range(11, 21)),  # the site was down
            sample(15_000_000, "hits", "counter", 3),
            sample(300_000_000, "hits", "counter", 4),
            sample(315_000_000, "hits", "counter", 8),
            sample(15_000_000, "fill", value=10),
            sample(30_000_000, "fill", value=30),  # and absent later
            sample(30_000_000, "fill", value=5, host="b"),  # a host without a word on scrapes
        ],
    )
    rows = thinned(connection, tmp_path, first)
    shown = [(row["ts"] // 1_000_000, row["name"], row["host"], row["value"], row["total"]) for row in rows]
    assert shown == [
        (300, "fill", "a", 4, 30),
        (300, "fill", "b", 5, 5),
        (300, "hits", "a", 7, None),
        (300, "scrape_up", "a", 0.5, 1),
        (600, "hits", "a", 8, None),
    ]
    assert {row["resolution"] for row in rows} == {300}


def test_thin_adds_up_each_bucket_of_a_histogram_by_its_bounds(connection: Any, tmp_path: Path) -> None:
    def lag(ts: int, buckets: list[float], bounds: list[float], labels: str = "{}") -> dict[str, Any]:
        more = {"buckets": buckets, "bounds": bounds, "total": 1.5, "labels": labels}
        return sample(ts, "lag", "histogram", sum(buckets), **more)

    one = write(connection, tmp_path / "a", [lag(MINUTE, [1, 0, 2], [1, 5]), lag(2 * MINUTE, [4, 5, 6], [1, 5])])
    more = [lag(3 * MINUTE, [1, 1], [1]), lag(4 * MINUTE, [7, 7, 7], [1, 5], '{"x":"y"}')]
    two = write(connection, tmp_path / "b", more)
    found = [
        (r["labels"], r["bounds"], r["buckets"], r["value"], r["total"])
        for r in thinned(connection, tmp_path, one, two)
    ]
    assert sorted(found) == [
        ('{"x":"y"}', [1, 5], [7, 7, 7], 21, 1.5),
        ("{}", [1], [1, 1], 2, 1.5),
        ("{}", [1, 5], [5, 5, 8], 18, 3),
    ]


def test_thin_twice_gives_what_thinning_at_once_gives(connection: Any, tmp_path: Path) -> None:
    rows = [sample(ts * 15_000_000) for ts in range(1, 500)]
    rows += [sample(ts * 15_000_000, "fill", value=ts % 7) for ts in range(1, 500)]
    rows += [sample(ts * 15_000_000, "hits", "counter", ts) for ts in range(1, 500, 3)]
    raw = write(connection, tmp_path / "raw", rows)
    at_once = thinned(connection, tmp_path, raw, resolution=3600)
    once = tmp_path / segment_name("samples", 0, 300, 300)
    assert thinned(connection, tmp_path, raw) == thinned(connection, tmp_path, write_again(connection, once, tmp_path))
    twice = thinned(connection, tmp_path, once, resolution=3600)
    assert [(row["ts"], row["name"], row["total"]) for row in twice] == [
        (row["ts"], row["name"], row["total"]) for row in at_once
    ]
    assert [row["value"] for row in twice] == pytest.approx([row["value"] for row in at_once], rel=0.02)


def write_again(connection: Any, source: Path, folder: Path) -> Path:
    """A copy of a segment under a name that says nothing of its resolution."""
    path = folder / "again"
    write_segment(connection, "samples", f"'{source}'", path)
    return path


def test_thin_is_a_task_of_the_engine(tmp_path: Path) -> None:
    engine = Engine(tmp_path)
    raw, target = tmp_path / segment_name("samples", 0, 0), tmp_path / segment_name("samples", 0, 0, 300)
    rows = [tuple(sample(ts * 15_000_000).values()) for ts in range(1, 41)]
    try:
        list(engine.run("seal", {"table": "samples", "target": str(raw)}, {"samples": rows}))
        args = {"table": "samples", "sources": [str(raw)], "resolution": 300, "target": str(target)}
        (answer,) = engine.run("thin", args)
    finally:
        engine.stop()
    assert SegmentInfo(*answer["segment"])[:3] == (target.name, "samples", 2)


def test_segment_of_samples_has_the_rows_of_a_series_side_by_side(connection: Any, tmp_path: Path) -> None:
    rows = [sample(ts, name, labels=labels) for ts in (30, 10, 20) for name, labels in (("b", "{}"), ("a", '{"x":""}'))]
    path = write(connection, tmp_path / "a", rows)
    found = connection.execute("SELECT name, ts FROM read_parquet(?)", [str(path)]).fetchall()
    assert found == [("a", 10), ("a", 20), ("a", 30), ("b", 10), ("b", 20), ("b", 30)]


def segment(age: float, name: str = "") -> SegmentInfo:
    """A segment of some minutes that ended so many days ago."""
    last = NOW - int(age * DAY)
    return SegmentInfo(name or segment_name("samples", last, 1), "samples", 10, 10, last - 5 * MINUTE, last, 1, 2)


def test_find_thinnable_takes_what_is_too_old_for_its_stage_by_day() -> None:
    raw = [segment(age) for age in (0.1, 1.99, 2.1, 2.2, 3.1)]
    coarse = [segment(age, segment_name("samples", int(age * 100), 1, 300)) for age in (4, 89.9, 90.2)]
    hours = [segment(100, segment_name("samples", 7, 1, 3600))]
    batches = list(find_thinnable([*raw, *coarse, *hours], NOW))
    assert [(batch.resolution, batch.segments) for batch in batches] == [
        (3600, [coarse[2]]),
        (300, [raw[4]]),
        (300, [raw[2], raw[3]]),
    ]


def test_find_outdated_takes_what_is_older_than_two_years() -> None:
    old, young = segment(731, segment_name("samples", 1, 1, 3600)), segment(729, segment_name("samples", 2, 1, 3600))
    assert find_outdated([old, young], NOW) == [old]


@pytest.mark.parametrize(("age", "expected"), [(0, 15), (2, 15), (2.1, 300), (90, 300), (91, 3600), (900, 3600)])
def test_coarsest_since(age: float, expected: int) -> None:
    assert coarsest_since(NOW - int(age * DAY), NOW) == expected
