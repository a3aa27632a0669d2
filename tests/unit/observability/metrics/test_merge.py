"""The merge of the slot files, compared with prometheus_client's own merge of the same files."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from church.observability.metrics import definitions
from church.observability.metrics.merge import Exposition
from church.observability.metrics.worker_files import SLOTS
from tests.support.helpers import grows, no_slot

NASTY = [
    'say "hi"',
    "back\\slash",
    "new\nline",
    "\\n",
    "ünïcödé ☃ \U0001f600",
    "",
    " ",
    '{a="b"} 1',
    "tab\there",
    "\u2028",
]
Families = dict[tuple[str, str, str], dict[tuple[str, frozenset[tuple[str, str]]], float]]


class Catalogue:
    """Some metrics of each kind, counted in the slot of this process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.things = Counter(
            "things", 'Things, "quoted" and back\\slashed.', ["kind", "where"], registry=self.registry
        )
        self.plain = Counter("plain", "Of no label.\nTwo lines.", registry=self.registry)
        self.busy = Gauge("busy", "Busy.", registry=self.registry, multiprocess_mode="livesum")
        self.wait = Histogram(
            "a_sum_of_waits_seconds", "Waits.", ["kind"], buckets=(0.0, 0.1, 0.3, 5.0), registry=self.registry
        )
        self.total = Histogram("total_seconds", "Of no label.", buckets=(1.0, 2.0), registry=self.registry)


@pytest.fixture
def session_folder(_metrics_slot: Path) -> Path:
    """Where this run of the tests counts."""
    return _metrics_slot


@pytest.fixture
def folder(_metrics_slot: Path, tmp_path: Path) -> Iterator[Path]:
    """A folder in which this process may count in one slot after the other."""
    with no_slot(_metrics_slot):
        yield tmp_path


def in_slots(folder: Path, *works: Callable[[Catalogue], Any]) -> Catalogue:
    """Run each of ``works`` in a slot of its own, whose process then counts as dead; keep the last slot."""
    counted = Catalogue()
    for number, work in enumerate(works):
        SLOTS.leave()
        other = folder / "other"
        SLOTS.take(other, "web")
        work(counted)
        SLOTS.leave()
        for path in other.glob("*_slot0.db"):
            path.rename(folder / path.name.replace("slot0", f"slot{number}"))
        shutil.rmtree(other)
    SLOTS.take(folder, "web")
    return counted


def families(text: str, openmetrics: bool = False) -> Families:
    found: Families = {}
    for family in parse_openmetrics(text) if openmetrics else parse_text(text):
        samples = {(s.name, frozenset(s.labels.items())): s.value for s in family.samples}
        assert len(samples) == len(family.samples), "a series twice"
        found[family.name, family.type, family.documentation] = samples
    return found


