"""Check with ffprobe that a file is a video the site accepts, and return its size, duration and colours."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from church.services.videos.errors import NotVideoError
from church.services.videos.importing.detect_cut_short import CutShortError
from church.services.videos.importing.ffmpeg import (
    MAX_PIXELS,
    ToolError,
    TooManyPixelsError,
    input_options,
    run_tool,
)

MAX_SECONDS = 12 * 3600
_SIDE = range(16, 8193)
_TIMEOUT = 60.0
_ENTRIES = (
    "format=duration,format_name:stream=index,codec_type,codec_name,width,height,sample_aspect_ratio,color_transfer"
    ":stream_disposition=attached_pic:stream_side_data=rotation"
)
# These formats have an index with the duration; other durations are estimated from the bit rate and may be wrong.
_INDEXED = ("mov,", "matroska,")
_HDR = frozenset({"smpte2084", "arib-std-b67"})  # ITU-R BT.2100: PQ and HLG
_UNREADABLE = "This video cannot be read. Use MP4, MOV, MKV, WebM, AVI or MPEG."


@dataclass(frozen=True)
class VideoFacts:
    """Facts of a video as it is displayed: rotated upright, with square pixels."""

    stream: int
    """Index of the video track in the file."""
    width: int
    height: int
    duration_ms: int | None
    """None if the file has no duration, such as a recording from a browser."""
    hdr: str | None = None
    """Transfer function of a high dynamic range video (ffmpeg's name); None for others."""
    indexed: bool = False
    """Whether ``duration_ms`` is exact for a complete file."""


def probe_file(file: Path) -> VideoFacts:
    """Probe ``file``. Raises NotVideoError if it is not a video that the site accepts."""
    command = ["ffprobe", "-v", "error", "-show_entries", _ENTRIES, "-of", "json", *input_options(file)]
    try:
        report = json.loads(run_tool(command, _TIMEOUT))
    except (CutShortError, TooManyPixelsError) as error:
        raise NotVideoError(str(error)) from None
    except (ToolError, ValueError):
        raise NotVideoError(_UNREADABLE) from None
    tracks = [stream for stream in report.get("streams", ()) if _is_video_track(stream)]
    if not tracks:
        raise NotVideoError("This file has no video track, or only a cover image.")
    container = report.get("format", {})
    indexed = str(container.get("format_name", "")).startswith(_INDEXED)
    video = _as_displayed(tracks[0], _milliseconds(container.get("duration")))
    return check_facts(replace(video, indexed=indexed))


def check_facts(probed: VideoFacts) -> VideoFacts:
    """Return ``probed`` if the site accepts its size and duration. Raises NotVideoError."""
    width, height = probed.width, probed.height
    if width not in _SIDE or height not in _SIDE:
        raise NotVideoError(f"It is {width} by {height} pixels. Each side must have {_SIDE[0]} to {_SIDE[-1]}.")
    if width * height > MAX_PIXELS:
        million = f"{width * height / 1e6:.1f} million"
        raise NotVideoError(f"It is {width} by {height} pixels: {million}. At most {MAX_PIXELS // 1_000_000} million.")
    if probed.duration_ms is not None and probed.duration_ms > MAX_SECONDS * 1000:
        raise NotVideoError(f"The video is longer than {MAX_SECONDS // 3600} hours.")
    if probed.duration_ms == 0:
        raise NotVideoError("This is a picture, not a video: it has no duration.")
    return probed


def _is_video_track(stream: dict[str, Any]) -> bool:
    return stream.get("codec_type") == "video" and not stream.get("disposition", {}).get("attached_pic")


def _as_displayed(stream: dict[str, Any], duration_ms: int | None) -> VideoFacts:
    """Apply pixel aspect ratio and rotation to the size of a video track."""
    width, height = int(stream.get("width") or 0), int(stream.get("height") or 0)
    across, _, down = str(stream.get("sample_aspect_ratio") or "").partition(":")
    if across.isdigit() and down.isdigit() and int(across) and int(down):
        width = round(width * int(across) / int(down))
    rotations = [side["rotation"] for side in stream.get("side_data_list", ()) if "rotation" in side]
    if rotations and round(float(rotations[0])) % 180 == 90:
        width, height = height, width
    transfer = str(stream.get("color_transfer"))
    return VideoFacts(int(stream["index"]), width, height, duration_ms, hdr=transfer if transfer in _HDR else None)


def _milliseconds(seconds: object) -> int | None:
    try:
        return round(float(str(seconds)) * 1000)
    except (ValueError, OverflowError):
        return None
