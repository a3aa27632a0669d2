"""Detect a film that was cut short: a file whose copy or recording broke off before its end.

The picture track is judged, from its own first to its own last packet: subtitles and unused sound may end later, and
the clock of a file need not begin at 0. Its length is compared with what the file states about that track. Where the
file states nothing, the bytes that are missing count, or else the length of the whole file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from church.services.videos.errors import ImportFailedError

if TYPE_CHECKING:
    from church.services.videos.importing.packets import TrackExtent

# What ffmpeg writes about an MP4 without its index, which is mostly at the end, and about other unfinished files.
_COMPLAINTS = ("moov atom not found", "partial file", "File ended prematurely")
# Share of the stated length that must be there: tracks need not end together, so a little may be missing.
_MIN_SHARE = 0.9


class CutShortError(ImportFailedError):
    """The file ends before the end of its film."""

    def __init__(self, detail: str = "a part of it is missing") -> None:
        cause = "It was not copied completely, or the recording broke off. Add the complete file."
        super().__init__(f"The file was cut short: {detail}. {cause}")


@dataclass(frozen=True)
class SourceFile:
    """What a file states about itself, and what is in it."""

    format_name: str
    """ffprobe's, such as ``matroska,webm``."""
    length: float | None
    """Seconds, of the whole file: its longest track, or its last timestamp."""
    missing_share: float | None
    """Share of its bytes that are missing; None if the file does not say."""
    extents: Mapping[int, TrackExtent] | None
    """By track; None if the packets were not read."""

    @property
    def has_lost_bytes(self) -> bool:
        """Whether more than a little of the file is missing."""
        return (self.missing_share or 0) > 1 - _MIN_SHARE


def complains_of_cut(error_output: str) -> bool:
    """Whether the error output of ffmpeg or ffprobe says that the file ends too early."""
    return any(complaint in error_output for complaint in _COMPLAINTS)


def states_length(format_name: str) -> bool:
    """Whether files of a format state their length, so that it can be compared with their packets."""
    return format_name.startswith(("mov,", "matroska,", "flv"))


def check_source(source: SourceFile, picture: Mapping[str, Any], sound: Mapping[str, Any] | None) -> None:
    """Raise CutShortError if the picture track breaks off, or if bytes are missing and with them much of the sound."""
    stated = _check_track(source, picture)
    if not stated and source.has_lost_bytes:
        raise CutShortError(f"{source.missing_share:.0%} of its bytes are missing")
    if not stated and source.missing_share is None and states_length(source.format_name):
        _check_whole_file(source)
    if sound is not None and source.missing_share:
        _check_track(source, sound)


def check_encoded(there: TrackExtent | None, encoded: float) -> None:
    """Compare the encoded picture with the packets of its source: some of them may be no pictures at all."""
    if there is not None and there.first is not None:
        _compare(there.last - there.first, encoded)


def _check_whole_file(source: SourceFile) -> None:
    """Compare the packets of all tracks with the length of the file, which may be that of any of them."""
    timed = [extent for extent in (source.extents or {}).values() if extent.first is not None]
    if source.length is not None and timed:
        begin = min(extent.first or 0.0 for extent in timed)
        _compare(_subtract_start(source.length, begin), max(extent.end for extent in timed) - begin)


def _check_track(source: SourceFile, track: Mapping[str, Any]) -> bool:
    """Compare the packets of a track with the length that the file states for it. Return whether it states one."""
    extent = (source.extents or {}).get(int(track["index"]))
    start = extent.first if extent is not None and extent.first is not None else 0.0
    stated = _read_stated_length(source, track, start)
    if stated is None:
        return False
    _compare(stated, (extent.length if extent is not None else None) or 0.0)
    return True


def _read_stated_length(source: SourceFile, track: Mapping[str, Any], start: float) -> float | None:
    """Return the seconds that the file states for a track; ``start`` is where it begins.

    An MP4 lists every sample. Matroska has tags: ffmpeg's tag holds the end of the track, mkvmerge's its length.
    A tag may have been copied from a longer film, but no track is longer than the whole file.
    """
    if source.format_name.startswith("mov,"):
        return _seconds(track.get("duration"))
    if not source.format_name.startswith("matroska,"):
        return None
    tags = {str(name).upper(): value for name, value in track.get("tags", {}).items()}
    names = sorted(name for name in tags if name == "DURATION" or name.startswith("DURATION-"))
    found = [seconds for name in names if (seconds := _clock_seconds(str(tags[name]))) is not None]
    if not found:
        return None
    return _subtract_start(min(found[0], source.length or found[0]), start)


def _subtract_start(stated: float, start: float) -> float:
    """Return the length of what ends at ``stated``. If that is not after its start, it was a length already."""
    return stated - start if stated > start else stated


def _compare(stated: float, there: float) -> None:
    if there < stated * _MIN_SHARE:
        raise CutShortError(f"of its {stated:.0f} seconds only {there:.0f} are there")


def _clock_seconds(text: str) -> float | None:
    """Return 00:00:06.023000000 in seconds."""
    parts = [_seconds(part) for part in text.split(":")]
    if len(parts) != 3 or None in parts:
        return None
    return sum(part * weight for part, weight in zip(parts, (3600, 60, 1), strict=True) if part is not None)


def _seconds(value: object) -> float | None:
    try:
        return float(str(value))
    except ValueError:
        return None
