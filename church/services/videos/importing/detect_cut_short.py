"""Detect a film that was cut short: a file whose copy or recording broke off before its end.

Two signs: ffmpeg complains about the file, or the encoded video is much shorter than the source's index promises.
"""

from __future__ import annotations

from church.services.videos.errors import ImportFailedError

# What ffmpeg writes about an MP4 without its index, which is mostly at the end, and about other unfinished files.
_COMPLAINTS = ("moov atom not found", "partial file", "File ended prematurely")
# Share of the promised duration that must be there: tracks need not end together, so a little may be missing.
_MIN_SHARE = 0.9


class CutShortError(ImportFailedError):
    """The file ends before the end of its film."""

    def __init__(self, detail: str = "a part of it is missing") -> None:
        cause = "It was not copied completely, or the recording broke off. Add the complete file."
        super().__init__(f"The file was cut short: {detail}. {cause}")


def complains_of_cut(error_output: str) -> bool:
    """Whether the error output of ffmpeg or ffprobe says that the file ends too early."""
    return any(complaint in error_output for complaint in _COMPLAINTS)


def check_duration(promised_ms: int | None, encoded_ms: int) -> None:
    """Compare the encoded video with the duration that its source promises; None if the source has no index.

    Raises CutShortError if less than 90 % is there.
    """
    if promised_ms is not None and encoded_ms < promised_ms * _MIN_SHARE:
        raise CutShortError(f"of its {promised_ms / 1000:.0f} seconds only {encoded_ms / 1000:.0f} are there")
