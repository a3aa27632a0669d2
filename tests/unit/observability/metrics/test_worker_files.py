"""Worker slots of real processes: no two share a file, and only a broken disk loses counts."""

from __future__ import annotations

import json
import os
import random
import signal
import struct
import subprocess
import sys
import threading
import time
from collections import Counter as Tally
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.mmap_dict import MmapedDict, mmap_key

from church.observability.metrics import worker_files
from church.observability.metrics.client_internals import DamagedFileError
from church.observability.metrics.worker_files import SLOTS
from tests.support.helpers import no_slot
from tests.support.programs import needing, program
from tests.support.services_fixture import wait_until

ROOT = Path(__file__).parent.parent.parent.parent.parent
PROCESS = """
import sys
from pathlib import Path
from church.observability.metrics import worker_files
worker_files.install()
from prometheus_client import CollectorRegistry, Counter, Gauge
registry = CollectorRegistry()
counter = Counter("things", "Things.", ["kind"], registry=registry)
gauge = Gauge("busy", "Busy.", multiprocess_mode="livesum", registry=registry)
counter.labels("early").inc(int(sys.argv[3]))
print(worker_files.SLOTS.take(Path(sys.argv[1]), sys.argv[2]), len(worker_files.SLOTS.damage), flush=True)
for line in sys.stdin:
    verb, number = line.split()
    if verb == "count":
        for _ in range(int(number)):
            counter.labels("late").inc()
    elif verb == "busy":
        gauge.set(int(number))
    print("done", flush=True)
"""


class Process:
    """A real process that counts in ``directory``."""

    def __init__(self, directory: Path, role: str = "web", early: int = 0) -> None:
        command = [sys.executable, "-c", PROCESS, str(directory), role, str(early)]
        self._popen = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, bufsize=1
        )
        self.pid = self._popen.pid
        assert self._popen.stdout is not None
        self.slot, self.damaged = map(int, self._popen.stdout.readline().split())

    def send(self, command: str) -> None:
        assert self._popen.stdin is not None
        self._popen.stdin.write(command + "\n")

    def wait(self) -> None:
        assert self._popen.stdout is not None
        assert self._popen.stdout.readline() == "done\n"

    def do(self, command: str) -> None:
        self.send(command)
        self.wait()

    def kill(self, number: int = signal.SIGKILL) -> None:
        self._popen.send_signal(number)
        self._popen.wait(60)
        for pipe in (self._popen.stdin, self._popen.stdout):
            with suppress(BrokenPipeError):
                pipe.close()  # type: ignore[union-attr]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    started: list[Process] = []

    def one(role: str = "web", early: int = 0) -> Process:
        started.append(Process(tmp_path, role, early))
        return started[-1]

    yield one
    for process in started:
        process.kill()


def totals(directory: Path) -> Tally[str]:
    """The sums over all files, as prometheus_client itself reads them, by sample and label values."""
    found: Tally[str] = Tally()
    for path in directory.glob("*_slot*.db"):
        for key, number, _time, _position in MmapedDict.read_all_values_from_file(str(path)):
            _name, sample, labels, _help = json.loads(key)
            found[" ".join([sample, *labels.values()])] += number
    return found


@pytest.fixture
def here(_metrics_slot: Path, tmp_path: Path) -> Iterator[Path]:
    """A folder in which this process may take slots; afterwards it counts in its former one again."""
    with no_slot(_metrics_slot):
        yield tmp_path


def slot_file(path: Path, **counts: float) -> Path:
    """A sound slot file with these label values."""
    made = MmapedDict(str(path))
    for kind, number in counts.items():
        made.write_value(mmap_key("things", "things_total", ["kind"], [kind], "Things."), number, 0.0)
    made.close()
    return path


def test_live_processes_have_separate_slots(start: Callable[..., Process], tmp_path: Path) -> None:
    processes = [start() for _ in range(3)] + [start("work")]
    assert [process.slot for process in processes] == [0, 1, 2, 3]
    namespace = os.stat("/proc/self/ns/pid").st_ino
    assert worker_files.list_live_slots(tmp_path) == {
        process.slot: {"pid": process.pid, "role": "work" if process.slot == 3 else "web", "namespace": namespace}
        for process in processes
    }


