"""State that a scrape reads: fresh, shared by the workers of a host, and left out if it fails."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client.core import Metric

from church.observability.metrics import definitions, scrape_registry, worker_files
from church.observability.metrics.scrape_registry import StateMetric, StateMetrics
from church.observability.metrics.worker_files import SLOTS
from tests.support.helpers import grows, no_slot

Reading = tuple[tuple[str, ...], float]
NOW = 1_800_000_000.0


@pytest.fixture(autouse=True)
def _no_time_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values stay fresh until a test makes them stale."""
    monkeypatch.setattr(scrape_registry, "time", SimpleNamespace(time=lambda: NOW))


class Source:
    """A source that counts how often it is read, and can be down."""

    def __init__(self, *readings: Reading) -> None:
        self.readings = list(readings)
        self.asked = 0
        self.down = False

    def __call__(self) -> Iterator[Reading]:
        self.asked += 1
        yield from self.readings
        if self.down:
            raise ConnectionError("down")


def made(*found: StateMetric) -> StateMetrics:
    one = StateMetrics()
    one.metrics.extend(found)
    return one


def values(families: list[Metric], name: str) -> dict[tuple[str, ...], float] | None:
    for family in families:
        if family.name == name:
            return {tuple(sample.labels.values()): sample.value for sample in family.samples}
    return None


def stale(folder: Path, seconds: float = 4.1) -> None:
    path = folder / "state.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "at": NOW - seconds}))


@pytest.fixture
def session_folder(_metrics_slot: Path) -> Path:
    """Where this run of the tests counts."""
    return _metrics_slot


@pytest.fixture
def jobs() -> Source:
    return Source((("mail",), 3), (("index",), 1))


def shared(source: Source, name: str = "jobs_pending") -> StateMetrics:
    return made(StateMetric(name, "Jobs.", source, ("kind",), shared=True))


def test_state_is_read_at_each_scrape(tmp_path: Path) -> None:
    disk = Source((("logs",), 5))
    one = made(StateMetric("disk_free_bytes", "Free.", disk, ("path",)))
    assert values(one.collect(tmp_path), "disk_free_bytes") == {("logs",): 5}
    disk.readings = [(("logs",), 4)]
    assert values(one.collect(tmp_path), "disk_free_bytes") == {("logs",): 4}
    assert disk.asked == 2


def test_state_without_labels_and_of_a_counter_is_shown(tmp_path: Path) -> None:
    one = made(
        StateMetric("up", "Up.", Source(((), True))),
        StateMetric("paid", "Paid.", Source((("EUR",), 7.5)), ("currency",), kind="counter"),
    )
    families = one.collect(tmp_path)
    assert values(families, "up") == {(): 1.0}
    assert values(families, "paid") == {("EUR",): 7.5}
    assert [family.type for family in families[:2]] == ["gauge", "counter"]


@pytest.mark.parametrize("is_shared", [False, True])
def test_source_that_fails_is_left_out_and_counted_and_the_others_are_shown(tmp_path: Path, is_shared: bool) -> None:
    bad, good = Source((("a",), 1)), Source((("b",), 2))
    bad.down = True
    one = made(
        StateMetric("bad", "Bad.", bad, ("x",), shared=is_shared),
        StateMetric("good", "Good.", good, ("x",), shared=is_shared),
    )
    with grows(definitions.telemetry_errors.labels("scrape")):
        families = one.collect(tmp_path)
    assert values(families, "bad") is None
    assert values(families, "good") == {("b",): 2}


def test_source_without_numbers_is_left_out(tmp_path: Path) -> None:
    one = made(StateMetric("odd", "Odd.", Source((("a",), "many")), ("x",)))  # type: ignore[arg-type]
    with grows(definitions.telemetry_errors.labels("scrape")):
        assert values(one.collect(tmp_path), "odd") is None


