"""Follow log files: read each line once, through rotation, compression and restarts.

A file is told by its first line, which has a time and an id of its own. So a file that was renamed, copied or
compressed is the same one, and one that was emptied and filled again is another.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import time
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

from church.telemetry_store.manifest import FileState

NAMES = ("combined.log", "traces.log")
CHUNK = 1024 * 1024
"""Bytes that are read at once; a longer line is no record."""
SETTLED = 60.0
"""Seconds without a change after which nobody writes to a rotated file any more."""
_IDENTITY_BYTES = 64 * 1024
_FORGET_AFTER = 7 * 86_400.0
_ROTATED = re.compile(r"[.-]\d[\d.-]*(\.gz)?")
BROKEN = (OSError, EOFError, zlib.error)
"""What gzip raises for a file that is not written to its end yet, or damaged."""


class Batch(NamedTuple):
    """Whole lines of a file, in order, and how many bytes it had that are no line."""

    lines: list[bytes]
    torn: int = 0


class LogFile(NamedTuple):
    """A file of a log: the log itself or a rotated one."""

    path: Path
    name: str
    status: os.stat_result

    @property
    def mark(self) -> str:
        """Changes whenever the file does."""
        return f"{self.status.st_dev}:{self.status.st_ino}:{self.status.st_size}:{self.status.st_mtime_ns}"

    @property
    def is_log(self) -> bool:
        return self.path.name == self.name

    @property
    def is_compressed(self) -> bool:
        return self.path.suffix == ".gz"

    def age(self, now: float) -> float:
        """Seconds since the last change."""
        return now - self.status.st_mtime


class _Done(NamedTuple):
    """A file of which all was read: its mark then, and its identity if it has one yet."""

    mark: str
    identity: str | None


class Follower:
    """Reads what is new in the log files of ``folder``.

    ``files``: how far each was read, by its identity. It is brought up to date before a batch is handed out.
    ``oldest``: files that changed last before this time are not begun.
    """

    def __init__(
        self,
        folder: Path,
        files: dict[str, FileState],
        oldest: Callable[[], float] = lambda: 0.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.folder = folder
        self._files = files
        self._oldest = oldest
        self._clock = clock
        self._done: dict[str, _Done] = {}  # by path

    def read_new(self) -> Iterator[Batch]:
        """Read all that is new, oldest files first."""
        found = find_logs(self.folder)
        for file in found:
            done = self._done.get(str(file.path))
            if done is not None and done.mark == file.mark and not self._is_settling(file):
                self._note_seen(done.identity)
                continue
            with suppress(FileNotFoundError):  # it was rotated just now: the next pass finds it by its new name
                self._done[str(file.path)] = _Done(file.mark, (yield from self._read_file(file)))
        paths = {str(file.path) for file in found}
        self._done = {path: done for path, done in self._done.items() if path in paths}
        self._forget()

    def _is_settling(self, file: LogFile) -> bool:
        """Whether a rotated file may get more, or has just had its last change: its last line may stay torn."""
        return not file.is_log and file.age(self._clock()) < 2 * SETTLED

    def _read_file(self, found: LogFile) -> Generator[Batch, None, str | None]:
        """Read what is new in a file and return its identity."""
        with open_log(found) as opened:
            file = found._replace(status=os.fstat(opened.fileno()))  # the path may lead to another file by now
            identity = identify(opened, is_final=self._is_final(file))
            state = self._files.get(identity or "")
            if identity is None or (state is None and file.status.st_mtime < self._oldest()):
                return identity
            self._note_seen(identity)
            if state is None or not file.is_compressed or state.whole != file.mark:
                yield from self._read_from(file, opened, identity, state.offset if state else 0)
            return identity

    def _read_from(self, file: LogFile, opened: BinaryIO, identity: str, offset: int) -> Iterator[Batch]:
        rest = b""
        is_whole, at_end = True, False
        while not at_end:
            try:
                if not rest:
                    opened.seek(offset)
                read = opened.read(CHUNK)
            except BROKEN:
                is_whole, read = False, b""
            at_end = not read
            taken, torn, rest = self._cut(file, rest + read, at_end and is_whole)
            offset += len(taken)
            whole = file.mark if file.is_compressed and at_end and is_whole else ""
            self._files[identity] = FileState(file.name, offset, self._clock(), whole)
            if taken:
                yield Batch([] if torn else taken.split(b"\n")[:-1], torn)

    def _cut(self, file: LogFile, data: bytes, at_end: bool) -> tuple[bytes, int, bytes]:
        """Cut off the whole lines: what is taken, 1 if that is no line, and the rest."""
        end = data.rfind(b"\n") + 1
        if end:
            return data[:end], 0, data[end:]
        if len(data) >= CHUNK or (data and at_end and self._is_final(file)):
            return data, 1, b""
        return b"", 0, data

    def _note_seen(self, identity: str | None) -> None:
        state = self._files.get(identity or "")
        if identity is not None and state is not None:
            self._files[identity] = state._replace(seen=self._clock())

    def _is_final(self, file: LogFile) -> bool:
        """Whether nobody writes to the file any more."""
        return file.is_compressed or (not file.is_log and file.age(self._clock()) >= SETTLED)

    def _forget(self) -> None:
        """Forget the files that were removed long ago."""
        limit = self._clock() - _FORGET_AFTER
        for identity in [identity for identity, state in self._files.items() if state.seen < limit]:
            del self._files[identity]


def find_logs(folder: Path) -> list[LogFile]:
    """The files of all logs: rotated ones by their age, then the logs themselves."""
    found = []
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            name = next((name for name in NAMES if _belongs(entry.name, name)), None)
            with suppress(FileNotFoundError):
                if name is not None and entry.is_file():
                    found.append(LogFile(Path(entry.path), name, entry.stat()))
    return sorted(found, key=lambda file: (file.is_log, file.status.st_mtime_ns, file.path.name))


def _belongs(file: str, name: str) -> bool:
    """Whether a file is the log ``name`` or one that it was rotated to: combined.log.1, combined.log-20261130.gz."""
    return file == name or (file.startswith(name) and _ROTATED.fullmatch(file[len(name) :]) is not None)


def open_log(file: LogFile) -> BinaryIO:
    """Open a file to read what it has, uncompressed."""
    if file.is_compressed:
        return gzip.open(file.path, "rb")  # type: ignore[return-value]  # reads and seeks as one
    return file.path.open("rb", buffering=0)


def identify(opened: BinaryIO, is_final: bool) -> str | None:
    """What tells the file, None while its first line is not whole. Reads from where ``opened`` is."""
    try:
        begin = opened.read(_IDENTITY_BYTES)
    except BROKEN:
        return None
    line, newline, _ = begin.partition(b"\n")
    if not newline and len(begin) < _IDENTITY_BYTES and not (is_final and begin):
        return None
    return identity_of(line)


def identity_of(line: bytes) -> str:
    """The identity of a file with this first line, without its newline."""
    return hashlib.blake2b(line[:_IDENTITY_BYTES], digest_size=12).hexdigest()
