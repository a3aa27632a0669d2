"""Check with ffprobe that a file is a video the site accepts, choose its tracks, and return its size, length, colours.

A film that was cut short is refused here, before hours are spent on encoding.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from church.services.videos.errors import NotVideoError
from church.services.videos.importing import tracks
from church.services.videos.importing.detect_cut_short import CutShortError, SourceFile, check_source, states_length
from church.services.videos.importing.ffmpeg import (
    MAX_PIXELS,
    ToolError,
    TooManyPixelsError,
    input_options,
    run_tool,
)
from church.services.videos.importing.missing_bytes import find_missing_share
from church.services.videos.importing.packets import TrackExtent, read_extents

MAX_SECONDS = 12 * 3600
_SIDE = range(16, 8193)
_TIMEOUT = 60.0
_ENTRIES = (
    "format=start_time,duration,format_name:program=program_id:program_stream=index"
    ":stream=index,codec_type,codec_name,codec_tag_string,width,height,sample_aspect_ratio,pix_fmt,field_order"
    ",color_transfer,color_primaries,color_space,channels,sample_rate,start_time,duration:stream_disposition:stream_tags"
    ":stream_side_data=rotation"
)
_HDR = frozenset({"smpte2084", "arib-std-b67"})  # ITU-R BT.2100: PQ and HLG
# Those that zimg converts from. HDR that names none of them has those of BT.2020, as BT.2100 demands.
_MATRICES = frozenset({"bt709", "bt470bg", "smpte170m", "bt2020nc", "ictcp"})
_PRIMARIES = frozenset({"bt709", "bt470bg", "smpte170m", "bt2020", "smpte431", "smpte432"})
_RGB = ("gbr", "rgb", "bgr", "argb", "abgr", "0rgb", "0bgr", "x2rgb", "x2bgr")
# Their frames say themselves whether they are interlaced, also where the track does: film on DVD is not.
_TELECINED = frozenset({"mpeg1video", "mpeg2video", "vc1", "wmv3"})
_SAMPLE = 6  # frames, at each of two places
_MIN_SHIFT = 0.1  # seconds
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
    sound: int | None = None
    """Index of the audio track in the file."""
    hdr: str | None = None
    """Transfer function of a high dynamic range video (ffmpeg's name); None for others."""
    matrix: str = ""
    primaries: str = ""
    """Colours of a high dynamic range video (ffmpeg's names)."""
    interlaced: str | None = None
    """``frames`` if frames are flagged as interlaced, ``tff`` or ``bff`` if only the track is; None for others."""
    shift: float = 0.0
    """Seconds by which its tracks begin later than tracks that are not used."""
    extent: TrackExtent | None = None
    """Of the picture, where the packets were read and their times do not jump."""


@dataclass(frozen=True)
class RenditionLength:
    """The length of an encoded file, and when its picture begins and ends."""

    duration_ms: int
    picture_start_ms: int
    picture_end_ms: int


def probe_file(file: Path) -> VideoFacts:
    """Probe ``file``. Raises NotVideoError if it is not a video that the site accepts, or was cut short."""
    try:
        return check_facts(_probe(file, _read_report(file)))
    except (CutShortError, TooManyPixelsError) as error:
        raise NotVideoError(str(error)) from None
    except (ToolError, ValueError):
        raise NotVideoError(_UNREADABLE) from None


def measure_rendition(file: Path) -> RenditionLength:
    """Measure an encoded file. Raises ToolError."""
    report = _read_report(file)
    picture = next(one for one in report["streams"] if one.get("codec_type") == "video")
    duration = round((_number(report["format"].get("duration")) or 0.0) * 1000)
    start = max(0, round((_number(picture.get("start_time")) or 0.0) * 1000))
    length = round((_number(picture.get("duration")) or 0.0) * 1000)
    return RenditionLength(duration, start, start + length)


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


def _read_report(file: Path) -> dict[str, Any]:
    command = ["ffprobe", "-v", "error", "-show_entries", _ENTRIES, "-of", "json", *input_options(file)]
    report: dict[str, Any] = json.loads(run_tool(command, _TIMEOUT))
    return report


def _probe(file: Path, report: Mapping[str, Any]) -> VideoFacts:
    streams, container = report.get("streams", []), report.get("format", {})
    name = str(container.get("format_name", ""))
    decodable = tracks.list_decodable_codecs()
    pictures = tracks.find_pictures(streams, decodable)
    extents = read_extents(file) if states_length(name) or tracks.may_be_still(pictures) else None
    picture = tracks.choose_picture(pictures, extents) if extents is not None else pictures[0]
    length, missing = _number(container.get("duration")), find_missing_share(file, name)
    counted = None if missing else extents  # sound without packets may be what is missing
    sound = tracks.choose_sound(streams, _find_companions(report, picture), decodable, counted)
    check_source(SourceFile(name, length, missing, extents), picture, sound)
    used = [one for one in (picture, sound) if one is not None]
    width, height = _read_displayed_size(picture)
    hdr, matrix, primaries = _read_hdr(picture)
    return VideoFacts(
        int(picture["index"]), width, height, _measure_film(used, extents, length),
        sound=int(sound["index"]) if sound is not None else None,
        hdr=hdr, matrix=matrix, primaries=primaries, interlaced=_find_interlacing(file, picture, length),
        shift=_find_shift(container, used),
        extent=extents.get(int(picture["index"])) if extents is not None and states_length(name) else None,
    )  # fmt: skip


def _find_companions(report: Mapping[str, Any], picture: Mapping[str, Any]) -> frozenset[int]:
    """Return the tracks of the TV programme of the picture; all tracks if the file has no programmes."""
    programs = [{int(one["index"]) for one in program.get("streams", ())} for program in report.get("programs", ())]
    everything = {int(one["index"]) for one in report["streams"]}
    return frozenset(next((program for program in programs if int(picture["index"]) in program), everything))


def _measure_film(
    used: list[Mapping[str, Any]], extents: Mapping[int, TrackExtent] | None, length: float | None
) -> int | None:
    """Return the milliseconds from the first to the last packet of the tracks in use; else what the file states."""
    found = [extent for one in used if (extent := (extents or {}).get(int(one["index"]))) and extent.first is not None]
    if found:
        length = max(extent.end for extent in found) - min(extent.first or 0.0 for extent in found)
    return None if length is None else round(length * 1000)


def _find_shift(container: Mapping[str, Any], used: list[Mapping[str, Any]]) -> float:
    """Return how many seconds the tracks in use begin after the first track of the file."""
    starts = [start for one in used if (start := _number(one.get("start_time"))) is not None]
    begin = _number(container.get("start_time"))
    late = min(starts) - begin if starts and begin is not None else 0.0
    return late if late >= _MIN_SHIFT else 0.0


def _read_displayed_size(stream: Mapping[str, Any]) -> tuple[int, int]:
    """Apply pixel aspect ratio and rotation to the size of a video track."""
    width, height = int(stream.get("width") or 0), int(stream.get("height") or 0)
    across, _, down = str(stream.get("sample_aspect_ratio") or "").partition(":")
    if across.isdigit() and down.isdigit() and int(across) and int(down):
        width = round(width * int(across) / int(down))
    rotations = [side["rotation"] for side in stream.get("side_data_list", ()) if "rotation" in side]
    if rotations and round(float(rotations[0])) % 180 == 90:
        width, height = height, width
    return width, height


def _read_hdr(stream: Mapping[str, Any]) -> tuple[str | None, str, str]:
    """Return transfer, matrix and primaries of a high dynamic range track. What it does not name is as in BT.2020."""
    transfer = str(stream.get("color_transfer"))
    if transfer not in _HDR:
        return None, "", ""
    matrix, primaries = str(stream.get("color_space")), str(stream.get("color_primaries"))
    if str(stream.get("pix_fmt")).startswith(_RGB):
        matrix = "gbr"
    elif matrix not in _MATRICES:
        matrix = "bt2020nc"
    return transfer, matrix, primaries if primaries in _PRIMARIES else "bt2020"


def _find_interlacing(file: Path, picture: Mapping[str, Any], length: float | None) -> str | None:
    """Return whether a film is interlaced: by the flags of some of its frames, or by its track alone."""
    if _has_interlaced_frames(file, picture, length):
        return "frames"
    order = str(picture.get("field_order"))
    if order not in {"tt", "tb", "bb", "bt"} or picture["codec_name"] in _TELECINED:
        return None
    return "tff" if order.startswith("t") else "bff"


def _has_interlaced_frames(file: Path, picture: Mapping[str, Any], length: float | None) -> bool:
    """Decode a few frames at the beginning and in the middle, and return whether any is flagged as interlaced."""
    middle = (_number(picture.get("start_time")) or 0.0) + (length or 0.0) / 2
    begin = f"%+#{_SAMPLE}"
    command = ["ffprobe", "-v", "error", "-select_streams", str(picture["index"]), "-of", "csv=p=0"]
    entries = ["-show_entries", "frame=interlaced_frame"]
    for places in (f"{begin},{middle:.3f}{begin}", begin):
        with suppress(ToolError, CutShortError):  # a file in which one cannot seek is read at its beginning only
            lines = run_tool([*command, *entries, "-read_intervals", places, *input_options(file)], _TIMEOUT)
            return any(line.startswith("1") for line in lines.splitlines())
    return False


def _number(value: object) -> float | None:
    try:
        return float(str(value))
    except (ValueError, OverflowError):
        return None
