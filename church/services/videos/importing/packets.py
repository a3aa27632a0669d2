"""Read the times of all packets of a file with ffprobe, without decoding them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from church.services.videos.importing.ffmpeg import input_options, run_tool

_ENTRIES = "packet=stream_index,pts_time,dts_time,duration_time,flags"
_TIMEOUT = 600.0
_BYTES_PER_SECOND = 2_000_000  # that even a slow disk reads


@dataclass
class TrackExtent:
    """From the first to the last packet of a track, in seconds on the clock of the file."""

    packets: int = 0
    first: float | None = None
    """When its first packet begins; None if none of its packets has a time."""
    last: float = 0.0
    """When its last packet begins."""
    end: float = 0.0
    """When its last packet ends."""

    @property
    def length(self) -> float | None:
        """Seconds from the beginning of the first packet to the end of the last one."""
        return None if self.first is None else self.end - self.first

    def add_packet(self, start: float | None, duration: float) -> None:
        """Count a packet, also one without a time."""
        self.packets += 1
        if start is None:
            return
        self.first = start if self.first is None else min(self.first, start)
        self.last, self.end = max(self.last, start), max(self.end, start + duration)


def read_extents(file: Path) -> dict[int, TrackExtent]:
    """Read the extents of all tracks with packets, by the index of the track. Raises ToolError, CutShortError.

    Packets that an edit list cuts off are left out.
    """
    extents: dict[int, TrackExtent] = defaultdict(TrackExtent)

    def read_packet(line: str) -> None:
        fields = line.split(",")
        if len(fields) < 5 or not fields[0].isdigit() or "D" in fields[4]:
            return
        start = _seconds(fields[1])
        extents[int(fields[0])].add_packet(_seconds(fields[2]) if start is None else start, _seconds(fields[3]) or 0.0)

    command = ["ffprobe", "-v", "error", "-show_entries", _ENTRIES, "-of", "csv=p=0", *input_options(file)]
    run_tool(command, _TIMEOUT + file.stat().st_size / _BYTES_PER_SECOND, read_packet)
    return dict(extents)


def _seconds(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:  # N/A
        return None
