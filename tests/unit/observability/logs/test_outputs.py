"""Log sinks: no torn lines, every lost line counted, and no caller that waits."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from church.observability.logs import outputs
from church.observability.logs.outputs import ConsoleSink, FileSink, Sink
from tests.support.programs import needing, program
from tests.support.services_fixture import wait_until

ROOT = Path(__file__).parent.parent.parent.parent.parent
WRITER = """
import select, sys, time
from pathlib import Path
from church.observability.logs import outputs
from church.observability.logs.outputs import FileSink
outputs._LAST_WAIT = 60
path, name, threaded = Path(sys.argv[1]), sys.argv[2], sys.argv[3] == "1"
lost, number = [], 0
sink = FileSink(path, lost.append)
if threaded:
    sink.start()
print("ready", flush=True)
while not select.select([sys.stdin], [], [], 0)[0]:  # until the test ends it
    for number in range(number, number + 100):
        sink.put(b'{"writer": "%s", "number": %d, "filler": "%s"}\\n' % (name.encode(), number, b"x" * (number % 700)))
    number += 1
    time.sleep(0.01)
    while len(sink._queue) > 1000:  # the disk is slower: what would be too much is another test's
        time.sleep(0.01)
sink.stop()
print(number, sum(lost))
"""


class Lost:
    """Counts the lines that a sink lost."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, count: int) -> None:
        self.count += count


@pytest.fixture
def lost() -> Lost:
    return Lost()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """``stop`` waits for the batch that is being written, however slow the disk is."""
    monkeypatch.setattr(outputs, "_LAST_WAIT", 60)


def line(number: int = 0, size: int = 40) -> bytes:
    return f"{number:08d} ".encode().ljust(size - 1, b"x") + b"\n"


def test_file_has_each_line_unchanged(tmp_path: Path, lost: Lost) -> None:
    sink = FileSink(tmp_path / "logs" / "a.log", lost)
    for number in range(3):
        sink.put(line(number))
    assert (tmp_path / "logs" / "a.log").read_bytes() == b"".join(map(line, range(3)))
    assert (tmp_path / "logs" / "a.log").stat().st_mode & 0o777 == 0o640
    assert lost.count == 0


def test_file_that_was_renamed_or_deleted_is_opened_anew(tmp_path: Path, lost: Lost) -> None:
    path = tmp_path / "a.log"
    sink = FileSink(path, lost)
    sink.put(line(1))
    path.rename(tmp_path / "a.log.1")
    sink.put(line(2))
    path.unlink()
    sink.put(line(3))
    path.rename(tmp_path / "a.log.3")
    path.touch()  # logrotate's "create"
    sink.put(line(4))
    assert path.read_bytes() == line(4)
    assert (tmp_path / "a.log.1").read_bytes() == line(1)
    assert (tmp_path / "a.log.3").read_bytes() == line(3)
    assert lost.count == 0


def test_file_that_was_rotated_is_closed(tmp_path: Path, lost: Lost) -> None:
    path = tmp_path / "a.log"
    sink = FileSink(path, lost)
    for number in range(5):
        sink.put(line(number))
        path.rename(tmp_path / f"a.log.{number}")
    held = [fd for fd in os.listdir("/proc/self/fd") if str(tmp_path) in _target(fd)]
    assert len(held) == 1


def _target(fd: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return ""


def test_file_whose_folder_was_removed_is_made_again(tmp_path: Path, lost: Lost) -> None:
    path = tmp_path / "logs" / "a.log"
    sink = FileSink(path, lost)
    sink.put(line(1))
    path.unlink()
    path.parent.rmdir()
    sink.put(line(2))
    assert path.read_bytes() == line(2)


@pytest.mark.parametrize("threaded", [False, True])
def test_file_of_four_processes_has_every_line_whole_through_rotations(tmp_path: Path, threaded: bool) -> None:
    path = tmp_path / "a.log"
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(name), str(int(threaded))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
        )
        for name in range(4)
    ]
    assert [writer.stdout.readline() for writer in writers if writer.stdout] == [b"ready\n"] * 4
    for number in range(1, 5):
        wait_until(lambda: path.exists() and path.stat().st_size > 300_000, "lines are written", 60)
        path.rename(tmp_path / f"a.log.{number}")
    told = [writer.communicate(b"end\n", timeout=60)[0].split() for writer in writers]
    assert [int(lost) for _, lost in told] == [0] * 4
    found: Counter[str] = Counter()
    for part in tmp_path.glob("a.log*"):
        for written in part.read_bytes().split(b"\n")[:-1]:
            record = json.loads(written)
            found[f"{record['writer']} {record['number']}"] += 1
    assert found == Counter(f"{name} {number}" for name in range(4) for number in range(int(told[name][0])))