def stock(folder: Path, catalogue: Catalogue, openmetrics: bool = False) -> Families:
    """The families that prometheus_client reads; it counts every file of live gauges that exists."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(folder))  # type: ignore[no-untyped-call]
    body = (openmetrics_latest if openmetrics else generate_latest)(registry).decode()
    known = {family.name: family for family in (c.describe()[0] for c in catalogue.registry._collector_to_names)}
    return {
        (name, kind, known[name].documentation): samples
        for (name, kind, _help), samples in families(body, openmetrics).items()
        if name in known
    }


def shown(folder: Path, catalogue: Catalogue, openmetrics: bool = False) -> Families:
    text = Exposition(folder, catalogue.registry).text(openmetrics)
    return families(text + "# EOF\n" if openmetrics else text, openmetrics)


def count_a_lot(factor: int) -> Callable[[Catalogue], None]:
    def work(counted: Catalogue) -> None:
        for number, nasty in enumerate(NASTY):
            counted.things.labels(nasty, "there").inc(factor * (number + 0.5))
        counted.plain.inc(factor * 1e15 + 1)
        for seconds in (0, 0.05, 0.1, 0.2, 0.3, 4, 5, 6, 1e9):
            counted.wait.labels("slow").observe(seconds * factor)
            counted.wait.labels(f"only-{factor}").observe(seconds)
            counted.total.observe(seconds)

    return work


@pytest.mark.parametrize("openmetrics", [False, True])
def test_scrape_shows_what_the_stock_collector_shows_of_the_same_files(folder: Path, openmetrics: bool) -> None:
    counted = in_slots(folder, count_a_lot(1), count_a_lot(2), count_a_lot(3))
    counted.busy.set(4)
    for dead in folder.glob("gauge_*_slot[12].db"):
        dead.unlink()
    ours, theirs = shown(folder, counted, openmetrics), stock(folder, counted, openmetrics)
    if not openmetrics:  # in text, the stock collector shows a help of "Multiprocess metric" without an escape
        assert {key[:2] for key in ours} == {key[:2] for key in theirs}
    assert {key[:2]: value for key, value in ours.items()} == {key[:2]: value for key, value in theirs.items()}
    assert len(ours) == 5
    assert sum(map(len, ours.values())) > 40


def test_scrape_shows_the_help_of_the_catalogue_in_both_formats(folder: Path) -> None:
    counted = in_slots(folder, count_a_lot(1))
    for openmetrics in (False, True):
        helps = {name: text for name, _kind, text in shown(folder, counted, openmetrics)}
        assert helps["things"] == 'Things, "quoted" and back\\slashed.'
        assert helps["plain"] == "Of no label.\nTwo lines."
    assert '# HELP things_total Things, "quoted" and back\\\\slashed.\n' in Exposition(folder, counted.registry).text(
        False
    )


def test_scrape_keeps_hostile_label_values(folder: Path) -> None:
    counted = in_slots(folder, count_a_lot(1))
    for openmetrics in (False, True):
        found = shown(folder, counted, openmetrics)
        things = next(samples for key, samples in found.items() if key[0] == "things")
        assert {dict(labels)["kind"] for _name, labels in things} == set(NASTY)


def test_scrape_of_a_histogram_has_cumulative_buckets_and_the_last_as_count(folder: Path) -> None:
    counted = in_slots(folder, count_a_lot(1), count_a_lot(1))
    lines = [
        line for line in Exposition(folder, counted.registry).text(False).splitlines() if line.startswith("total_")
    ]
    assert lines == [
        'total_seconds_bucket{le="1.0"} 10.0',
        'total_seconds_bucket{le="2.0"} 10.0',
        'total_seconds_bucket{le="+Inf"} 18.0',
        "total_seconds_count 18.0",
        "total_seconds_sum 2.0000000313e+09",
    ]


def test_scrape_of_a_histogram_with_sum_in_its_name_has_the_right_count(folder: Path) -> None:
    counted = in_slots(folder, count_a_lot(1))
    text = Exposition(folder, counted.registry).text(False)
    assert 'a_sum_of_waits_seconds_count{kind="slow"} 9.0\n' in text


def test_scrape_sums_live_gauges_of_living_slots_only(folder: Path) -> None:
    counted = in_slots(folder, lambda c: c.busy.set(5), lambda c: c.busy.set(7))
    counted.busy.set(2)
    exposition = Exposition(folder, counted.registry)
    assert "busy 2.0\n" in exposition.text(False)
    assert (folder / "gauge_livesum_slot1.db").exists()
    SLOTS.leave()
    assert "busy" not in exposition.text(False)


def test_scrape_of_counters_shows_those_of_dead_slots_too(folder: Path) -> None:
    counted = in_slots(folder, lambda c: c.plain.inc(5), lambda c: c.plain.inc(7))
    assert "plain_total 12.0\n" in Exposition(folder, counted.registry).text(False)


def test_scrape_follows_values_and_series_that_come_after_the_first(folder: Path) -> None:
    counted = in_slots(folder, lambda c: c.things.labels("m", "x").inc())
    exposition = Exposition(folder, counted.registry)
    assert len(families(exposition.text(False))) > 1
    for step in range(1, 6):
        counted.things.labels("m", "x").inc()
        counted.things.labels(f"{'az'[step % 2]}{step}", "x").inc(step)
        counted.wait.labels(f"w{step}").observe(0.2)
        again = families(exposition.text(False))
        assert {k[:2]: v for k, v in again.items()} == {k[:2]: v for k, v in stock(folder, counted).items()}
    lines = [line for line in exposition.text(False).splitlines() if line.startswith("things_total")]
    assert lines == sorted(lines)


def test_scrape_follows_a_file_that_outgrows_its_first_size(folder: Path) -> None:
    counted = in_slots(folder, lambda c: c.plain.inc())
    exposition = Exposition(folder, counted.registry)
    exposition.text(False)
    for number in range(1_000):
        counted.things.labels(f"{number}-{'x' * 80}", "x").inc()
    found = families(exposition.text(False))
    assert len(next(samples for key, samples in found.items() if key[0] == "things")) == 1_000


def test_scrape_follows_a_file_that_was_replaced(folder: Path) -> None:
    counted = in_slots(folder, lambda c: c.plain.inc(3), lambda c: [c.things.labels("a", "b").inc(5), c.plain.inc(40)])
    exposition = Exposition(folder, counted.registry)
    assert "plain_total 43.0\n" in exposition.text(False)
    shutil.copy(folder / "counter_slot0.db", folder / "new")
    (folder / "new").rename(folder / "counter_slot1.db")
    assert "plain_total 6.0\n" in exposition.text(False)
    (folder / "counter_slot1.db").unlink()
    assert "plain_total 3.0\n" in exposition.text(False)


def test_scrape_ignores_metrics_of_an_older_version(folder: Path) -> None:
    counted = in_slots(folder, lambda c: c.plain.inc(3))
    old = CollectorRegistry()
    Counter("forgotten", "Forgotten.", ["x"], registry=old).labels("y").inc()
    Counter("things", "With other labels.", ["kind"], registry=old).labels("y").inc()
    assert {"forgotten_total", '"things_total", {"kind": "y"}'} <= {
        part for part in ("forgotten_total", '"things_total", {"kind": "y"}') if part in _keys(folder)
    }
    found = shown(folder, counted)
    assert {key[0] for key in found} & {"forgotten", "things"} == set()
    assert "plain" in {key[0] for key in found}


def test_scrape_adds_counts_of_an_older_version_with_another_help(folder: Path) -> None:
    in_slots(folder, lambda c: c.plain.inc(3), lambda c: c.total.observe(1.5))
    old = CollectorRegistry()
    Counter("plain", "An older help.", registry=old).inc(4)
    Histogram("total_seconds", "An older help.", buckets=(1.0, 2.0), registry=old).observe(0.5)
    text = Exposition(folder, Catalogue().registry).text(openmetrics=False)
    assert [line for line in text.splitlines() if line.startswith(("plain", "total_seconds"))] == [
        "plain_total 7.0",
        'total_seconds_bucket{le="1.0"} 1.0',
        'total_seconds_bucket{le="2.0"} 2.0',
        'total_seconds_bucket{le="+Inf"} 2.0',
        "total_seconds_count 2.0",
        "total_seconds_sum 2.0",
    ]


def _keys(folder: Path) -> str:
    return (folder / "counter_slot0.db").read_bytes().decode("utf-8", "replace")


def test_scrape_with_names_shows_their_families_alone(folder: Path) -> None:
    counted = in_slots(folder, count_a_lot(1))
    exposition = Exposition(folder, counted.registry)
    for name, family in {
        "things_total": "things",
        "total_seconds_bucket": "total_seconds",
        "total_seconds_sum": "total_seconds",
        "total_seconds_count": "total_seconds",
        "plain": "plain",
    }.items():
        assert [key[0] for key in families(exposition.text(False, [name]))] == [family]
    assert exposition.text(False, ["nothing"]) == ""
    assert len(families(exposition.text(False, ["plain_total", "things_total"]))) == 2


def truncated(data: bytes) -> bytes:
    return data[:40]


def garbled(data: bytes) -> bytes:
    return data[:8] + b"\xff" * 64 + data[72:]


def with_key(key: bytes) -> Callable[[bytes], bytes]:
    return lambda data: data.replace(b'["plain", "plain_total", {}, "Of no', key.ljust(34))


@pytest.mark.parametrize(
    "damage",
    [
        truncated,
        garbled,
        with_key(b'["plain", "plain_total", [], "Of no'),
        with_key(b"5"),
        lambda _: b"not a metric file",
    ],
)
def test_scrape_of_a_dead_slots_damaged_file_sets_it_aside_and_shows_the_rest(
    folder: Path, damage: Callable[[bytes], bytes]
) -> None:
    counted = in_slots(folder, lambda c: c.plain.inc(5), lambda c: c.plain.inc(7), lambda c: c.plain.inc(9))
    exposition = Exposition(folder, counted.registry)
    assert "plain_total 21.0\n" in exposition.text(False)
    path = folder / "counter_slot1.db"
    data = damage(path.read_bytes())
    path.unlink()
    path.write_bytes(data)
    with grows(definitions.telemetry_corrupt_files):
        assert "plain_total 14.0\n" in exposition.text(False)
        assert "plain_total 14.0\n" in exposition.text(False)
    assert path.with_suffix(".damaged").read_bytes() == data
    assert not path.exists()
    assert len(exposition.damage) == 1
    assert exposition.damage[0].startswith("counter_slot1.db: ")


def test_scrape_of_a_file_that_is_cut_under_a_known_layout_leaves_it_out(folder: Path) -> None:
    counted = in_slots(folder, lambda c: c.plain.inc(5), lambda c: c.plain.inc(7))
    exposition = Exposition(folder, counted.registry)
    exposition.text(False)
    with (folder / "counter_slot1.db").open("r+b") as file:
        file.truncate(40)
    assert "plain_total 5.0\n" in exposition.text(False)
    assert (folder / "counter_slot1.damaged").exists()


def test_scrape_of_a_live_slots_damaged_file_leaves_it_and_reports_it_once(folder: Path) -> None:
    counted = in_slots(folder, lambda c: c.plain.inc(5), lambda c: c.plain.inc(7))
    path = folder / "histogram_slot0.db"
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(b"garbage, garbage")
    exposition = Exposition(folder, counted.registry)
    with grows(definitions.telemetry_corrupt_files):
        for _ in range(3):
            assert "plain_total 12.0\n" in exposition.text(False)
    assert path.read_bytes() == b"garbage, garbage"
    assert len(exposition.damage) == 1
    path.write_bytes(data)
    exposition.text(False)
    path.write_bytes(b"garbage, garbage")
    with grows(definitions.telemetry_corrupt_files):
        exposition.text(False)


def test_scrape_of_a_bucket_without_a_bound_sets_the_file_aside(folder: Path) -> None:
    counted = in_slots(folder, lambda c: c.plain.inc(5), lambda c: c.total.observe(1.5))
    path = folder / "histogram_slot1.db"
    path.write_bytes(path.read_bytes().replace(b'{"le": "2.0"}', b'{"le": "two"}'))
    assert "plain_total 5.0\n" in Exposition(folder, counted.registry).text(False)
    assert path.with_suffix(".damaged").exists()


def test_scrape_ignores_files_of_other_names(folder: Path) -> None:
    counted = in_slots(folder, lambda c: c.plain.inc(5))
    for name in ("counter_slotX.db", "counter_1234.db", "notes.txt", "state.json"):
        (folder / name).write_bytes(b"")
    assert "plain_total 5.0\n" in Exposition(folder, counted.registry).text(False)


def test_scrape_of_an_empty_folder_is_empty(folder: Path) -> None:
    assert Exposition(folder, Catalogue().registry).text(False) == ""


def test_scrape_shows_infinity_and_nan(folder: Path) -> None:
    counted = in_slots(folder, lambda c: c.plain.inc(math.inf))
    assert "plain_total +Inf\n" in Exposition(folder, counted.registry).text(False)


def test_catalogue_is_declared_with_bounded_labels_and_a_help(session_folder: Path) -> None:
    exposition = Exposition(session_folder)
    assert json.loads(json.dumps(sorted(exposition._declared))) == sorted(
        {family.name for family in (c.describe()[0] for c in definitions.CATALOGUE._collector_to_names)}
    )
    for kind, documentation, _labels in exposition._declared.values():
        assert kind in {"counter", "gauge", "histogram"}
        assert documentation.endswith(".")
