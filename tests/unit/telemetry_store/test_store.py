"""A row of the store is in memory or in a segment, never in both or neither, whatever fails."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from church.telemetry_store import recent
from church.telemetry_store.manifest import NAME, FileState, load_manifest
from church.telemetry_store.normalise import normalise
from church.telemetry_store.store import KEPT_FILES, MOST_SECONDS, Store
from church.telemetry_store.tables import SEQ, TABLES
from tests.support.clock import Clock
from tests.support.observatory import DAY, EngineHere, kept_messages, log_line


@pytest.fixture
def clock() -> Clock:
    """The store's clock."""
    return Clock(DAY)


@pytest.fixture
def engine() -> EngineHere:
    """An engine in this process."""
    return EngineHere()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Store:
    """An empty store."""
    return Store(tmp_path, clock)


def add(store: Store, *numbers: int) -> None:
    """Take a log record for each number, as if read from a file."""
    for number in numbers:
        made = normalise(log_line(number, DAY + number), "host-1", store.next_seq)
        store.take(made.table, made.rows)
        store.files["a"] = FileState("combined.log", number, DAY)


def messages(*numbers: int) -> list[str]:
    return [f"record {number}" for number in numbers]


def sample(value: float) -> tuple[Any, ...]:
    return (int(DAY * 1e6), 0, "host-1", 15, "requests", "counter", "P", "{}", value, None, None, None)


def test_seal_moves_rows_from_memory_to_segments(store: Store, engine: EngineHere) -> None:
    add(store, 1, 2)
    assert store.seal(engine) == 2
    snapshot = store.snapshot("logs")
    assert list(snapshot.rows) == []
    assert [(segment.rows, segment.first, segment.last) for segment in snapshot.segments] == [
        (2, int((DAY + 1) * 1e6), int((DAY + 2) * 1e6))
    ]
    assert store.seal(engine) == 0
    assert kept_messages(store) == messages(1, 2)


def test_store_restarted_has_what_segments_hold_and_how_far_files_were_read(store: Store, engine: EngineHere) -> None:
    add(store, 1, 2)
    store.seal(engine)
    add(store, 3)
    again = Store(store.folder)
    assert kept_messages(again) == messages(1, 2)
    assert again.files["a"].offset == 2


def test_store_restarted_gives_no_number_twice(store: Store) -> None:
    add(store, 1, 2)
    again = Store(store.folder)
    assert again.next_seq > store.next_seq
    assert Store(store.folder).next_seq > again.next_seq


def test_seal_that_fails_leaves_all_as_it_was(store: Store, engine: EngineHere) -> None:
    add(store, 1)
    engine.error = OSError("No space left on device")
    with pytest.raises(OSError, match="No space"):
        store.seal(engine)
    assert kept_messages(store) == messages(1)
    engine.error = None
    store.seal(engine)
    assert kept_messages(store) == messages(1)


