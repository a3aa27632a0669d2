"""Worker slots: the files that a process counts in.

A process takes the lowest free slot N of its host by ``flock`` on ``slotN.lock`` and keeps it until it ends; the kernel
frees the lock however it ends. So two live processes never share a file (they would lose counts), and a recycled worker
continues in the files of the one before it: neither the files nor the cost of a scrape grow with restarts. Until a
process takes a slot, it counts in memory; the counts are kept.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar

from church.lib import threads
from church.observability.metrics import client_internals
from church.observability.metrics.client_internals import SlotFile

MAX_SLOTS = 1024


def check(path: Path) -> None:
    """Raise DamagedFileError if ``path`` cannot be counted in any more."""
    for key, _ in client_internals.read_entries(path.read_bytes()):
        client_internals.parse_key(key)


def set_aside(path: Path) -> None:
    """Move a damaged file out of the way; it replaces an earlier one, so that they do not pile up."""
    with suppress(FileNotFoundError):  # another process was quicker
        os.replace(path, path.with_suffix(".damaged"))


class Slots:
    """The slot that this process counts in, once it has taken one."""

    def __init__(self) -> None:
        self.directory: Path | None = None
        self.number: int | None = None
        self.role = ""
        self.damage: list[str] = []
        self._lock_fd: int | None = None
        self._files: dict[str, SlotFile] = {}

    def take(self, directory: Path, role: str) -> int:
        """Take the lowest free slot of ``directory`` for ``role`` (web or work) and bind every value to its files.

        Damaged files of the slot are set aside and listed in ``damage``, to be reported. Raises RuntimeError when all
        are taken.
        """
        if self.number is not None:
            return self.number
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with lock_folder(directory):
            fd, number = _lock_lowest(directory)
        with suppress(OSError):  # a full disk: it counts all the same, only its pid and role are unknown
            os.truncate(fd, 0)
            os.pwrite(fd, json.dumps({"pid": os.getpid(), "role": role, "namespace": pid_namespace()}).encode(), 0)
        self.directory, self.number, self._lock_fd, self.role = directory, number, fd, role
        for path in directory.glob(f"*_slot{number}.db"):
            self._make_usable(path)
        SlotValue.bind_all()
        return number

    def _make_usable(self, path: Path) -> None:
        if path.name.startswith("gauge_live"):
            path.unlink(missing_ok=True)
            return
        try:
            check(path)
        except client_internals.DamagedFileError as error:
            set_aside(path)
            self.damage.append(f"{path.name}: {error}")

    @property
    def name(self) -> str:
        """The process, by its role and slot; its pid while it has none."""
        return f"{self.role}-{self.number}" if self.number is not None else f"pid-{os.getpid()}"

    def file(self, prefix: str) -> SlotFile:
        """The file of this process's slot for one kind of metric. Raises OSError on a full disk."""
        if self.directory is None:
            raise RuntimeError("take a slot before asking for its files")
        if prefix not in self._files:
            self._files[prefix] = SlotFile(self.directory / f"{prefix}_slot{self.number}.db")
        return self._files[prefix]

    def leave(self) -> None:
        """Give the slot back and count in memory; for tests: a process gives its slot back by ending."""
        SlotValue.unbind_all()
        for file in self._files.values():
            file.close()  # type: ignore[no-untyped-call]
        self._files.clear()
        if self._lock_fd is not None:
            os.close(self._lock_fd)
        self.directory = self.number = self._lock_fd = None


