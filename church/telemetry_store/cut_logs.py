"""Cut addresses in log files: lines that are older than a few days keep the network of an address, a /24 or a /48.

A network is written in the place of the address, with spaces behind it. So no line moves: processes go on writing to
the file, and whoever reads it stays where they were. A compressed file is written anew, and replaced as a whole.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

from church.lib.log_addresses import Piece, limit_of, patch, read_piece
from church.telemetry_store.follow import BROKEN, CHUNK, NAMES, LogFile, find_logs, identify, identity_of, open_log

MEMORY = "cut_logs.json"
UNFINISHED = ".part"
_MILLISECOND = 1_000_000  # nanoseconds


class _Place(NamedTuple):
    """Bytes of a file, where they begin, and what of them is old."""

    offset: int
    data: bytes
    piece: Piece

    @property
    def end(self) -> int:
        """Where the old lines end."""
        return self.offset + self.piece.length


_Reached = tuple[str, int]
"""The identity of a file, and up to where it has no whole address."""


class LogCutter:
    """Cuts the addresses in the log files of ``folder``.

    ``memory``: the folder of the file that says how far each log file is done; without it they are all read again.
    ``rename``: is called with the old and the new identity of a file before its first line changes.
    """

    def __init__(self, folder: Path, memory: Path, rename: Callable[[str, str], None]) -> None:
        self._folder = folder
        self._memory = memory / MEMORY
        self._rename = rename

    def run(self, before: float) -> Iterator[None]:
        """Cut what was logged before ``before`` (seconds), in pieces: between two others may work. Raises OSError."""
        for name in NAMES:
            for left in self._folder.glob(f"{name}*{UNFINISHED}"):
                left.unlink(missing_ok=True)
        limit, known = limit_of(before), self._load()
        done: dict[str, int] = {}
        for file in find_logs(self._folder):
            with suppress(FileNotFoundError, *BROKEN[1:]):  # rotated just now, or damaged
                cut = self._cut_compressed if file.is_compressed else self._cut_plain
                reached = yield from cut(file, known, limit)
                done.update([reached] if reached else ())
        self._save(done)

    def _cut_plain(self, file: LogFile, known: dict[str, int], limit: bytes) -> Generator[None, None, _Reached | None]:
        with file.path.open("r+b", buffering=0) as opened:
            identity = identify(opened, is_final=False)
            if identity is None:
                return None
            offset, is_changed = known.get(identity, 0), False
            for place in _read(opened, offset, limit):
                identity = self._note_first_line(identity, place)
                for edit in place.piece.edits:
                    is_changed = os.pwrite(opened.fileno(), edit.data, place.offset + edit.at) > 0
                offset = place.end
                yield
            status = os.fstat(opened.fileno())
            if is_changed and not file.is_log and status.st_size == file.status.st_size:
                changed = file.status.st_mtime_ns + _MILLISECOND  # as old as it was, and yet seen to have changed
                os.utime(opened.fileno(), ns=(status.st_atime_ns, changed))
            return (identity, offset) if _is_at(file.path, status) else None

    def _cut_compressed(
        self, file: LogFile, known: dict[str, int], limit: bytes
    ) -> Generator[None, None, _Reached | None]:
        with open_log(file) as opened:
            identity = identify(opened, is_final=True)
            if identity is None:
                return None
            offset, has_whole = known.get(identity, 0), False
            for place in _read(opened, offset, limit):
                has_whole = has_whole or bool(place.piece.edits)
                offset = place.end
                yield
        if not has_whole:
            return identity, offset
        unfinished = file.path.with_name(file.path.name + UNFINISHED)
        try:
            identity = yield from self._write_compressed(file, unfinished, identity, limit)
            if not _is_at(file.path, file.status):
                return None
            unfinished.replace(file.path)
        finally:
            unfinished.unlink(missing_ok=True)
        return identity, offset

    def _write_compressed(self, file: LogFile, target: Path, identity: str, limit: bytes) -> Generator[None, None, str]:
        """Write the file with its addresses cut, and return its new identity."""
        with target.open("xb") as raw, gzip.GzipFile(filename="", fileobj=raw, mode="wb") as made:
            os.fchmod(raw.fileno(), file.status.st_mode & 0o777)
            with suppress(OSError):
                os.fchown(raw.fileno(), file.status.st_uid, file.status.st_gid)
            with open_log(file) as opened:
                rest = b""
                for place in _read(opened, 0, limit):
                    identity = self._note_first_line(identity, place)
                    made.write(patch(place.data, place.piece.edits)[: place.piece.length])
                    rest = place.data[place.piece.length :]
                    yield
                made.write(rest)
                while data := opened.read(CHUNK):
                    made.write(data)
                    yield
            made.flush()
            os.fsync(raw.fileno())
        shutil.copystat(file.path, target)
        return identity

    def _note_first_line(self, identity: str, place: _Place) -> str:
        """Have the file known by the identity that it gets with these edits, and return it."""
        if place.offset or not place.piece.edits:
            return identity
        changed = identity_of(patch(place.data, place.piece.edits).partition(b"\n")[0])
        if changed != identity:
            self._rename(identity, changed)
        return changed

    def _load(self) -> dict[str, int]:
        try:
            return {str(name): int(offset) for name, offset in json.loads(self._memory.read_text()).items()}
        except (OSError, ValueError, AttributeError, TypeError):
            return {}

    def _save(self, done: dict[str, int]) -> None:
        unfinished = self._memory.with_name(MEMORY + UNFINISHED)
        unfinished.write_text(json.dumps(done))
        unfinished.replace(self._memory)


def _read(opened: BinaryIO, offset: int, limit: bytes) -> Iterator[_Place]:
    """Read the old lines from ``offset`` on, a megabyte at once."""
    opened.seek(offset)
    rest = b""
    while read := opened.read(CHUNK):
        data = rest + read
        piece = read_piece(data, limit)
        if not piece.length and not piece.is_last and len(data) >= CHUNK:
            piece = Piece(len(data), [])  # a line as long as that is no record
        yield _Place(offset, data, piece)
        if piece.is_last:
            return
        offset, rest = offset + piece.length, data[piece.length :]


def _is_at(path: Path, status: os.stat_result) -> bool:
    """Whether the file is still at this path: a rotation may have moved it."""
    with suppress(FileNotFoundError):
        now = path.stat()
        return (now.st_dev, now.st_ino) == (status.st_dev, status.st_ino)
    return False
