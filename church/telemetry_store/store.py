"""The store: newest rows in memory, older ones in segments, and the manifest that says which is where.

One thread takes rows and seals them; others ask. A row is in memory or in a segment, never in both or neither.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from church.lib.files import make_private
from church.telemetry_store.manifest import FileState, Manifest, load_manifest, sync_folder
from church.telemetry_store.recent import PackedRows, Recent
from church.telemetry_store.sample_journal import SampleJournal
from church.telemetry_store.segments import (
    DAMAGED,
    FOLDER,
    SegmentInfo,
    looks_whole,
    segment_name,
)
from church.telemetry_store.tables import SEQ, TABLES, TS, Row

log = logging.getLogger("church.observe")

MOST_ROWS = 50_000
MOST_BYTES = 20 * 1024 * 1024
MOST_SECONDS = 600
"""Rows, bytes in memory, and age in seconds at which a segment is written."""
_SEQ_OF_A_START = 1_000_000
KEPT_FILES = 60
"""Seconds that the file of a segment stays after the manifest names it no longer: queries may be reading it."""


class Engine(Protocol):
    """What writes segments: the child with DuckDB."""

    def run(
        self, task: str, args: dict[str, Any], rows: Mapping[str, Iterable[Row]] | None = None
    ) -> Iterable[dict[str, Any]]:
        """Run a task and return its answers."""


class StoredSegment(NamedTuple):
    """A segment as queries read it; ``first`` and ``last`` are both in it."""

    path: Path
    first: int
    last: int
    rows: int
    info: SegmentInfo


class Snapshot(NamedTuple):
    """A table at one moment: its segments by time, and the rows that none of them holds."""

    segments: list[StoredSegment]
    rows: PackedRows


class Store:
    """All tables. ``folder``: where it keeps them. Only one thread may take and seal."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self.folder = folder
        self.segments_folder = folder / FOLDER
        self.lock = threading.RLock()
        self._clock = clock
        make_private(self.segments_folder)
        self.manifest = load_manifest(folder)
        self.files = dict(self.manifest.files)
        """How far each log file was read, which is as far as the rows in memory go."""
        self.lost = dict(self.manifest.lost)
        self._recent = {name: Recent() for name in TABLES}
        for name, recent in self._recent.items():
            recent.horizon = max((segment.last for segment in self.manifest.segments[name]), default=-1)
        self._oldest: float | None = None  # when the oldest row came that is in no segment
        self._leaving: list[tuple[float, Path]] = []
        self._clean()
        self._next_seq = self._reserve_numbers()
        self._journal = SampleJournal(folder)
        self._take_back_samples()

    # -- rows come in ---------------------------------------------------------------------------------------------

    @property
    def next_seq(self) -> int:
        """The number of the next row."""
        return self._next_seq

    def take(self, table: str, rows: Iterable[Row]) -> None:
        """Take rows that were given the numbers from ``next_seq`` on."""
        with self.lock:
            for row in rows:
                self._recent[table].add(row)
                self._next_seq = max(self._next_seq, row[SEQ] + 1)
            if self._oldest is None:
                self._oldest = self._clock()

    def take_samples(self, rows: Iterable[Row]) -> None:
        """Take samples of metrics, and number them. They are in a journal before they are anywhere else.

        May be called from any thread. Raises OSError if the journal cannot be written.
        """
        with self.lock:
            numbered = [(row[TS], self._next_seq + place, *row[SEQ + 1 :]) for place, row in enumerate(rows)]
            self._journal.append(numbered)
            self.take("samples", numbered)

    def count_lost(self, what: str, count: int = 1) -> None:
        """Count what could not be kept."""
        with self.lock:
            self.lost[what] = self.lost.get(what, 0) + count

    @property
    def is_full(self) -> bool:
        """Whether no more rows should be taken before the next segment is written."""
        with self.lock:
            tables = self._recent.values()
            return sum(t.unsealed for t in tables) >= MOST_ROWS or sum(t.bytes for t in tables) >= MOST_BYTES

    @property
    def seal_due(self) -> float | None:
        """When the next segment should be written, None if there is nothing to write."""
        with self.lock:
            return None if self._oldest is None else self._oldest + MOST_SECONDS

    # -- rows go to segments --------------------------------------------------------------------------------------

    def seal(self, engine: Engine) -> int:
        """Write the rows in memory as segments and return how many. Raises what the engine raises, and OSError.

        If it fails, all stays as it was.
        """
        begun = self._clock()
        with self.lock:
            batches = {name: recent.copy_unsealed() for name, recent in self._recent.items() if recent.unsealed}
            files, lost, seq = dict(self.files), dict(self.lost), self._next_seq
        written: list[SegmentInfo] = []
        try:
            for table, rows in batches.items():
                written.append(self._write(engine, table, rows))
            sync_folder(self.segments_folder)
            with self.lock:
                self._commit(files, lost, seq, written)
        except BaseException:
            for segment in written:
                self._remove_file(self.segments_folder / segment.file)
            raise
        with self.lock:
            for table, rows in batches.items():
                self._recent[table].seal(len(rows))
            self._oldest = begun if any(recent.unsealed for recent in self._recent.values()) else None
            with suppress(OSError):  # what it has too much is left out by number
                self._journal.drop_to(self.manifest.samples_seq, self._recent["samples"].copy_unsealed())
        return sum(map(len, batches.values()))

    def merge(self, engine: Engine, sources: list[SegmentInfo]) -> SegmentInfo:
        """Write several segments of a table as one, which replaces them. Raises what the engine raises, and OSError."""
        first = min(sources, key=lambda source: source.first)
        target = self._new_path(first.table, first.first, first.first_seq)
        return self._rewrite(engine, "merge", sources, target, all(source.is_cut for source in sources))

    def thin(self, engine: Engine, sources: list[SegmentInfo], resolution: int) -> SegmentInfo:
        """Write segments of samples as one with a sample for each ``resolution`` seconds. Raises as ``merge`` does."""
        first = min(sources, key=lambda source: source.first)
        target = self._new_path(first.table, first.first, first.first_seq, resolution)
        return self._rewrite(engine, "thin", sources, target, resolution=resolution)

    def cut(self, engine: Engine, source: SegmentInfo, before: int) -> SegmentInfo:
        """Write a segment with the addresses of its rows before ``before`` cut. Raises as ``merge`` does."""
        target = self._new_path(source.table, source.first, source.first_seq)
        return self._rewrite(engine, "cut", [source], target, source.last < before, before=before)

    def rename_log(self, old: str, new: str) -> None:
        """Know a log file by a further identity, because its first line is about to change. Raises OSError."""
        with self.lock:
            manifest = self._copy_manifest()
            for files in (manifest.files, self.files):
                if old in files:
                    files[new] = files[old]
            manifest.save(self.folder)
            self.manifest = manifest

    def replace(self, remove: Iterable[SegmentInfo], add: Iterable[SegmentInfo] = ()) -> None:
        """Name the new segments in place of the old ones, whose files stay for a minute. Raises OSError.

        The new files are removed if it fails.
        """
        removed, added = list(remove), list(add)
        try:
            sync_folder(self.segments_folder)
            with self.lock:
                manifest = self._copy_manifest()
                manifest.replace(removed, added)
                manifest.save(self.folder)
                self.manifest = manifest
                until = self._clock() + KEPT_FILES
                self._leaving += [(until, self.segments_folder / segment.file) for segment in removed]
        except BaseException:
            for segment in added:
                self._remove_file(self.segments_folder / segment.file)
            raise

    def set_aside(self, segment: SegmentInfo) -> None:
        """Name a damaged segment no longer: its file is renamed, and its rows are counted as lost."""
        with self.lock:
            if segment not in self.manifest.segments[segment.table]:
                return
            manifest = self._copy_manifest()
            manifest.replace([segment], [])
            for counts in (manifest.lost, self.lost):
                counts["segments"] = counts.get("segments", 0) + 1
                counts["rows"] = counts.get("rows", 0) + segment.rows
            path = self.segments_folder / segment.file
            with suppress(OSError):
                path.replace(path.with_name(path.name + DAMAGED))
            manifest.save(self.folder)
            self.manifest = manifest
        extra = {"event": "observe.damaged", "segment": segment.file, "rows": segment.rows}
        log.error("a segment of the telemetry store is damaged and was set aside", extra=extra)

    def remove_left_files(self) -> None:
        """Remove the files that are named no longer, once no query can be reading them."""
        now = self._clock()
        with self.lock:
            due = [path for until, path in self._leaving if until <= now]
            self._leaving = [one for one in self._leaving if one[0] > now]
        for path in due:
            self._remove_file(path)

    # -- questions ------------------------------------------------------------------------------------------------

    def snapshot(self, table: str) -> Snapshot:
        """The segments of a table, and the rows that are in none of them."""
        with self.lock:
            rows = self._recent[table].copy_unsealed()
            segments = self.manifest.segments[table]
        return Snapshot([self._stored(segment) for segment in segments], rows)

    def newest(self, table: str) -> PackedRows:
        """The newest rows of a table, in the order in which they came; a few of them are in a segment, too."""
        with self.lock:
            return self._recent[table].copy_all()

    def describe(self) -> dict[str, Any]:
        """What is kept: each table's rows, bytes, first and last time, and segments; and what was lost."""
        with self.lock:
            tables = {name: self._describe_table(name) for name in TABLES}
            lost = dict(self.lost)
        return {
            "tables": tables,
            "torn_lines": lost.get("torn_lines", 0),
            "lost": lost.get("lines", 0) + lost.get("rows", 0),
            "damaged_segments": lost.get("segments", 0),
        }

    def _describe_table(self, name: str) -> dict[str, Any]:
        segments, rows = self.manifest.segments[name], self._recent[name].copy_unsealed()
        ends = [row[TS] for row in (next(iter(rows), None), next(reversed(rows), None)) if row is not None]
        ends += [end for segment in segments for end in (segment.first, segment.last)]
        return {
            "rows": sum(segment.rows for segment in segments) + len(rows),
            "bytes": sum(segment.bytes for segment in segments),
            "first": min(ends, default=None),
            "last": max(ends, default=None),
            "segments": len(segments),
        }

    # -- inside ---------------------------------------------------------------------------------------------------

    def _stored(self, segment: SegmentInfo) -> StoredSegment:
        path = self.segments_folder / segment.file
        return StoredSegment(path, segment.first, segment.last, segment.rows, segment)

    def _write(self, engine: Engine, table: str, rows: PackedRows) -> SegmentInfo:
        first = min(row[TS] for row in rows)
        target = self._new_path(table, first, (rows.begin() or (0, 0))[1])
        return _one_segment(engine.run("seal", {"table": table, "target": str(target)}, {table: rows}))

    def _rewrite(
        self, engine: Engine, task: str, sources: list[SegmentInfo], target: Path, is_cut: bool = False, **args: Any
    ) -> SegmentInfo:
        """Have a task of the engine write ``target`` out of segments, and let it replace them."""
        paths = [str(self.segments_folder / source.file) for source in sources]
        task_args = {"table": sources[0].table, "sources": paths, "target": str(target), **args}
        written = _one_segment(engine.run(task, task_args))._replace(is_cut=is_cut)
        self.replace(sources, [written])
        return written

    def _new_path(self, table: str, first: int, seq: int, resolution: int | None = None) -> Path:
        """A path that no file has."""
        while True:
            path = self.segments_folder / segment_name(table, first, seq, resolution)
            if not path.exists():
                return path
            seq += 1

    def _commit(self, files: dict[str, FileState], lost: dict[str, int], seq: int, written: list[SegmentInfo]) -> None:
        manifest = self._copy_manifest()
        manifest.files, manifest.lost = files, lost
        manifest.next_seq, manifest.samples_seq = seq, seq - 1
        manifest.replace([], written)
        manifest.save(self.folder)
        self.manifest = manifest

    def _copy_manifest(self) -> Manifest:
        now = self.manifest
        segments = {table: list(segments) for table, segments in now.segments.items()}
        return Manifest(now.next_seq, now.samples_seq, dict(now.files), segments, dict(now.lost))

    def _reserve_numbers(self) -> int:
        """The first number of this start. The rows of an earlier one that no segment holds had others.

        So what a child of a killed process still writes has another name than what this one writes.
        """
        with suppress(OSError):
            self.manifest.next_seq += _SEQ_OF_A_START
            self.manifest.save(self.folder)
        return self.manifest.next_seq

    def _clean(self) -> None:
        """Remove what a crash has left, and set aside the segments that are not whole."""
        named = {segment.file for segment in self.manifest.all_segments()}
        for path in self.segments_folder.iterdir():
            if path.name not in named and not path.name.endswith(DAMAGED):
                self._remove_file(path)
        for segment in list(self.manifest.all_segments()):
            if not looks_whole(self.segments_folder, segment):
                self.set_aside(segment)

    def _take_back_samples(self) -> None:
        rows = [row for row in self._journal.read() if row[SEQ] > self.manifest.samples_seq]
        with suppress(OSError):
            self._journal.drop_to(self.manifest.samples_seq, rows)
        if rows:
            self.take("samples", rows)

    @staticmethod
    def _remove_file(path: Path) -> None:
        with suppress(OSError):
            path.unlink()


def _one_segment(answers: Iterable[dict[str, Any]]) -> SegmentInfo:
    for answer in answers:
        segment = SegmentInfo(*answer["segment"])
    return segment
