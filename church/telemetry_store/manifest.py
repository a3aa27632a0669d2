"""The manifest: how far each log file is kept in segments, and which segments there are; replaced as a whole.

It is written when segments are whole and on the disk. So after a crash at any moment, what it does not name was never
kept, and is read again from the logs.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from church.telemetry_store.segments import DAMAGED, SegmentInfo
from church.telemetry_store.tables import TABLES

log = logging.getLogger("church.observe")

NAME = "manifest.json"
BEFORE = "manifest.before.json"
_VERSION = 1


class FileState(NamedTuple):
    """How far a log file was read. ``seen``: seconds since 1970 when it was there; ``whole``: the mark of a compressed
    file that was read to its end."""

    name: str
    offset: int
    seen: float
    whole: str = ""


@dataclass
class Manifest:
    """What is kept. ``files``: the state of each log file by its identity; ``lost``: counts of what could not be."""

    next_seq: int = 1
    samples_seq: int = 0
    """The last row of samples in a segment: what its journal has up to here is kept."""
    files: dict[str, FileState] = field(default_factory=dict)
    segments: dict[str, list[SegmentInfo]] = field(default_factory=lambda: {name: [] for name in TABLES})
    lost: dict[str, int] = field(default_factory=dict)

    def all_segments(self) -> Iterator[SegmentInfo]:
        """The segments of all tables."""
        for segments in self.segments.values():
            yield from segments

    def replace(self, remove: Iterable[SegmentInfo], add: Iterable[SegmentInfo]) -> None:
        """Name the segments ``add``, and those of ``remove`` no longer. Each table's stay sorted by time."""
        gone = {segment.file for segment in remove}
        added = list(add)
        for table, segments in self.segments.items():
            kept = [segment for segment in segments if segment.file not in gone]
            kept += [segment for segment in added if segment.table == table]
            self.segments[table] = sorted(kept, key=lambda segment: (segment.first, segment.first_seq))

    def count_lost(self, what: str, count: int = 1) -> None:
        """Count what could not be kept."""
        self.lost[what] = self.lost.get(what, 0) + count

    def save(self, folder: Path) -> None:
        """Replace the file in ``folder``; on the disk when this returns. Raises OSError, and the old file stays."""
        unfinished = folder / f"{NAME}.new"
        try:
            with unfinished.open("w", encoding="utf-8") as file:
                json.dump(self._to_json(), file, separators=(",", ":"))
                file.flush()
                os.fsync(file.fileno())
            _keep_before(folder)
            unfinished.replace(folder / NAME)
        except OSError:
            with suppress(OSError):
                unfinished.unlink()
            raise
        with suppress(OSError):  # the file is replaced: what a crash of the machine finds is one or the other
            sync_folder(folder)

    def _to_json(self) -> dict[str, Any]:
        return {
            "version": _VERSION,
            "next_seq": self.next_seq,
            "samples_seq": self.samples_seq,
            "files": self.files,
            "segments": self.segments,
            "lost": self.lost,
        }


def load_manifest(folder: Path) -> Manifest:
    """Read the manifest of ``folder``; an empty one at the first start.

    A damaged one is set aside, and the one before it is read: what came after it is read again from the logs.
    """
    for name in (NAME, BEFORE):
        path = folder / name
        try:
            return _parse(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            continue
        except (ValueError, TypeError, KeyError, AttributeError):
            path.replace(path.with_name(name + DAMAGED))
            log.exception("a manifest of the telemetry store is damaged", extra={"event": "observe.damaged"})
    return Manifest()


def sync_folder(folder: Path) -> None:
    """Have the names of the files in ``folder`` on the disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _keep_before(folder: Path) -> None:
    """Give the manifest that is replaced a second name, where the file system can."""
    with suppress(OSError):
        (folder / BEFORE).unlink(missing_ok=True)
        os.link(folder / NAME, folder / BEFORE)


def _parse(fields: dict[str, Any]) -> Manifest:
    manifest = Manifest(int(fields["next_seq"]), int(fields["samples_seq"]))
    manifest.files = {identity: FileState(*state) for identity, state in fields["files"].items()}
    for table, segments in fields["segments"].items():
        manifest.segments[table] = [SegmentInfo(*segment) for segment in segments]
    manifest.lost = {str(what): int(count) for what, count in fields["lost"].items()}
    return manifest