def test_file_that_cannot_be_written_drops_and_counts_and_goes_on_after(tmp_path: Path, lost: Lost) -> None:
    path = tmp_path / "a.log"
    path.symlink_to("/dev/full")
    sink = FileSink(path, lost)
    for number in range(3):
        sink.put(line(number))
    assert lost.count == 3
    path.unlink()
    sink.put(line(4))
    assert path.read_bytes() == line(4)
    assert lost.count == 3


def test_file_in_a_folder_that_cannot_be_made_drops_and_counts(tmp_path: Path, lost: Lost) -> None:
    (tmp_path / "logs").write_text("in the way")
    FileSink(tmp_path / "logs" / "a.log", lost).put(line())
    assert lost.count == 1


@pytest.fixture
@needing("mount", "umount")
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = [program("mount"), "-t", "tmpfs", "-o", "size=64k", "none", str(disk)]
    if os.geteuid() or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("only root may mount a small disk")
    yield disk
    subprocess.run([program("umount"), "-l", str(disk)], check=True)


def test_full_disk_drops_and_counts_what_does_not_fit(small_disk: Path, lost: Lost) -> None:
    sink = FileSink(small_disk / "a.log", lost)
    sink._started_in = os.getpid()  # queue them, so that one write holds many lines
    for number in range(2_000):
        sink.put(line(number, 100))
    sink.flush()
    kept = (small_disk / "a.log").read_bytes()
    whole, torn = kept.rpartition(b"\n")[::2]
    assert torn  # the disk ended inside a line
    assert whole.count(b"\n") + 1 + lost.count == 2_000
    (small_disk / "a.log").rename(small_disk / "a.log.1")
    os.truncate(small_disk / "a.log.1", 0)
    sink.put(line(1))
    sink.flush()
    assert (small_disk / "a.log").read_bytes() == line(1)


