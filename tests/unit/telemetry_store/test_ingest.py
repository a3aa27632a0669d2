"""Ingest takes what the logs have, and waits where it cannot write."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from church.telemetry_store.follow import Follower
from church.telemetry_store.ingest import RETRY, Ingest, Limits
from church.telemetry_store.store import MOST_SECONDS, Store
from church.telemetry_store.tables import TABLES, Row
from tests.support.clock import Clock
from tests.support.observatory import DAY, EngineHere, kept_messages, log_line


class Desk(NamedTuple):
    """All parts of an ingest, with a log folder."""

    logs: Path
    store: Store
    engine: EngineHere
    ingest: Ingest
    clock: Clock

    def write(self, *lines: bytes) -> None:
        with (self.logs / "combined.log").open("ab") as file:
            file.writelines(lines)

    def step(self, seconds: float = 0.0) -> None:
        self.clock.now += seconds
        self.ingest.step()

    def numbers(self) -> list[int]:
        return sorted(int(message.split()[1]) for message in kept_messages(self.store))


def make_desk(folder: Path, most_bytes: int = 1 << 30, **options: Any) -> Desk:
    clock, engine = Clock(DAY), EngineHere()
    store = Store(folder / "observatory", clock)
    logs = folder / "logs"
    logs.mkdir(exist_ok=True)
    follower = Follower(logs, store.files, clock=clock)
    ingest = Ingest(store, follower, engine, "host-1", Limits(14, most_bytes), clock, **options)
    return Desk(logs, store, engine, ingest, clock)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """An ingest with empty folders."""
    return make_desk(tmp_path)


def test_ingest_takes_lines_and_seals_them_after_ten_minutes(desk: Desk) -> None:
    desk.write(log_line(1), log_line(2))
    desk.step()
    assert desk.engine.tasks == []
    assert desk.numbers() == [1, 2]
    assert desk.ingest.next_step == DAY + MOST_SECONDS
    desk.step(MOST_SECONDS)
    assert desk.engine.tasks == ["seal"]
    assert desk.numbers() == [1, 2]


def test_ingest_seals_when_it_has_enough_rows(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("church.telemetry_store.store.MOST_ROWS", 10)
    desk.write(*map(log_line, range(10)))
    desk.step()
    assert [segment.rows for segment in desk.store.snapshot("logs").segments] == [10]


def test_ingest_line_that_is_no_record_is_counted_and_the_others_are_taken(desk: Desk) -> None:
    desk.write(log_line(1), b"nonsense\n", b"\n", log_line(2)[:30] + log_line(3), log_line(4))
    desk.step()
    assert desk.numbers() == [1, 3, 4]
    described = desk.ingest.describe()
    assert (described["lost"], described["torn_lines"]) == (1, 1)


def test_ingest_restarted_counts_what_was_lost_once(desk: Desk, tmp_path: Path) -> None:
    desk.write(log_line(1), b"nonsense\n")
    desk.step()
    desk.step(MOST_SECONDS)
    again = make_desk(tmp_path)
    again.step()
    assert again.ingest.describe()["lost"] == 1


def test_ingest_full_disk_pauses_and_goes_on(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("church.telemetry_store.store.MOST_ROWS", 10)
    desk.engine.error = RuntimeError("IO Error: Could not write: No space left on device")
    for number in range(30):
        desk.write(log_line(number))
        desk.step()
    assert desk.ingest.describe()["disk_full"]
    assert desk.numbers() == list(range(10))
    desk.step(60)
    assert desk.ingest.describe()["lag_seconds"] >= 60
    desk.engine.error = None
    desk.step(RETRY)
    assert desk.numbers() == list(range(30))
    described = desk.ingest.describe()
    assert (described["disk_full"], described["lag_seconds"]) == (False, 0.0)


def test_ingest_little_room_begins_no_segment(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("church.telemetry_store.ingest.LOW_DISK", 1 << 60)
    desk.write(log_line(1))
    desk.step()
    desk.step(MOST_SECONDS)
    assert desk.engine.tasks == []
    assert desk.ingest.describe()["disk_full"]
    assert desk.ingest.next_step == desk.clock.now + RETRY


def test_ingest_merge_that_fails_does_not_stop_it(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk.store, "merge", lambda *_: 1 / 0)
    for number in range(9):
        desk.write(log_line(number, DAY + number))
        desk.step()
        desk.step(MOST_SECONDS)
    assert len(desk.store.snapshot("logs").segments) == 9
    assert not desk.ingest.describe()["disk_full"]


def test_ingest_merges_small_segments(desk: Desk) -> None:
    for number in range(8):
        desk.write(log_line(number, DAY + number))
        desk.step()
        desk.step(MOST_SECONDS)
    assert [segment.rows for segment in desk.store.snapshot("logs").segments] == [8]
    assert desk.numbers() == list(range(8))


def test_ingest_thins_old_samples_and_removes_what_is_older_than_two_years(desk: Desk) -> None:
    def take(days: float) -> None:
        """Take the samples of 5 minutes, so many days ago."""
        begin = int((DAY - days * 86_400) // 300 * 300) * 1_000_000
        moments = [begin + number * 15_000_000 for number in range(1, 21)]
        desk.store.take_samples(
            [(ts, 0, "a", 15, "hits", "counter", "P", "{}", 1.0, None, None, None) for ts in moments]
        )

    for days in (800, 100, 3, 1):
        take(days)
        desk.step(MOST_SECONDS)
    desk.write(log_line(1))
    desk.step()
    desk.step(MOST_SECONDS)
    segments = desk.store.snapshot("samples").segments
    assert [(segment.rows, segment.path.stem.rpartition("-")[2]) for segment in segments[:2]] == [
        (1, "3600s"),
        (1, "300s"),
    ]
    assert [segment.rows for segment in segments] == [1, 1, 20]


def test_ingest_removes_what_is_too_old(desk: Desk) -> None:
    desk.write(log_line(1, DAY - 20 * 86_400))
    desk.step()
    desk.step(MOST_SECONDS)
    desk.write(log_line(2))
    desk.step()
    desk.step(MOST_SECONDS)
    assert desk.numbers() == [2]


def test_ingest_removes_what_is_too_much(tmp_path: Path) -> None:
    desk = make_desk(tmp_path, most_bytes=1)
    for number in range(3):
        desk.write(log_line(number))
        desk.step()
        desk.step(MOST_SECONDS)
    assert desk.numbers() == [2]


def test_ingest_failure_of_one_line_is_said_once(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("church.telemetry_store.ingest.normalise", lambda *_: 1 / 0)
    desk.write(log_line(1), log_line(2))
    desk.step()
    assert desk.ingest.describe()["lost"] == 2
    assert len(caplog.records) == 1


def test_ingest_stopped_leaves_the_rest_to_the_next_start(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("church.telemetry_store.store.MOST_ROWS", 5)
    with gzip.open(desk.logs / "combined.log.1.gz", "wb") as file:
        file.writelines(map(log_line, range(5)))
    desk.write(*map(log_line, range(5, 20)))
    desk.ingest.stop()
    desk.step()
    assert len(desk.numbers()) < 20
    again = make_desk(tmp_path)
    again.step()
    assert again.numbers() == list(range(20))


def test_ingest_notes_errors_and_no_other_rows(tmp_path: Path) -> None:
    noted: list[Row] = []
    desk = make_desk(tmp_path, note_errors=noted.extend)
    desk.write(log_line(1))
    (desk.logs / "traces.log").write_bytes(
        b'{"kind": "error", "timestamp": "2026-11-30T00:00:00.000Z", "fingerprint": "0123456789abcdef"}\n'
    )
    desk.step()
    place = [column.name for column in TABLES["errors"].columns].index("fingerprint")
    assert [row[place] for row in noted] == ["0123456789abcdef"]
