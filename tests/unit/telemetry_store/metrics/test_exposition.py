"""The text of /metrics becomes series with their numbers."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest

from church.telemetry_store.metrics.exposition import Reader

TEXT = """\
# HELP http_requests_total Answered "requests", by route.
# TYPE http_requests_total counter
http_requests_total{method="GET",route="/pages/<slug>"} 7.0
http_requests_total{method="GET",route="/"} 1e+06
# HELP in_flight Requests in progress.
# TYPE in_flight gauge
in_flight 3.0
# HELP lag_seconds Lag.
# TYPE lag_seconds histogram
lag_seconds_bucket{le="0.5"} 1.0
lag_seconds_bucket{le="2.5"} 4.0
lag_seconds_bucket{le="+Inf"} 5.0
lag_seconds_count 5.0
lag_seconds_sum 20.25
# HELP telemetry_shared_metric 1 for each metric of the database.
# TYPE telemetry_shared_metric gauge
telemetry_shared_metric{metric="in_flight"} 1.0
"""


def read(reader: Reader, text: str) -> dict[tuple[str, str], list[float]]:
    return {(series.name, series.labels): values for series, values in reader.read(text).items()}


def test_read_gives_the_numbers_of_each_series() -> None:
    reader = Reader()
    for _ in range(2):  # the second time from what it has learned
        numbers = read(reader, TEXT)
        assert numbers["http_requests_total", '{"method":"GET","route":"/pages/<slug>"}'] == [7]
        assert numbers["http_requests_total", '{"method":"GET","route":"/"}'] == [1e6]
        assert numbers["in_flight", "{}"] == [3]
        assert numbers["lag_seconds", "{}"] == [20.25, 1, 4, 5]
    assert reader.families["http_requests_total"] == ("counter", 'Answered "requests", by route.')
    assert reader.shared == {"in_flight"}
    assert {one.name: one.bounds for one in reader.list_series()}["lag_seconds"] == [0.5, 2.5]


def test_read_label_with_escapes_and_any_order_is_one_series() -> None:
    reader = Reader()
    (series,) = reader.read('# TYPE x counter\nx{b="say \\"hi\\"\\n\\\\",a="1"} 2\n')
    assert json.loads(series.labels) == {"a": "1", "b": 'say "hi"\n\\'}
    assert list(reader.read('# TYPE x counter\nx{a="1",b="say \\"hi\\"\\n\\\\"} 3\n')) == [series]


def test_read_label_sets_of_a_histogram_that_come_later_are_read() -> None:
    text = "# TYPE h histogram\n" + "".join(
        f'h_bucket{{le="{le}",of="{of}"}} {n}\n' for of in ("a", "b") for n, le in enumerate(("1", "+Inf"))
    )
    reader = Reader()
    read(reader, text)
    more = text + 'h_bucket{le="1",of="c"} 5\nh_bucket{le="+Inf",of="c"} 6\nh_sum{of="c"} 9\n'
    assert read(reader, more)["h", '{"of":"c"}'] == [9, 5, 6]


@pytest.mark.parametrize("bounds", [("0.5", "1.0", "2.5", "+Inf"), ("0.5", "+Inf"), ("1.0", "+Inf")])
def test_read_buckets_of_another_version_are_learned_anew(bounds: tuple[str, ...]) -> None:
    reader = Reader()
    reader.read(TEXT)
    buckets = [f'lag_seconds_bucket{{le="{bound}"}} {number}' for number, bound in enumerate(bounds)]
    numbers = read(reader, "\n".join(["# TYPE lag_seconds histogram", *buckets, "lag_seconds_sum 1"]))
    assert numbers["lag_seconds", "{}"] == [1, *range(len(bounds))]
    (series,) = reader.list_series()
    assert series.bounds == [float(bound) for bound in bounds[:-1]]


@pytest.mark.parametrize("text", ["# TYPE x counter\nx many", '# TYPE h histogram\nh_bucket{le="1"} 4'])
def test_read_damaged_text_does_not_spoil_the_next(text: str) -> None:
    reader = Reader()
    with suppress(ValueError):
        assert not reader.read(text)
    assert read(reader, TEXT)["lag_seconds", "{}"] == [20.25, 1, 4, 5]
