"""Exemplars: the last sampled request of each bucket, over all slots, in OpenMetrics alone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse

from church.observability.metrics import exemplars
from church.observability.metrics.exemplars import ExemplarWriter
from church.observability.metrics.merge import Exposition
from church.observability.metrics.worker_files import SLOTS
from tests.support.helpers import no_slot

OLD, NEW = ("a" * 32, "b" * 16), ("c" * 32, "d" * 16)
PLACE = ("GET", "/pages/", "2xx")


@pytest.fixture
def folder(_metrics_slot: Path, tmp_path: Path) -> Iterator[Path]:
    """A folder in which this process may count in one slot after the other."""
    with no_slot(_metrics_slot):
        yield tmp_path


def timed() -> tuple[CollectorRegistry, Histogram]:
    """The request histogram as it is at the start of a process."""
    registry = CollectorRegistry()
    buckets = exemplars._BOUNDS[:-1]
    labels = ["method", "route", "status_class"]
    return registry, Histogram(
        "http_request_duration_seconds", "Of a request.", labels, buckets=buckets, registry=registry
    )


def note(folder: Path, ids: tuple[str, str], value: float = 0.2) -> None:
    """One request with ``ids``, counted and noted in the lowest free slot of ``folder``."""
    SLOTS.take(folder, "web")
    timed()[1].labels(*PLACE).observe(value)
    ExemplarWriter().note(*PLACE, value, ids)


def shown(folder: Path) -> dict[str, dict[str, str]]:
    """The labels of the exemplars that a scrape shows, by the bound of their bucket."""
    text = Exposition(folder, timed()[0]).text(openmetrics=True, names=["http_request_duration_seconds_bucket"])
    family = next(iter(parse(text + "# EOF\n")))
    return {s.labels["le"]: s.exemplar.labels for s in family.samples if s.exemplar is not None}


def test_scrape_shows_the_last_sampled_request_of_a_bucket(folder: Path) -> None:
    note(folder, OLD)
    note(folder, NEW)
    assert shown(folder) == {"0.2": {"trace_id": NEW[0], "span_id": NEW[1]}}


def test_scrape_of_two_slots_shows_the_newer(folder: Path) -> None:
    note(folder, NEW)
    (folder / "exemplars.slot0").rename(folder / "exemplars.slot7")
    SLOTS.leave()
    note(folder, OLD)
    assert shown(folder) == {"0.2": {"trace_id": OLD[0], "span_id": OLD[1]}}


@pytest.mark.parametrize(("value", "bound"), [(0.0, "0.005"), (0.3, "0.3"), (0.31, "0.5"), (99.0, "+Inf")])
def test_exemplar_is_shown_with_the_bucket_of_its_value(folder: Path, value: float, bound: str) -> None:
    note(folder, NEW, value)
    assert list(shown(folder)) == [bound]


def test_plain_text_has_no_exemplars(folder: Path) -> None:
    note(folder, NEW)
    assert " # {" not in Exposition(folder, timed()[0]).text(openmetrics=False)


def test_record_that_was_read_while_it_was_written_is_left_out(folder: Path) -> None:
    note(folder, NEW)
    path = folder / "exemplars.slot0"
    data = bytearray(path.read_bytes())
    data[30] ^= 1
    path.write_bytes(data)
    assert exemplars.read(folder) == {}


def test_truncated_file_does_no_harm(folder: Path) -> None:
    note(folder, NEW)
    SLOTS.leave()
    path = folder / "exemplars.slot0"
    path.write_bytes(path.read_bytes()[:100])
    assert exemplars.read(folder) == {}


def test_exemplar_older_than_an_hour_is_not_shown(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    note(folder, NEW)
    later = time.time() + exemplars.MAX_AGE_SECONDS + 1
    monkeypatch.setattr(exemplars.time, "time", lambda: later)
    assert exemplars.read(folder) == {}


def test_full_file_keeps_its_exemplars_and_takes_no_more(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    SLOTS.take(folder, "web")
    monkeypatch.setattr(exemplars, "MAX_RECORDS", 2)
    book = ExemplarWriter()
    for route in ("/a", "/b", "/c", "/" + "x" * 200):
        book.note("GET", route, "2xx", 0.1, NEW)
    assert {place[0][1] for place in exemplars.read(folder)} == {"/a", "/b"}