def test_line_after_a_torn_one_is_a_line_of_its_own(
    tmp_path: Path, lost: Lost, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.log"
    sink = FileSink(path, lost)
    write = os.write
    monkeypatch.setattr(outputs.os, "write", lambda fd, data: write(fd, data[:10]))
    sink.put(line(1))
    monkeypatch.undo()
    sink.put(line(2))
    assert path.read_bytes() == line(1)[:10] + b"\n" + line(2)
    assert lost.count == 1


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe of one page."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    yield reading, writing
    for fd in (reading, writing):
        try:
            os.close(fd)
        except OSError:
            continue


def drained(reading: int) -> bytes:
    os.set_blocking(reading, False)
    found = b""
    try:
        while part := os.read(reading, 65_536):
            found += part
    except BlockingIOError:
        pass
    return found


def test_blocked_console_before_any_thread_drops_and_counts_and_returns(pipe: tuple[int, int], lost: Lost) -> None:
    sink = ConsoleSink(bytes.upper, lost, pipe[1])
    for number in range(200):
        sink.put(line(number, 100))
    assert lost.count > 0
    assert drained(pipe[0]).count(b"\n") == 200 - lost.count


def test_line_longer_than_a_pipe_before_any_thread_returns(pipe: tuple[int, int], lost: Lost) -> None:
    ConsoleSink(bytes.upper, lost, pipe[1]).put(line(1, 100_000))
    assert lost.count == 1


@pytest.mark.usefixtures("patient")
def test_blocked_console_with_a_thread_bounds_its_queue_and_leaves_files_alone(
    tmp_path: Path, pipe: tuple[int, int], lost: Lost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outputs, "_QUEUE_LINES", 500)
    file_lost = Lost()
    console, file = ConsoleSink(bytes.upper, lost, pipe[1]), FileSink(tmp_path / "a.log", file_lost)
    for sink in (console, file):
        sink.start()
    for number in range(3_000):
        console.put(line(number, 100))
        if number % 300 == 0:
            wait_until(lambda: not file._queue, "the file has its lines")
        file.put(line(number, 100))
    assert len(console._queue) <= 500
    assert lost.count >= 3_000 - 500 - 4096 // 100 - outputs._BATCH_BYTES // 100
    file.stop()
    assert (tmp_path / "a.log").read_bytes() == b"".join(line(number, 100) for number in range(3_000))
    assert file_lost.count == 0
    os.close(pipe[0])  # frees the thread that waits
    console.stop()


def test_console_whose_reader_is_gone_drops_and_counts(pipe: tuple[int, int], lost: Lost) -> None:
    os.close(pipe[0])
    sink = ConsoleSink(bytes.upper, lost, pipe[1])
    sink.put(line())
    assert lost.count == 1


def test_stop_with_a_full_pipe_and_an_idle_thread_returns(pipe: tuple[int, int], lost: Lost) -> None:
    sink = ConsoleSink(bytes.upper, lost, pipe[1])
    sink._started_in = os.getpid()  # a thread that sleeps just now, while another process fills the pipe
    os.write(pipe[1], b"y" * 4096)
    sink.put(line())
    ended = threading.Thread(target=sink.stop, daemon=True)
    ended.start()
    ended.join(60)
    assert not ended.is_alive()
    assert lost.count == 1


def test_stop_while_the_thread_is_stuck_returns(pipe: tuple[int, int], lost: Lost) -> None:
    sink = ConsoleSink(bytes.upper, lost, pipe[1])
    sink.start()
    sink.put(line(1, 50_000))
    wait_until(lambda: not sink._queue, "the thread writes")
    sink.put(line(2))
    ended = threading.Thread(target=sink.stop, daemon=True)
    ended.start()
    ended.join(60)
    assert not ended.is_alive()
    sink.put(line(3))
    assert drained(pipe[0])


def test_lines_are_written_by_the_thread_without_a_flush(tmp_path: Path, lost: Lost) -> None:
    sink = FileSink(tmp_path / "a.log", lost)
    sink.start()
    sink.put(line(1))
    wait_until(lambda: (tmp_path / "a.log").exists() and (tmp_path / "a.log").read_bytes() == line(1), "it is written")
    sink.stop()


class WatchedLock:
    """A lock that lists the arguments of each wait for it, and counts those that have ended."""

    def __init__(self, lock: Any, waits: list[tuple[object, ...]]) -> None:
        self._lock = lock
        self.waits = waits
        self.ended = 0
        self.threads: set[int] = set()

    def acquire(self, *args: Any) -> bool:
        self.threads.add(threading.get_ident())
        self.waits.append(args)
        got: bool = self._lock.acquire(*args)
        self.ended += 1
        return got

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lock, name)