def test_processes_that_start_together_have_separate_slots(tmp_path: Path) -> None:
    found: list[Process] = []
    threads = [threading.Thread(target=lambda: found.append(Process(tmp_path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    for process in found:
        process.kill()
    assert sorted(process.slot for process in found) == list(range(8))


def test_two_processes_count_forty_thousand_exactly(start: Callable[..., Process], tmp_path: Path) -> None:
    both = [start(), start()]
    for process in both:
        process.send("count 20000")
    for process in both:
        process.wait()
    assert totals(tmp_path)["things_total late"] == 40_000


class Interrupted(float):
    """The number 1, whose addition lets another thread run in the middle of it."""

    def __radd__(self, other: float) -> float:
        time.sleep(0)
        return other + 1.0


@pytest.mark.parametrize(("amount", "each"), [(1.0, 5_000), (Interrupted(1.0), 500)])
def test_threads_of_one_process_count_exactly(here: Path, amount: float, each: int) -> None:
    SLOTS.take(here, "web")
    counter = Counter("threaded", "Threaded.", ["kind"], registry=CollectorRegistry())
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [
            threading.Thread(target=lambda: [counter.labels("x").inc(amount) for _ in range(each)]) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert totals(here)["threaded_total x"] == 8 * each


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_slot_of_an_ended_process_is_free_and_keeps_its_counts(
    start: Callable[..., Process], tmp_path: Path, number: int
) -> None:
    first, second = start(), start()
    first.do("count 10")
    second.do("count 5")
    first.kill(number)
    assert list(worker_files.list_live_slots(tmp_path)) == [1]
    again = start()
    assert again.slot == 0
    again.do("count 7")
    assert totals(tmp_path)["things_total late"] == 22
    assert len(list(tmp_path.glob("counter_*.db"))) == 2


def test_many_recycled_processes_leave_no_more_files_than_one(start: Callable[..., Process], tmp_path: Path) -> None:
    for _ in range(5):
        process = start()
        process.do("count 3")
        process.do("busy 1")
        process.kill()
    assert {path.name for path in tmp_path.iterdir()} == {
        "counter_slot0.db",
        "gauge_livesum_slot0.db",
        "slot0.lock",
        "slots.lock",
    }
    assert totals(tmp_path)["things_total late"] == 15


def test_live_gauge_of_the_previous_process_is_reset_when_the_slot_is_taken(
    start: Callable[..., Process], tmp_path: Path
) -> None:
    first = start()
    first.do("busy 4")
    first.kill()
    assert totals(tmp_path)["busy"] == 4
    start()
    assert totals(tmp_path)["busy"] == 0


def test_values_counted_before_the_slot_was_taken_are_kept(start: Callable[..., Process], tmp_path: Path) -> None:
    start(early=3).kill()
    start(early=4).kill()
    assert totals(tmp_path)["things_total early"] == 7


def test_slot_that_is_taken_twice_is_the_same(here: Path) -> None:
    counter = Counter("twice", "Twice.", registry=CollectorRegistry())
    counter.inc(2)
    assert SLOTS.take(here, "web") == SLOTS.take(here, "web") == 0
    assert totals(here)["twice_total"] == 2


def test_slot_given_back_is_free_and_counting_starts_at_zero_in_memory(here: Path) -> None:
    counter = Counter("leaving", "Leaving.", registry=CollectorRegistry())
    SLOTS.take(here, "web")
    counter.inc(2)
    SLOTS.leave()
    assert worker_files.list_live_slots(here) == {}
    counter.inc(5)
    assert totals(here)["leaving_total"] == 2


def test_take_without_a_free_slot_raises(
    here: Path, start: Callable[..., Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_files, "MAX_SLOTS", 1)
    start()
    with pytest.raises(RuntimeError, match=r"all 1 metric slots of .* are taken"):
        SLOTS.take(here, "web")


def damaged(kind: str) -> bytes:
    """A slot file with one kind of damage."""
    key = mmap_key("things", "things_total", ["kind"], ["x"], "Things.").encode()

    def entry(text: bytes, length: int | None = None) -> bytes:
        padded = text + b" " * (8 - (len(text) + 4) % 8)
        return struct.pack("i", len(text) if length is None else length) + padded + struct.pack("dd", 3.0, 0.0)

    def file(body: bytes, used: int | None = None) -> bytes:
        return struct.pack("ii", 8 + len(body) if used is None else used, 0) + body

    return {
        "garbage": random.Random(7).randbytes(4096),
        "text": b"this is no metric file at all\n" * 20,
        "stub": b"\x08\x00",
        "claims more": file(entry(key), 4096),
        "claims less than nothing": file(entry(key), -8),
        "cut in the header": file(entry(key) + b"\x05\x00"),
        "cut in a key": file(entry(key)[:20]),
        "cut in a value": file(entry(key)[:-12]),
        "key without length": file(entry(key, 0)),
        "key of negative length": file(entry(key, -4)),
        "key of huge length": file(entry(key, 2**31 - 1)),
        "key that is no JSON": file(entry(b"[not json")),
        "key that is a number": file(entry(b"5")),
        "key of another shape": file(entry(b'["a", "b", ["c"], "d"]')),
        "key with numbers for labels": file(entry(b'["a", "b", {"c": 1}, "d"]')),
        "key that is deep": file(entry(b"[" * 100_000)),
        "key in no UTF-8": file(entry(b'["\xff", "b", {}, "d"]')),
        "key in UTF-16": file(entry('["a", "b", {}, "d"]'.encode("utf-16-le"))),
    }[kind]


DAMAGE = [
    "garbage",
    "text",
    "stub",
    "claims more",
    "claims less than nothing",
    "cut in the header",
    "cut in a key",
    "cut in a value",
    "key without length",
    "key of negative length",
    "key of huge length",
    "key that is no JSON",
    "key that is a number",
    "key of another shape",
    "key with numbers for labels",
    "key that is deep",
    "key in no UTF-8",
    "key in UTF-16",
]


@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_file_is_set_aside_and_counted_and_counting_goes_on(here: Path, kind: str) -> None:
    path = here / "counter_slot0.db"
    path.write_bytes(damaged(kind))
    slot_file(here / "histogram_slot0.db", sound=5)
    counter = Counter("after", "After.", registry=CollectorRegistry())
    SLOTS.take(here, "web")
    assert [reason.partition(":")[0] for reason in SLOTS.damage] == ["counter_slot0.db"]
    assert (here / "counter_slot0.damaged").read_bytes() == damaged(kind)
    counter.inc(2)
    assert totals(here)["after_total"] == 2
    assert totals(here)["things_total sound"] == 5


def test_damaged_file_of_another_slot_is_left_to_its_owner(here: Path) -> None:
    (here / "counter_slot1.db").write_bytes(b"garbage!")
    SLOTS.take(here, "web")
    assert SLOTS.damage == []
    assert (here / "counter_slot1.db").exists()


def test_folder_of_the_slots_is_private(here: Path) -> None:
    SLOTS.take(here / "metrics", "web")
    assert (here / "metrics").stat().st_mode & 0o777 == 0o700


def test_damaged_file_that_another_process_set_aside_first_is_no_error(here: Path) -> None:
    worker_files.set_aside(here / "counter_slot7.db")
    assert list(here.glob("*.damaged")) == []


def test_damaged_files_do_not_pile_up(here: Path) -> None:
    for text in (b"first garbage", b"second garbage"):
        (here / "counter_slot0.db").write_bytes(text)
        SLOTS.take(here, "web")
        SLOTS.leave()
    assert [path.read_bytes() for path in here.glob("*.damaged")] == [b"second garbage"]


@pytest.mark.parametrize("size", [0, 8, 65_536])
def test_file_that_was_made_and_not_written_is_sound(here: Path, size: int) -> None:
    (here / "counter_slot0.db").write_bytes(bytes(size))
    counter = Counter("unwritten", "Unwritten.", registry=CollectorRegistry())
    SLOTS.take(here, "web")
    counter.inc()
    assert SLOTS.damage == []
    assert totals(here)["unwritten_total"] == 1


def test_file_with_random_damage_is_detected_or_still_usable(tmp_path: Path) -> None:
    sound = slot_file(tmp_path / "sound.db", a=1, b=2, c=3).read_bytes()[:400]
    chance = random.Random(11)
    told = 0
    for number in range(400):
        data = bytearray(sound)
        for _ in range(chance.randint(1, 4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        path = tmp_path / f"{number}.db"
        path.write_bytes(data[: chance.choice([len(data), chance.randrange(len(data))])])
        try:
            worker_files.check(path)
        except DamagedFileError:
            told += 1
        else:
            opened = MmapedDict(str(path))
            opened.write_value(mmap_key("new", "new_total", [], [], "New."), 1.0, 0.0)
            opened.close()
            worker_files.check(path)
    assert 200 < told < 400


def test_file_that_outgrows_its_first_size_is_still_sound(here: Path) -> None:
    SLOTS.take(here, "web")
    counter = Counter("many", "Many.", ["kind"], registry=CollectorRegistry())
    for number in range(2_000):
        counter.labels(f"kind-{number:04d}-{'x' * 100}").inc(number)
    worker_files.check(here / "counter_slot0.db")
    assert (here / "counter_slot0.db").stat().st_size > 65_536
    assert sum(totals(here).values()) == sum(range(2_000))


def test_gauges_of_each_mode_have_a_file_of_their_own(here: Path) -> None:
    SLOTS.take(here, "web")
    registry = CollectorRegistry()
    Gauge("one", "One.", registry=registry, multiprocess_mode="livesum").set(3)
    Gauge("two", "Two.", registry=registry, multiprocess_mode="max").set(4)
    names = {path.name for path in here.glob("gauge_*.db")}
    assert {"gauge_livesum_slot0.db", "gauge_max_slot0.db"} <= names


def test_living_slot_whose_owner_is_not_written_yet_is_listed(start: Callable[..., Process], tmp_path: Path) -> None:
    process = start()
    (tmp_path / "slot0.lock").write_text('{"pid": 12')
    (tmp_path / "slotx.lock").write_text("of something else")
    assert worker_files.list_live_slots(tmp_path) == {0: {}}
    process.kill()
    wait_until(lambda: worker_files.list_live_slots(tmp_path) == {}, "the slot is free")


def test_lock_files_do_not_reach_programs_that_are_started(here: Path) -> None:
    SLOTS.take(here, "web")
    held = {
        os.readlink(f"/proc/self/fd/{fd}")
        for fd in os.listdir("/proc/self/fd")
        if os.path.exists(f"/proc/self/fd/{fd}")
    }
    assert str(here / "slot0.lock") in held
    listed = subprocess.run(["ls", "-l", "/proc/self/fd"], capture_output=True, text=True, close_fds=False, check=True)
    assert str(here) not in listed.stdout


FULL = """
import sys
from pathlib import Path
from church.observability.metrics import worker_files
worker_files.install()
from prometheus_client import CollectorRegistry, Counter
registry = CollectorRegistry()
counter = Counter("things", "Things.", ["kind"], registry=registry)
disk = Path(sys.argv[1])
print("slot", worker_files.SLOTS.take(disk / "metrics", "web"))
counter.labels("before").inc()
with open(disk / "filling", "wb", 0) as filling:
    try:
        while True:
            filling.write(bytes(1024))
    except OSError:
        pass
for number in range(1500):
    counter.labels(f"{number}{'x' * 100}").inc()
counter.labels("before").inc()
(disk / "filling").unlink()
counter.labels("after").inc()
"""


@pytest.fixture
@needing("mount", "umount")
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 800 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = os.geteuid() == 0 and subprocess.run(
        [program("mount"), "-t", "tmpfs", "-o", "size=800k", "none", str(disk)], check=False, capture_output=True
    )
    if not mounted or mounted.returncode:
        pytest.skip("only root may mount a small disk")
    yield disk
    subprocess.run([program("umount"), str(disk)], check=True)


def test_full_disk_ends_no_process_and_counts_are_written_later(
    small_disk: Path,
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(small_disk)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "slot 0\n", "")
    found = totals(small_disk / "metrics")
    assert (found["things_total before"], found["things_total after"]) == (2, 1)
    assert sum(found.values()) == 1503
