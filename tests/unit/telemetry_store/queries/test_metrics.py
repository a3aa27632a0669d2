"""Answers of metrics.range and metrics.many, from rows to points."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from church.telemetry_store.metrics.thinning import DAY
from church.telemetry_store.query_error import QueryError
from tests.support.samples import add, ask, sample, sample_table

SECOND = 1_000_000
BEGIN = 200_000 * DAY  # long after today, so that no sample is old enough to be thinned
COVERED = "scrape_covered_seconds_total"
Points = dict[tuple[str, ...], Any]


@pytest.fixture
def table() -> Iterator[Any]:
    with sample_table() as connection:
        yield connection


def at(second: int) -> int:
    return BEGIN + second * SECOND


def scrapes(*seconds: int, host: str = "a") -> list[dict[str, Any]]:
    """The store's own samples of scrapes that worked."""
    rows = [sample(at(second), host=host) for second in seconds]
    return rows + [sample(at(second), COVERED, "counter", 15, host=host) for second in seconds]


def hits(second: int, value: float, route: str = "/", host: str = "a", **more: Any) -> dict[str, Any]:
    return sample(at(second), "hits_total", "counter", value, labels=f'{{"route":"{route}"}}', host=host, **more)


def points(table: Any, begin: int = 0, end: int = 90, step: int = 30, **args: Any) -> Points:
    """The points of each group, by their second."""
    args = {"name": "hits_total", "fn": "increase", **({} if args.get("whole") else {"step": step}), **args}
    rows = ask(table, "metrics.range", begin=at(begin), end=at(end), **args)
    return {
        tuple(row["labels"].values()): [((ts - BEGIN) // SECOND, value) for ts, value in row["points"]] for row in rows
    }


def test_step_has_the_samples_after_its_begin_up_to_its_end(table: Any) -> None:
    add(table, [*scrapes(0, 15, 30, 45, 60), hits(0, 100), hits(15, 1), hits(30, 2), hits(31, 4), hits(91, 100)])
    assert points(table) == {(): [(0, 3), (30, 4), (60, None)]}


def test_whole_range_is_one_point_at_its_begin(table: Any) -> None:
    add(table, [*scrapes(15, 30, 45, 60), hits(15, 1), hits(30, 2), hits(45, 4), hits(91, 100)])
    assert points(table, begin=15, whole=True) == {(): [(15, 6)]}
    assert points(table, begin=15, whole=True, fn="rate") == {(): [(15, 6 / 45)]}


def test_routes_of_admins_and_programs_can_be_left_out(table: Any) -> None:
    routes = {"/": 1, "/admin": 2, "/admin/logs": 4, "/administrators": 8, "/metrics": 16, "/health": 32}
    add(table, [*scrapes(15), *(hits(15, value, route) for route, value in routes.items())])
    assert points(table, whole=True, exclude_admin=True) == {(): [(0, 9)]}
    assert points(table, whole=True) == {(): [(0, 63)]}


def test_counter_without_a_sample_is_zero_where_it_was_scraped_and_else_unknown(table: Any) -> None:
    add(table, [*scrapes(15, 75), sample(at(45), value=0.0)])
    assert points(table) == {(): [(0, 0), (30, None), (60, 0)]}
    assert points(table, by=["route"]) == {}


def test_rate_is_over_the_time_that_scrapes_covered(table: Any) -> None:
    late = [sample(at(50)), sample(at(50), COVERED, "counter", 35)]  # two scrapes were lost
    add(table, [*scrapes(15), *late, hits(15, 30), hits(50, 70)])
    assert points(table, fn="rate") == {(): [(0, 2), (30, 2), (60, None)]}


def test_hosts_are_added_up_and_values_of_the_database_are_taken_once(table: Any) -> None:
    add(table, [*scrapes(15), *scrapes(15, host="b"), hits(15, 30), hits(15, 60, host="b")])
    for host, value in (("a", 5.0), ("b", 6.0)):
        add(table, [hits(15, value, host=host, source="D") | {"name": "paid_total"}])
        add(table, [sample(at(15), "jobs", value=value, host=host, source="D")])
        add(table, [sample(at(15), "fill", value=value, host=host)])
    assert points(table, end=30) == {(): [(0, 90)]}
    assert points(table, end=30, fn="rate") == {(): [(0, 6)]}
    assert points(table, end=30, name="paid_total") == {(): [(0, 6)]}
    assert points(table, end=30, name="jobs", fn="value") == {(): [(0, 6)]}
    assert points(table, end=30, name="fill", fn="value") == {(): [(0, 11)]}


def test_groups_are_by_label_and_only_of_the_labels_that_are_asked_for(table: Any) -> None:
    add(table, [*scrapes(15), hits(15, 1), hits(15, 2, "/b"), hits(15, 4, "/c")])
    assert points(table, end=30, by=["route"]) == {("/c",): [(0, 4)], ("/b",): [(0, 2)], ("/",): [(0, 1)]}
    assert points(table, end=30, where={"route": ["/", "/b"]}) == {(): [(0, 3)]}
    assert points(table, end=30, where={"route": "/b"}, by=["route", "none"]) == {("/b", ""): [(0, 2)]}
    assert points(table, end=30, where={"route": []}) == {(): [(0, 0)]}


def test_gauge_is_the_average_over_time_of_the_sum_of_its_series(table: Any) -> None:
    rows = [*scrapes(15, 30, 45)]
    rows += [sample(at(s), "fill", value=v, labels='{"slot":"1"}') for s, v in ((15, 2), (30, 4))]
    rows += [sample(at(15), "fill", value=10, labels='{"slot":"2"}')]  # and then it ended
    add(table, rows)
    assert points(table, end=60, name="fill", fn="value") == {(): [(0, 8), (30, None)]}
    assert points(table, end=60, name="fill", fn="average") == {(): [(0, 16 / 3), (30, None)]}
    assert points(table, end=60, name="fill", fn="highest") == {(): [(0, 10), (30, None)]}


def test_thinned_gauge_weighs_as_the_time_that_it_stands_for(table: Any) -> None:
    add(table, [sample(at(300), resolution=300), sample(at(300), "fill", value=4, total=9, resolution=300)])
    add(table, [sample(at(315)), sample(at(315), "fill", value=25)])
    found = {fn: points(table, end=600, step=600, name="fill", fn=fn)[()] for fn in ("value", "highest")}
    assert found == {"value": [(0, 5)], "highest": [(0, 25)]}


def test_histogram_gives_quantile_mean_and_count(table: Any) -> None:
    def took(second: int, buckets: list[float], total: float, bounds: list[float]) -> dict[str, Any]:
        return sample(at(second), "took", "histogram", sum(buckets), total=total, buckets=buckets, bounds=bounds)

    add(table, [*scrapes(15, 30, 45), took(15, [5, 5, 0], 1.5, [0.1, 0.3]), took(30, [10, 0], 0.5, [0.1])])
    asked: dict[str, Any] = {"fn": "quantile", "q": 0.5}
    assert points(table, end=60, name="took", **asked)[()] == [(0, pytest.approx(0.1 * 10 / 15)), (30, None)]
    assert points(table, end=60, name="took", fn="mean") == {(): [(0, 0.1), (30, None)]}
    assert points(table, end=60, name="took", fn="count") == {(): [(0, 20), (30, 0)]}
    assert points(table, end=30, name="took", fn="rate") == {(): [(0, pytest.approx(20 / 30))]}


def test_many_answers_each_range_by_its_index(table: Any) -> None:
    add(table, [*scrapes(15), hits(15, 3), sample(at(15), "fill", value=7)])
    span = {"from": at(0), "to": at(30), "step": 30}
    ranges = [{"name": "fill", "fn": "value", **span}, {"name": "hits_total", "fn": "increase", **span}]
    assert ask(table, "metrics.many", ranges=ranges) == [
        {"index": 0, "labels": {}, "points": [(BEGIN, 7)]},
        {"index": 1, "labels": {}, "points": [(BEGIN, 3)]},
    ]


def test_many_with_other_steps_and_quantiles_is_as_each_alone(table: Any) -> None:
    buckets = {"total": 3.0, "buckets": [4.0, 2.0, 0.0], "bounds": [0.1, 0.5]}
    add(table, [*scrapes(15, 45), hits(15, 3), hits(45, 8, "/b"), sample(at(15), "took", "histogram", 6, **buckets)])
    ranges: list[dict[str, Any]] = [
        {"name": "took", "fn": "quantile", "q": 0.9, "from": at(0), "to": at(60), "step": 30},
        {"name": "hits_total", "fn": "rate", "by": ["route"], "from": at(0), "to": at(60), "step": 60},
        {"name": "hits_total", "fn": "increase", "where": {"route": "/b"}, "from": at(0), "to": at(60), "step": 30},
        {"name": "took", "fn": "mean", "from": at(0), "to": at(60), "step": 30},
    ]
    together = ask(table, "metrics.many", ranges=ranges)
    alone = [{"index": index, **row} for index, one in enumerate(ranges) for row in ask(table, "metrics.range", **one)]
    assert sorted(together, key=lambda row: row["index"]) == alone
    assert [row["index"] for row in alone] == [0, 1, 1, 2, 3]


def test_function_of_another_kind_of_metric_says_which_ones_fit(table: Any) -> None:
    add(table, [*scrapes(15), hits(15, 3)])
    with pytest.raises(QueryError, match="hits_total is a counter: ask for rate, increase"):
        points(table, fn="quantile", q=0.5)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"name": ""}, "name is missing"),
        ({"fn": "sum"}, "fn must be one of"),
        ({"fn": "quantile", "q": 2}, "q must be"),
        ({"by": ["a'b"]}, "by must be"),
        ({"by": "route"}, "by must be"),
        ({"where": {"x y": "1"}}, "where must be"),
        ({"where": {"route": 3}}, "where.route must be"),
        ({"step": 0}, "step must be"),
        ({"end": 3_000_000}, "make step larger"),
        ({"more": 1}, "no argument more"),
    ],
)
def test_wrong_arguments_are_refused_by_name(table: Any, wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(QueryError, match=said) as error:
        points(table, **wrong)
    assert error.value.code == "bad_request"


@pytest.mark.parametrize("ranges", [None, [], [1], [{"name": "x"}], [{"name": "x"}] * 25])
def test_wrong_ranges_are_refused(table: Any, ranges: Any) -> None:
    with pytest.raises(QueryError) as error:
        ask(table, "metrics.many", ranges=ranges)
    assert error.value.code == "bad_request"


def test_step_is_as_long_as_old_samples_stand_for(table: Any) -> None:
    begin = 1_000 * DAY
    add(table, [sample(begin + 3600 * SECOND, resolution=3600)])
    add(table, [sample(begin + 3600 * SECOND, "hits_total", "counter", 5, resolution=3600)])
    args: dict[str, Any] = {
        "name": "hits_total",
        "fn": "increase",
        "begin": begin,
        "end": begin + 7200 * SECOND,
        "step": 60,
    }
    (row,) = ask(table, "metrics.range", **args)
    assert row["points"] == [(begin, 5), (begin + 3600 * SECOND, None)]
