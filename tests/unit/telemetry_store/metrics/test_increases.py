"""Counters become increases, with resets taken out, over restarts of the store too."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from church.telemetry_store.metrics.exposition import Numbers, Series
from church.telemetry_store.metrics.increases import Increases, Sample

SERIES = {
    name: Series(name, kind, "{}", bounds, bool(bounds))
    for name, kind, bounds in (
        ("hits", "counter", []),
        ("more", "counter", []),
        ("paid", "counter", []),
        ("fill", "gauge", []),
        ("lag", "histogram", [0.5, 2.5]),
    )
}


def take(increases: Increases, **values: float | list[float]) -> dict[str, Sample]:
    """The samples, by name, of a scrape in which each series has this value."""
    numbers: Numbers = {SERIES[name]: [v] if isinstance(v, int | float) else v for name, v in values.items()}
    return {sample.name: sample for sample in increases.take(numbers, list(values), frozenset({"paid"}))}


def restart(increases: Increases) -> Increases:
    """What a new process knows of these."""
    new = Increases()
    new.load(json.loads(json.dumps(increases.dump())))
    return new


def test_counter_first_seen_by_a_new_store_is_no_increase() -> None:
    increases = Increases()
    assert take(increases, hits=1_000) == {}
    assert take(increases, hits=1_003)["hits"].value == 3
    assert take(increases, hits=1_003) == {}


def test_counter_that_appears_beside_others_began_at_zero() -> None:
    increases = Increases()
    take(increases, hits=5)
    assert take(increases, hits=5, more=4)["more"].value == 4


def test_counter_that_fell_was_reset_and_counts_whole() -> None:
    increases = Increases()
    take(increases, hits=100)
    assert take(increases, hits=7)["hits"].value == 7


def test_counter_of_the_database_absent_for_a_while_rises_by_the_difference() -> None:
    increases = Increases()
    take(increases, hits=1, paid=500)
    take(increases, hits=1)
    assert take(restart(increases), hits=1, paid=520)["paid"] == ("paid", "counter", "D", "{}", 20, None, None, None)


def test_metric_of_the_database_that_appears_first_is_no_increase() -> None:
    increases = Increases()
    take(increases, hits=1)  # the database was down
    assert take(increases, hits=1, paid=500) == {}
    assert take(increases, hits=1, paid=501)["paid"].value == 1


def test_increase_while_the_store_was_down_counts_at_the_next_scrape() -> None:
    increases = Increases()
    take(increases, hits=10, lag=[1.0, 1, 1, 1], more=0)
    samples = take(restart(increases), hits=15, lag=[9.0, 1, 2, 3], more=2)
    assert (samples["hits"].value, samples["more"].value) == (5, 2)
    assert samples["lag"] == ("lag", "histogram", "P", "{}", 2, 8, [0, 1, 1], [0.5, 2.5])


def test_gauge_is_a_sample_at_each_scrape() -> None:
    increases = Increases()
    for value in (3.5, 3.5, -1.0):
        assert take(increases, fill=value)["fill"] == ("fill", "gauge", "P", "{}", value, None, None, None)
    assert take(increases, fill=float("nan")) == {}


def test_histogram_that_was_reset_counts_whole() -> None:
    increases = Increases()
    take(increases, lag=[100.0, 5, 8, 9])
    assert take(increases, lag=[3.0, 2, 3, 3])["lag"][4:] == (3, 3, [2, 1, 0], [0.5, 2.5])


def test_histogram_with_other_buckets_starts_anew() -> None:
    increases = Increases()
    take(increases, lag=[100.0, 5, 8, 9])
    other = Series("lag", "histogram", "{}", [0.5, 1.0, 2.5], True)
    assert increases.take({other: [100.0, 5, 6, 8, 9]}, ["lag"], frozenset()) == []
    (sample,) = restart(increases).take({other: [101.0, 5, 7, 9, 10]}, ["lag"], frozenset())
    assert (sample.value, sample.buckets, sample.bounds) == (1, [0, 1, 0, 0], [0.5, 1.0, 2.5])


@given(st.lists(st.tuples(st.integers(0, 50), st.booleans(), st.booleans()), max_size=40))
def test_increases_sum_to_all_that_was_counted(steps: list[tuple[int, bool, bool]]) -> None:
    increases, counter, true, kept = Increases(), 20.0, 0.0, 0.0
    take(increases, hits=counter)
    for more, site_restarts, store_restarts in steps:
        if site_restarts and more < counter:  # a counter that passes its old number at once hides that it was reset
            counter = 0.0
        counter += more
        true += more
        increases = restart(increases) if store_restarts else increases
        found = take(increases, hits=counter).get("hits")
        kept += found.value if found else 0.0
    assert kept == true
