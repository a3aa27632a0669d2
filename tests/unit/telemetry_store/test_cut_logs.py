"""Addresses in log files are cut, and the files are read on where they were."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest

from church.telemetry_store.cut_logs import MEMORY, UNFINISHED, LogCutter
from church.telemetry_store.follow import CHUNK, Follower
from church.telemetry_store.store import Store
from tests.support.clock import Clock
from tests.support.observatory import DAY, log_line

_DAYS = 86_400


class Desk:
    """A folder of logs with a follower of it and a cutter, four days after ``DAY``."""

    def __init__(self, folder: Path) -> None:
        self.logs = folder / "logs"
        self.logs.mkdir()
        self.store = Store(folder / "observatory", Clock(DAY))
        self.now = DAY + 4 * _DAYS
        self.restart()

    def restart(self) -> None:
        """As after a start of the process: what was read is in the manifest."""
        self.store.manifest.files = dict(self.store.files)
        self.store.manifest.save(self.store.folder)
        self.store = Store(self.store.folder, Clock(DAY))
        self.follower = Follower(self.logs, self.store.files)
        self.cutter = LogCutter(self.logs, self.store.folder, self.store.rename_log)

    def write(self, name: str, *addresses: str, moment: float = DAY) -> Path:
        path = self.logs / name
        with path.open("ab") as file:
            for number, address in enumerate(addresses):
                file.write(log_line(number, moment, ip=address))
        return path

    def read(self) -> list[str]:
        return [json.loads(line)["ip"] for batch in self.follower.read_new() for line in batch.lines]

    def cut(self, now: float | None = None) -> int:
        return sum(1 for _ in self.cutter.run((now or self.now) - 3 * _DAYS))


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def kept(path: Path) -> list[str]:
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return [json.loads(line)["ip"] for line in data.splitlines()]


def compress(path: Path) -> Path:
    target = path.with_name(path.name + ".gz")
    target.write_bytes(gzip.compress(path.read_bytes()))
    os.utime(target, ns=(path.stat().st_mtime_ns, path.stat().st_mtime_ns))
    path.unlink()
    return target


def test_followed_log_is_cut_and_read_on(desk: Desk) -> None:
    """Its first line changes, by which it is known; another process goes on writing."""
    log = desk.write("combined.log", "203.0.113.1", "203.0.113.2")
    desk.write("combined.log", "203.0.113.3", moment=desk.now)
    with log.open("ab") as writer:
        assert desk.read() == ["203.0.113.1", "203.0.113.2", "203.0.113.3"]
        desk.cut()
        assert kept(log) == ["203.0.113.0", "203.0.113.0", "203.0.113.3"]
        assert desk.read() == []
        writer.write(log_line(4, desk.now, ip="203.0.113.4"))
    assert desk.read() == ["203.0.113.4"]
    desk.restart()
    assert desk.read() == []
    desk.cut(desk.now + 4 * _DAYS)
    assert kept(log) == ["203.0.113.0"] * 4
    assert desk.read() == []


def test_log_that_was_not_read_yet_loses_no_line(desk: Desk) -> None:
    desk.write("combined.log.1", "203.0.113.1", "2001:db8:1:2::3")
    desk.cut()
    assert desk.read() == ["203.0.113.0", "2001:db8:1::"]


@pytest.mark.parametrize("is_compressed", [False, True])
def test_rotated_log_is_cut_with_its_age_kept(desk: Desk, is_compressed: bool) -> None:
    path = desk.write("combined.log.2", "203.0.113.1")
    desk.write("combined.log.2", "203.0.113.2", moment=desk.now)
    os.utime(path, (DAY, DAY))
    path = compress(path) if is_compressed else path
    path.chmod(0o640)
    assert desk.read() == ["203.0.113.1", "203.0.113.2"]
    desk.cut()
    assert kept(path) == ["203.0.113.0", "203.0.113.2"]
    assert path.stat().st_mtime == pytest.approx(DAY, abs=0.01)
    assert path.stat().st_mode & 0o777 == 0o640
    assert desk.read() == []
    path = path if is_compressed else compress(path)
    desk.restart()
    assert desk.read() == []
    desk.cut(desk.now + 4 * _DAYS)
    assert kept(path) == ["203.0.113.0", "203.0.113.0"]
    assert list(desk.logs.iterdir()) == [path]


def test_cut_file_stays_known_for_as_long_as_it_is_there(desk: Desk) -> None:
    clock = Clock(DAY)
    path = desk.write("combined.log.2", "203.0.113.1")
    os.utime(path, (DAY, DAY))
    desk.follower = Follower(desk.logs, desk.store.files, clock=clock)
    assert desk.read() == ["203.0.113.1"]
    desk.cut()
    for _ in range(10):
        clock.now += _DAYS
        assert desk.read() == []
    desk.restart()
    assert desk.read() == []


def test_only_what_is_new_is_looked_at_again(desk: Desk) -> None:
    log = desk.write("combined.log", *["203.0.113.1"] * 10_000)
    assert log.stat().st_size > CHUNK
    assert desk.cut() > 1
    assert desk.cut() == 0
    desk.write("combined.log", "203.0.113.2")
    assert desk.cut() == 1
    assert set(kept(log)) == {"203.0.113.0"}


def test_cut_again_after_its_memory_is_lost_changes_nothing(desk: Desk) -> None:
    path = compress(desk.write("combined.log.2", "203.0.113.1"))
    desk.cut()
    before = path.stat().st_ino
    (desk.store.folder / MEMORY).write_text("[nonsense")
    desk.cut()
    assert path.stat().st_ino == before


@pytest.mark.parametrize("is_compressed", [False, True])
def test_run_that_ends_early_leaves_whole_files(desk: Desk, is_compressed: bool) -> None:
    path = desk.write("combined.log.2", *["203.0.113.1"] * 30_000)
    path = compress(path) if is_compressed else path
    desk.read()
    steps = desk.cutter.run(desk.now - 3 * _DAYS)
    for _ in range(6 if is_compressed else 1):
        next(steps)
    steps.close()  # type: ignore[attr-defined]
    (desk.logs / f"combined.log.9.gz{UNFINISHED}").touch()
    assert len(kept(path)) == 30_000
    desk.restart()
    assert desk.read() == []
    desk.cut()
    assert set(kept(path)) == {"203.0.113.0"}
    assert list(desk.logs.iterdir()) == [path]


def test_damaged_file_does_not_keep_the_others_from_being_cut(desk: Desk) -> None:
    damaged = compress(desk.write("combined.log.2", *["203.0.113.1"] * 100))
    damaged.write_bytes(damaged.read_bytes()[:-20])
    log = desk.write("combined.log", "203.0.113.2")
    desk.cut()
    assert kept(log) == ["203.0.113.0"]


def test_file_that_rotation_has_moved_is_not_overwritten(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next run finds it by its new name."""
    path = compress(desk.write("combined.log.2", "203.0.113.1"))
    newer = desk.logs / "newer"
    newer.write_bytes(gzip.compress(log_line(7, desk.now, ip="203.0.113.7")))
    steps = desk.cutter.run(desk.now - 3 * _DAYS)
    next(steps)
    path.rename(desk.logs / "combined.log.3.gz")
    newer.rename(path)
    for _ in steps:
        pass
    assert kept(path) == ["203.0.113.7"]
    desk.cut()
    assert kept(desk.logs / "combined.log.3.gz") == ["203.0.113.0"]
