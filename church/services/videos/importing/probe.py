"""Is it a video? Asked of ffprobe, and answered with what an import has to know of it."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from church.services.videos.errors import NotVideoError
from church.services.videos.importing.ffmpeg import CutShortError, ToolError, read_from, run

LONGEST = 12 * 3600
_SIDE = range(16, 8193)
_MOST_PIXELS = 40_000_000
_SECONDS = 60.0
_ENTRIES = (
    "format=duration,format_name:stream=index,codec_type,codec_name,width,height,sample_aspect_ratio,color_transfer"
    ":stream_disposition=attached_pic:stream_side_data=rotation"
)
# Their durations are read from an index; those of the rest are guessed from the bit rate, and may be wrong.
_INDEXED = ("mov,", "matroska,")
_HDR = frozenset({"smpte2084", "arib-std-b67"})  # ITU-R BT.2100: PQ and HLG
_NO_VIDEO = "This video cannot be read. Use MP4, MOV, MKV, WebM, AVI or MPEG."


@dataclass(frozen=True)
class Probed:
    """A video as it is to be seen: upright, with square pixels."""

    stream: int
    """The number of its picture track in the file."""
    width: int
    height: int
    duration_ms: int | None
    """None where the file does not say, such as one that a browser recorded."""
    hdr: str | None = None
    """How its light is coded (ffmpeg's name), where that is for screens of high dynamic range alone."""
    indexed: bool = False
    """Whether ``duration_ms`` is what the file holds when it is whole."""


def probe(file: Path) -> Probed:
    """What ``file`` is. Raises NotVideoError."""
    command = ["ffprobe", "-v", "error", "-show_entries", _ENTRIES, "-of", "json", *read_from(file)]
    try:
        found = json.loads(run(command, _SECONDS))
    except CutShortError as error:
        raise NotVideoError(str(error)) from None
    except (ToolError, ValueError):
        raise NotVideoError(_NO_VIDEO) from None
    pictures = [stream for stream in found.get("streams", ()) if _is_picture(stream)]
    if not pictures:
        raise NotVideoError("This file has no video track, or only a cover image.")
    whole = found.get("format", {})
    indexed = str(whole.get("format_name", "")).startswith(_INDEXED)
    upright = _upright(pictures[0], _milliseconds(whole.get("duration")))
    return checked(replace(upright, indexed=indexed))


def checked(found: Probed) -> Probed:
    """``found``, if the site takes videos so large and so long. Raises NotVideoError."""
    width, height = found.width, found.height
    if width not in _SIDE or height not in _SIDE or width * height > _MOST_PIXELS:
        raise NotVideoError(f"It is {width} by {height} pixels. Each side must have {_SIDE[0]} to {_SIDE[-1]}.")
    if found.duration_ms is not None and found.duration_ms > LONGEST * 1000:
        raise NotVideoError(f"The video is longer than {LONGEST // 3600} hours.")
    if found.duration_ms == 0:
        raise NotVideoError("This is a picture, not a video: it has no duration.")
    return found


def _is_picture(stream: dict[str, Any]) -> bool:
    return stream.get("codec_type") == "video" and not stream.get("disposition", {}).get("attached_pic")


def _upright(stream: dict[str, Any], duration_ms: int | None) -> Probed:
    width, height = int(stream.get("width") or 0), int(stream.get("height") or 0)
    across, _, down = str(stream.get("sample_aspect_ratio") or "").partition(":")
    if across.isdigit() and down.isdigit() and int(across) and int(down):
        width = round(width * int(across) / int(down))
    turned = [side["rotation"] for side in stream.get("side_data_list", ()) if "rotation" in side]
    if turned and round(float(turned[0])) % 180 == 90:
        width, height = height, width
    light = str(stream.get("color_transfer"))
    return Probed(int(stream["index"]), width, height, duration_ms, hdr=light if light in _HDR else None)


def _milliseconds(seconds: object) -> int | None:
    try:
        return round(float(str(seconds)) * 1000)
    except (ValueError, OverflowError):
        return None