@contextmanager
def lock_folder(directory: Path) -> Iterator[None]:
    """Lock the folder while slots are taken or listed."""
    fd = os.open(directory / "slots.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _lock_lowest(directory: Path) -> tuple[int, int]:
    for number in range(MAX_SLOTS):
        fd = os.open(directory / f"slot{number}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
        else:
            return fd, number
    raise RuntimeError(f"all {MAX_SLOTS} metric slots of {directory} are taken: is something starting without end?")


def list_live_slots(directory: Path) -> dict[int, dict[str, Any]]:
    """The slots of live processes, with the pid and role of each."""
    slots: dict[int, dict[str, Any]] = {}
    with lock_folder(directory):
        for path in directory.glob("slot*.lock"):
            digits = path.stem.removeprefix("slot")
            if digits.isdigit() and (owner := _owner(path)) is not None:
                slots[int(digits)] = owner
    return slots


def pid_namespace() -> int | None:
    """The namespace in which this process's pid is valid: containers share a folder, but not pids. None if unknown."""
    try:
        return os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return None


def _owner(path: Path) -> dict[str, Any] | None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        try:
            owner: dict[str, Any] = dict(json.loads(os.pread(fd, 4096, 0)))
        except (ValueError, TypeError):
            owner = {}
        return owner
    else:
        return None
    finally:
        os.close(fd)


SLOTS = Slots()


class SlotValue:
    """The number of one series: in memory, and in the slot's file once there is one.

    Replaces prometheus_client's value class. The lock is a real one even under gevent: it is held for two assignments,
    without a switch between them, so no greenlet ever waits for another of its thread.
    """

    _multiprocess = True
    _lock = threads.allocate_lock()
    _all: ClassVar[list[SlotValue]] = []
    _waiting: ClassVar[list[SlotValue]] = []  # values that wait for disk space; they count in memory

    def __init__(
        self,
        typ: str,
        metric_name: str,
        name: str,
        labelnames: Sequence[str],
        labelvalues: Sequence[str],
        help_text: str,
        multiprocess_mode: str = "",
        **_: Any,
    ) -> None:
        self._prefix = f"gauge_{multiprocess_mode}" if typ == "gauge" else typ
        self._key = client_internals.value_key(metric_name, name, labelnames, labelvalues, help_text)
        self._value = 0.0
        self._file: SlotFile | None = None
        with self._lock:
            self._all.append(self)
            if SLOTS.number is not None:
                self._bind_or_wait()

    def _bind_or_wait(self) -> None:
        if not self._bind():
            self._waiting.append(self)
            return
        while self._waiting and self._waiting[-1]._bind():
            self._waiting.pop()

    def _bind(self) -> bool:
        try:
            file = SLOTS.file(self._prefix)
            self._value += file.read(self._key)
        except OSError:
            return False
        file.write_value(self._key, self._value, 0.0)
        self._file = file
        return True

    @classmethod
    def bind_all(cls) -> None:
        """Count in the files of the slot from now on, instead of in memory."""
        with cls._lock:
            cls._waiting[:] = [value for value in cls._all if not value._bind()]

    @classmethod
    def unbind_all(cls) -> None:
        """Count in memory again, from 0."""
        with cls._lock:
            for value in cls._all:
                value._file, value._value = None, 0.0
            cls._waiting.clear()

    @classmethod
    def list_counts(cls) -> list[tuple[SlotValue, float]]:
        """Every value and its number."""
        return [(value, value._value) for value in cls._all]

    @classmethod
    def restore_counts(cls, counts: list[tuple[SlotValue, float]]) -> None:
        """Count on from what ``list_counts`` returned; values that came since are forgotten. Only without a slot."""
        for value, number in counts:
            value._value = number
        cls._all[:] = [value for value, _ in counts]

    def inc(self, amount: float) -> None:
        """Add ``amount``."""
        self.add_together(((self, amount),))

    @classmethod
    def add_together(cls, additions: Iterable[tuple[SlotValue, float]]) -> None:
        """Add to several numbers under one lock."""
        with cls._lock:
            for value, amount in additions:
                value._value += amount
                if value._file is not None:
                    value._file.write_value(value._key, value._value, 0.0)

    def set(self, value: float, timestamp: float | None = None) -> None:
        """Set the number to ``value``."""
        with self._lock:
            self._value = value
            if self._file is not None:
                self._file.write_value(self._key, value, 0.0)

    def get(self) -> float:
        """The number of this process's slot."""
        return self._value

    def set_exemplar(self, exemplar: Any) -> None:
        """Do nothing: exemplars have files of their own."""

    def get_exemplar(self) -> None:
        """Do nothing: exemplars have files of their own."""


def install() -> None:
    """Make every collector that is declared from now on count in the slot's files."""
    client_internals.install_value_class(SlotValue)