def test_thread_without_lines_sleeps_until_the_next(
    tmp_path: Path, lost: Lost, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = FileSink(tmp_path / "a.log", lost)
    waits: list[tuple[object, ...]] = []
    lock = sink._idle = WatchedLock(sink._idle, waits)
    gathered, sleep = threading.Semaphore(0), outputs.threads.sleep

    def gather(seconds: float) -> None:
        if threading.get_ident() in lock.threads:
            gathered.acquire()
        else:  # another sink of this process
            sleep(seconds)

    monkeypatch.setattr(outputs.threads, "sleep", gather)
    sink.start()
    for number in range(2):
        wait_until(lambda: len(waits) == lock.ended + 1, "the thread sleeps")
        assert waits[-1] == ()  # without a time-out: nothing but a line wakes it
        assert len(waits) == 1 + 2 * number  # one sleep, and one look before the lines were read
        for part in range(50):
            sink.put(line(part))
        gathered.release()
        wait_until(lambda number=number: len(waits) == 3 + 2 * number, "one wake writes them all")  # type: ignore[misc]
        assert (tmp_path / "a.log").stat().st_size == 50 * 40 * (number + 1)
    sink.stop()
    gathered.release()


class InterruptedSink(Sink):
    """A sink whose first write is interrupted by a signal handler, which logs a line."""

    def __init__(self, dropped: outputs.Dropped) -> None:
        super().__init__(dropped)
        self.written: list[bytes] = []

    def _write(self, data: bytes) -> None:
        if not self.written:
            self.written.append(data)
            self.put(line(2))
        else:
            self.written.append(data)


def test_line_of_a_signal_handler_during_a_write_is_written_after_it(lost: Lost) -> None:
    sink = InterruptedSink(lost)
    ended = threading.Thread(target=sink.put, args=(line(1),), daemon=True)
    ended.start()
    ended.join(60)
    assert not ended.is_alive()
    assert sink.written == [line(1), line(2)]


def test_forked_child_writes_its_own_lines_and_leaves_its_parents_alone(tmp_path: Path, lost: Lost) -> None:
    sink = FileSink(tmp_path / "a.log", lost)
    sink._started_in = os.getpid()  # its thread is about to write
    sink.put(line(1))
    sink._turn.acquire()
    child = os.fork()
    if not child:
        try:
            sink.put(line(2))
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    sink._turn.release()
    sink.flush()
    assert (tmp_path / "a.log").read_bytes() == line(2) + line(1)


@pytest.mark.usefixtures("patient")
def test_stop_writes_what_is_queued_and_what_comes_after(tmp_path: Path, lost: Lost) -> None:
    sink = FileSink(tmp_path / "a.log", lost)
    sink.start()
    for number in range(1_000):
        sink.put(line(number))
    sink.stop()
    assert (tmp_path / "a.log").read_bytes() == b"".join(map(line, range(1_000)))
    sink.put(line(1_000))
    assert (tmp_path / "a.log").read_bytes().endswith(line(1_000))
    assert lost.count == 0


class SlowSink(Sink):
    """A sink whose writes are slow."""

    def __init__(self, dropped: outputs.Dropped) -> None:
        super().__init__(dropped)
        self.writing, self.stopping = threading.Event(), threading.Event()
        self.written = b""

    def _write(self, data: bytes) -> None:
        self.writing.set()
        assert self.stopping.wait(60)
        outputs.threads.sleep(0.1)
        self.written += data


@pytest.mark.usefixtures("patient")
def test_stop_waits_for_the_batch_that_is_being_written(lost: Lost) -> None:
    sink = SlowSink(lost)
    sink.start()
    sink.put(line(1))
    assert sink.writing.wait(60)
    sink.stopping.set()
    sink.stop()
    assert sink.written == line(1)


def test_line_of_a_child_is_written_by_the_child(tmp_path: Path, lost: Lost) -> None:
    """A forked child has its parent's sinks and not its threads."""
    sink = FileSink(tmp_path / "a.log", lost)
    sink.start()
    sink._started_in = os.getpid() + 1  # as it looks in the child
    sink.put(line(1))
    assert (tmp_path / "a.log").read_bytes() == line(1)
    sink.stop()


def test_queue_that_is_full_drops_and_counts(lost: Lost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outputs, "_QUEUE_LINES", 10)
    sink = Sink(lost)
    sink._started_in = os.getpid()
    for number in range(15):
        sink.put(line(number))
    assert lost.count == 5
    assert len(sink._queue) == 10


def test_console_formats_lines_on_a_terminal_and_not_on_a_pipe(pipe: tuple[int, int], lost: Lost) -> None:
    ConsoleSink(bytes.upper, lost, pipe[1]).put(b"plain\n")
    assert drained(pipe[0]) == b"plain\n"
    parent, child = os.openpty()
    try:
        ConsoleSink(bytes.upper, lost, child).put(b"plain\n")
        with os.fdopen(os.dup(parent), "rb") as screen:
            assert screen.readline() == b"PLAIN\r\n"  # a terminal shows a line piece by piece
    finally:
        os.close(parent)
        os.close(child)