def test_seal_manifest_that_cannot_be_written_leaves_no_segment(
    store: Store, engine: EngineHere, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(store, 1)
    with monkeypatch.context() as patched:
        patched.setattr("church.telemetry_store.manifest.os.fsync", _fail)
        with pytest.raises(OSError, match="disk"):
            store.seal(engine)
    assert list(store.segments_folder.iterdir()) == []
    assert list(load_manifest(store.folder).all_segments()) == []
    store.seal(engine)
    assert kept_messages(store) == messages(1)


def test_store_start_removes_segments_that_the_manifest_does_not_name(store: Store, engine: EngineHere) -> None:
    add(store, 1)
    store.seal(engine)
    for name in ("logs-1-1.parquet", "logs-2-2.parquet.part"):
        (store.segments_folder / name).write_bytes(b"left by a crash")
    again = Store(store.folder)
    assert len(list(store.segments_folder.iterdir())) == 1
    assert kept_messages(again) == messages(1)


def test_store_start_sets_damaged_segment_aside_and_counts_its_rows(store: Store, engine: EngineHere) -> None:
    add(store, 1, 2)
    store.seal(engine)
    add(store, 3)
    store.seal(engine)
    path = store.snapshot("logs").segments[0].path
    path.write_bytes(path.read_bytes()[:-20])
    again = Store(store.folder)
    assert kept_messages(again) == messages(3)
    assert path.with_name(path.name + ".damaged").exists()
    described = Store(store.folder).describe()
    assert (described["damaged_segments"], described["lost"]) == (1, 2)


def test_store_damaged_manifest_goes_back_to_the_one_before(store: Store, engine: EngineHere) -> None:
    for number in (1, 2):
        add(store, number)
        store.seal(engine)
    (store.folder / NAME).unlink()
    (store.folder / NAME).write_text('{"version": 1, "next_seq')
    again = Store(store.folder)
    assert kept_messages(again) == messages(1)
    assert again.files["a"].offset == 1
    assert (store.folder / f"{NAME}.damaged").exists()


def test_store_without_any_whole_manifest_starts_anew(store: Store, engine: EngineHere) -> None:
    for number in (1, 2):
        add(store, number)
        store.seal(engine)
    for path in store.folder.glob("manifest*.json"):
        path.write_text("[]")
    assert kept_messages(Store(store.folder)) == []


def test_merge_leaves_files_until_queries_have_ended(store: Store, engine: EngineHere, clock: Clock) -> None:
    for number in (1, 2, 3):
        add(store, number)
        store.seal(engine)
    before = store.snapshot("logs").segments
    store.merge(engine, [segment.info for segment in before])
    assert len(store.snapshot("logs").segments) == 1
    assert kept_messages(store) == messages(1, 2, 3)
    store.remove_left_files()
    assert all(segment.path.exists() for segment in before)
    clock.now += KEPT_FILES + 1
    store.remove_left_files()
    assert not any(segment.path.exists() for segment in before)


def test_snapshot_does_not_change_while_rows_are_sealed(store: Store, engine: EngineHere) -> None:
    add(store, 1)
    snapshot = store.snapshot("logs")
    add(store, 2)
    store.seal(engine)
    assert [row[TABLES["logs"].place("message")] for row in snapshot.rows] == messages(1)
    assert snapshot.segments == []


def test_newest_has_rows_that_were_just_sealed(
    store: Store, engine: EngineHere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recent, "KEPT_ROWS", 2)
    add(store, 1, 2, 3)
    store.seal(engine)
    add(store, 4)
    place = TABLES["logs"].place("message")
    assert [row[place] for row in store.newest("logs")] == messages(2, 3, 4)
    assert [row[place] for row in store.newest("logs").after((0, store.next_seq - 2))] == messages(4)
    assert kept_messages(store) == messages(1, 2, 3, 4)


def test_newest_keeps_few_large_rows(store: Store, engine: EngineHere) -> None:
    for number in range(500):
        made = normalise(log_line(number, exception="x" * 8000), "host-1", store.next_seq)
        store.take(made.table, made.rows)
    assert not store.is_full
    store.seal(engine)
    assert 10 < len(store.newest("logs")) < 200


def test_store_is_full_by_rows(store: Store, engine: EngineHere, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("church.telemetry_store.store.MOST_ROWS", 2)
    add(store, 1)
    assert not store.is_full
    add(store, 2)
    assert store.is_full
    store.seal(engine)
    assert not store.is_full


def test_seal_is_due_ten_minutes_after_the_oldest_row(store: Store, engine: EngineHere, clock: Clock) -> None:
    assert store.seal_due is None
    add(store, 1)
    clock.now += 60
    add(store, 2)
    assert store.seal_due == DAY + MOST_SECONDS
    store.seal(engine)
    assert store.seal_due is None


def test_samples_survive_a_crash_before_and_after_they_are_sealed(store: Store, engine: EngineHere) -> None:
    store.take_samples([sample(1), sample(2)])
    store.seal(engine)
    store.take_samples([sample(3)])
    again = Store(store.folder)
    place = TABLES["samples"].place("value")
    assert [row[place] for row in again.snapshot("samples").rows] == [3]
    assert [segment.rows for segment in again.snapshot("samples").segments] == [2]
    assert again.next_seq > max(row[SEQ] for row in again.snapshot("samples").rows)


def test_samples_journal_that_was_not_emptied_doubles_nothing(store: Store, engine: EngineHere) -> None:
    store.take_samples([sample(1)])
    journal = store.folder / "samples.journal"
    before = journal.read_bytes()
    store.seal(engine)
    journal.write_bytes(before)
    assert list(Store(store.folder).snapshot("samples").rows) == []


def test_samples_line_that_a_crash_has_cut_off_is_left_out(store: Store) -> None:
    store.take_samples([sample(1)])
    journal = store.folder / "samples.journal"
    with journal.open("ab") as file:
        file.write(b"[[17960")
    again = Store(store.folder)
    again.take_samples([sample(2)])
    place = TABLES["samples"].place("value")
    assert [row[place] for row in Store(store.folder).snapshot("samples").rows] == [1, 2]


def _fail(_handle: int) -> Iterator[None]:
    raise OSError("the disk is broken")