def test_shared_state_is_read_once_for_all_workers_of_the_host(tmp_path: Path, jobs: Source) -> None:
    other = Source((("mail",), 99))
    expected = {("mail",): 3, ("index",): 1}
    assert values(shared(jobs).collect(tmp_path), "jobs_pending") == expected
    assert values(shared(other).collect(tmp_path), "jobs_pending") == expected
    assert (jobs.asked, other.asked) == (1, 0)


def test_shared_state_may_be_older_for_a_reader_that_allows_it(tmp_path: Path, jobs: Source) -> None:
    one = shared(jobs)
    one.collect(tmp_path)
    for seconds, most_age, asked in ((30.0, 60.0, 1), (30.0, 20.0, 2), (61.0, 9_999.0, 3), (5.0, -1.0, 4)):
        stale(tmp_path, seconds)
        one.collect(tmp_path, most_age)
        assert jobs.asked == asked


def test_shared_metrics_are_named_as_the_exposition_names_them() -> None:
    no_rows = Source()
    one = made(
        StateMetric("jobs_pending", "Jobs.", no_rows, shared=True),
        StateMetric("paid", "Paid.", no_rows, kind="counter", shared=True),
        StateMetric("disk_free_bytes", "Free.", no_rows),
    )
    assert list(one.name_shared()) == [(("jobs_pending",), 1.0), (("paid_total",), 1.0)]


def test_shared_state_that_is_stale_is_read_again(tmp_path: Path, jobs: Source) -> None:
    one = shared(jobs)
    one.collect(tmp_path)
    jobs.readings = [(("mail",), 8)]
    assert values(one.collect(tmp_path), "jobs_pending") == {("mail",): 3, ("index",): 1}
    stale(tmp_path)
    assert values(one.collect(tmp_path), "jobs_pending") == {("mail",): 8}
    assert json.loads((tmp_path / "state.json").read_text())["metrics"] == {"jobs_pending": [[["mail"], 8.0]]}


def test_shared_state_of_the_future_is_read_again(tmp_path: Path, jobs: Source) -> None:
    one = shared(jobs)
    one.collect(tmp_path)
    stale(tmp_path, seconds=-3600)
    one.collect(tmp_path)
    assert jobs.asked == 2


@pytest.mark.parametrize(
    "kept",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b"5",
        b"{}",
        b'{"at": "now", "metrics": {}}',
        b'{"at": AT}',
        b'{"at": AT, "metrics": 5}',
        b'{"at": AT, "metrics": []}',
        b'{"at": AT, "metrics": {"jobs_pending": 5}}',
        b'{"at": AT, "metrics": {"jobs_pending": [5]}}',
        b'{"at": AT, "metrics": {"jobs_pending": [[["mail"], "x"]]}}',
    ],
)
def test_shared_file_that_is_damaged_is_ignored_and_replaced(tmp_path: Path, jobs: Source, kept: bytes) -> None:
    path = tmp_path / "state.json"
    path.write_bytes(kept.replace(b"AT", str(NOW).encode()))
    assert values(shared(jobs).collect(tmp_path), "jobs_pending") == {("mail",): 3, ("index",): 1}
    assert json.loads(path.read_text())["metrics"] == {"jobs_pending": [[["mail"], 3.0], [["index"], 1.0]]}


def test_shared_state_is_absent_while_its_source_is_down_and_back_after(tmp_path: Path, jobs: Source) -> None:
    one = shared(jobs)
    one.collect(tmp_path)
    jobs.down = True
    stale(tmp_path)
    assert values(one.collect(tmp_path), "jobs_pending") is None
    jobs.down = False
    stale(tmp_path)
    assert values(one.collect(tmp_path), "jobs_pending") == {("mail",): 3, ("index",): 1}


