"""Log files are followed: each line is read once, whatever becomes of its file."""

from __future__ import annotations

import gzip
import os
import shutil
from pathlib import Path

import pytest

from church.telemetry_store.follow import CHUNK, SETTLED, Follower
from church.telemetry_store.manifest import FileState


class Logs:
    """A folder of logs with a follower, whose clock is that of the files until it is moved on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: dict[str, FileState] = {}
        self.later = 0.0
        self.torn = 0
        self.oldest = 0.0
        self.restart()

    @property
    def log(self) -> Path:
        return self.folder / "combined.log"

    def restart(self) -> None:
        self.follower = Follower(self.folder, self.files, lambda: self.oldest, self.now)

    def now(self) -> float:
        return max(path.stat().st_mtime for path in self.folder.iterdir()) + self.later

    def write(self, *lines: str) -> None:
        with self.log.open("a") as file:
            file.writelines(lines)

    def read(self) -> list[str]:
        found = []
        for batch in self.follower.read_new():
            self.torn += batch.torn
            found += [line.decode() for line in batch.lines]
        return found

    def compress(self, name: str, mode: str = "wb") -> Path:
        """Compress a file of the folder as logrotate does, with its times."""
        path, status = self.folder / name, (self.folder / name).stat()
        target = path.with_name(f"{name}.gz")
        with gzip.open(target, mode) as file:
            file.write(path.read_bytes())  # type: ignore[arg-type]
        os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
        path.unlink()
        return target


@pytest.fixture
def logs(tmp_path: Path) -> Logs:
    """An empty folder of logs."""
    return Logs(tmp_path)


def test_follow_reads_each_line_once(logs: Logs) -> None:
    logs.write("one\n", "two\n")
    assert logs.read() == ["one", "two"]
    assert logs.read() == []
    logs.write("three\n")
    assert logs.read() == ["three"]


def test_follow_without_a_folder_reads_nothing(tmp_path: Path) -> None:
    assert list(Follower(tmp_path / "none", {}).read_new()) == []


def test_follow_line_that_is_not_whole_is_waited_for(logs: Logs) -> None:
    logs.write("one\n", "tw")
    assert logs.read() == ["one"]
    logs.later = 3 * SETTLED
    assert logs.read() == []
    logs.write("o\n")
    assert logs.read() == ["two"]
    assert logs.torn == 0


def test_follow_first_line_that_is_not_whole_is_waited_for(logs: Logs) -> None:
    logs.write("on")
    assert logs.read() == []
    logs.write("e\n")
    assert logs.read() == ["one"]


def test_follow_restarted_goes_on_where_it_was(logs: Logs) -> None:
    logs.write("one\n")
    assert logs.read() == ["one"]
    logs.restart()
    logs.write("two\n")
    assert logs.read() == ["two"]


def test_follow_renamed_file_is_read_to_its_end_before_the_new_one(logs: Logs) -> None:
    logs.write("one\n")
    assert logs.read() == ["one"]
    logs.write("two\n")
    logs.log.rename(logs.folder / "combined.log.1")
    logs.write("three\n")
    assert logs.read() == ["two", "three"]


def test_follow_compressed_file_is_not_read_twice(logs: Logs) -> None:
    logs.write("one\n", "two\n")
    assert logs.read() == ["one", "two"]
    logs.log.rename(logs.folder / "combined.log.1")
    logs.compress("combined.log.1")
    assert logs.read() == []
    logs.restart()
    assert logs.read() == []


def test_follow_compressed_file_gives_what_was_not_read(logs: Logs) -> None:
    logs.write("one\n")
    assert logs.read() == ["one"]
    logs.write("two\n", "torn")
    logs.log.rename(logs.folder / "combined.log-20261130")
    logs.compress("combined.log-20261130")
    logs.restart()
    assert logs.read() == ["two"]
    assert logs.torn == 1


def test_follow_files_rotated_while_it_was_down_are_read_in_order(logs: Logs) -> None:
    for number, name in enumerate(["combined.log.3", "combined.log.2", "combined.log.1", "combined.log"]):
        path = logs.folder / name
        path.write_text(f"{number}\n")
        os.utime(path, (1000 + number, 1000 + number))
    logs.compress("combined.log.3")
    logs.compress("combined.log.2")
    assert logs.read() == ["0", "1", "2", "3"]


def test_follow_emptied_file_is_read_from_its_beginning(logs: Logs) -> None:
    logs.write("one\n", "two\n")
    assert logs.read() == ["one", "two"]
    shutil.copy2(logs.log, logs.folder / "combined.log.1")
    os.truncate(logs.log, 0)
    logs.write("three, longer than what was there before\n")
    assert logs.read() == ["three, longer than what was there before"]


def test_follow_half_compressed_file_is_read_when_it_is_whole(logs: Logs) -> None:
    text = "".join(f"line {number} {os.urandom(30).hex()}\n" for number in range(5000))
    logs.write(text)
    logs.log.rename(logs.folder / "combined.log.1")
    target = logs.compress("combined.log.1")
    data = target.read_bytes()
    target.write_bytes(data[: len(data) // 2])
    first = logs.read()
    target.write_bytes(data)
    assert first + logs.read() == text.splitlines()
    assert logs.torn == 0


def test_follow_torn_end_of_a_rotated_file_is_counted_once_nobody_writes_to_it(logs: Logs) -> None:
    logs.write("one\n", "tw")
    logs.log.rename(logs.folder / "combined.log.1")
    assert logs.read() == ["one"]
    assert logs.torn == 0
    logs.later = SETTLED + 1
    assert logs.read() == []
    assert logs.torn == 1
    logs.later = 3 * SETTLED
    logs.restart()
    assert logs.read() == []
    assert logs.torn == 1


def test_follow_line_without_an_end_does_not_fill_the_memory(logs: Logs) -> None:
    logs.write("one\n", "x" * (2 * CHUNK + 10), "\n", "two\n")
    found = logs.read()
    assert found[0] == "one"
    assert found[-1] == "two"
    assert logs.torn >= 1
    assert max(map(len, found)) <= CHUNK


def test_follow_files_that_are_too_old_are_left_out(logs: Logs) -> None:
    old = logs.folder / "combined.log.1"
    old.write_text("old\n")
    os.utime(old, (1000, 1000))
    logs.write("new\n")
    logs.oldest = 2000
    assert logs.read() == ["new"]


def test_follow_other_files_are_left_alone(logs: Logs) -> None:
    for name in ("error.log", "combined.log.bak", "combined.login", "combined.log.1.xz", "combined.log~"):
        (logs.folder / name).write_text("no\n")
    (logs.folder / "traces.log").write_text("trace\n")
    assert logs.read() == ["trace"]


def test_follow_file_that_is_still_there_is_not_forgotten(logs: Logs) -> None:
    logs.write("one\n")
    (logs.folder / "combined.log.1").write_text("zero\n")
    assert sorted(logs.read()) == ["one", "zero"]
    for _ in range(3):
        logs.later += 5 * 86_400
        assert logs.read() == []
    assert len(logs.files) == 2
    (logs.folder / "combined.log.1").unlink()
    logs.later += 8 * 86_400
    assert logs.read() == []
    assert len(logs.files) == 1