def test_shared_state_that_cannot_be_kept_is_shown(
    tmp_path: Path, jobs: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(scrape_registry.os, "replace", full)
    assert values(shared(jobs).collect(tmp_path), "jobs_pending") == {("mail",): 3, ("index",): 1}


def test_shared_state_read_by_many_at_once_is_whole(tmp_path: Path, jobs: Source) -> None:
    found: list[Any] = []
    workers = [
        threading.Thread(target=lambda: found.append(values(shared(jobs).collect(tmp_path), "jobs_pending")))
        for _ in range(12)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert found == [{("mail",): 3, ("index",): 1}] * 12


def test_processes_are_shown_by_their_slots(session_folder: Path, tmp_path: Path) -> None:
    with no_slot(session_folder):
        SLOTS.take(tmp_path, "work")
        families = made().collect(tmp_path)
    assert values(families, "gunicorn_workers") == {(): 0}
    cpu, memory = values(families, "process_cpu_seconds"), values(families, "process_resident_memory_bytes")
    started, files = values(families, "process_start_time_seconds"), values(families, "process_open_fds")
    assert cpu is not None
    assert memory is not None
    assert started is not None
    assert files is not None
    assert set(cpu) == set(memory) == set(started) == set(files) == {("0",)}
    assert 0 < cpu["0",] <= sum(os.times()[:2]) + 1
    assert 10_000_000 < memory["0",] < 10_000_000_000
    assert time.time() - 7200 < started["0",] <= time.time() + 1
    assert files["0",] >= 3


def test_workers_are_counted_by_their_role(session_folder: Path, tmp_path: Path) -> None:
    with no_slot(session_folder):
        SLOTS.take(tmp_path, "web")
        assert values(made().collect(tmp_path), "gunicorn_workers") == {(): 1}
    assert values(made().collect(tmp_path), "gunicorn_workers") == {(): 0}


@pytest.mark.parametrize("owner", ["", "{", '{"pid": 999999999, "role": "web"}', '{"role": "web"}', '"text"'])
def test_owner_of_a_slot_that_cannot_be_read_is_left_out(session_folder: Path, tmp_path: Path, owner: str) -> None:
    with no_slot(session_folder):
        SLOTS.take(tmp_path, "web")
        (tmp_path / "slot0.lock").write_text(owner)
        families = made().collect(tmp_path)
        assert len(worker_files.list_live_slots(tmp_path)) == 1
    assert values(families, "process_open_fds") == {}


def test_worker_of_another_container_is_counted_without_process_metrics(
    session_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with no_slot(session_folder):
        SLOTS.take(tmp_path, "web")
        assert json.loads((tmp_path / "slot0.lock").read_text())["namespace"] == os.stat("/proc/self/ns/pid").st_ino
        with monkeypatch.context() as elsewhere:
            elsewhere.setattr(worker_files, "pid_namespace", lambda: 1)
            families = made().collect(tmp_path)
    assert values(families, "gunicorn_workers") == {(): 1}
    assert values(families, "process_cpu_seconds") == values(families, "process_open_fds") == {}


def test_histogram_is_shown_with_its_bounds_and_kept_for_the_host(tmp_path: Path) -> None:
    source = Source((("production",), [1, 3, 4, 99.5]))  # type: ignore[arg-type]
    metric = StateMetric("lead", "Lead.", source, ("environment",), kind="histogram", shared=True, bounds=(0.5, 60.0))
    for _ in range(2):
        (family, *_) = made(metric).collect(tmp_path)
        found = {(sample.name, sample.labels.get("le")): sample.value for sample in family.samples}
        assert found == {
            ("lead_bucket", "0.5"): 1,
            ("lead_bucket", "60.0"): 3,
            ("lead_bucket", "+Inf"): 4,
            ("lead_count", None): 4,
            ("lead_sum", None): 99.5,
        }
    assert source.asked == 1


def test_histogram_with_other_bounds_is_left_out(tmp_path: Path) -> None:
    source = Source((("production",), [1, 99.5]))  # type: ignore[arg-type]
    one = made(StateMetric("lead", "Lead.", source, ("environment",), kind="histogram", bounds=(0.5, 60.0)))
    with grows(definitions.telemetry_errors.labels("scrape")):
        assert values(one.collect(tmp_path), "lead") is None
