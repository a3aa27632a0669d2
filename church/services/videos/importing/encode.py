"""What browsers play, made of what came: MP4 files of H.264 and AAC that start before they are loaded, and pictures."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from church.services.videos.importing.ffmpeg import Heed, read_from, run
from church.services.videos.importing.probe import LONGEST, Probed
from church.services.videos.storage.local import POSTER, SPRITE, THUMBS

Tell = Callable[[float], None]

_SIZES = (1080, 720)
# Bits a second at most, by the shorter side from which on; what a picture really needs is often far less (crf).
_RATES = ((1080, 6_000_000), (720, 3_000_000), (480, 1_500_000), (0, 800_000))
_KEY_SECONDS = 2
_THREADS = min(4, os.cpu_count() or 1)
_FIRST = ["ffmpeg", "-hide_banner", "-loglevel", "error", "-nostdin", "-y"]
_PICTURE_SECONDS = 600.0
_POSTER_WIDTH = 1280
_THUMB_SIDE = 160
_COLUMNS, _MOST_THUMBS = 10, 100


@dataclass(frozen=True)
class Target:
    """One rendition that is to be made."""

    quality: str
    width: int
    height: int


def plan(width: int, height: int) -> list[Target]:
    """1080p and 720p where the source has them, else its own size; never larger than it is. The best first."""
    short = min(width, height)
    sizes = [size for size in _SIZES if short >= size] or [_even(short)]
    return [Target(f"{size}p", _even(width * size / short), _even(height * size / short)) for size in sizes]


def render(source: Path, found: Probed, target: Target, output: Path, tell: Tell) -> None:
    """Make one rendition; ``tell`` is told how much of it is done, from 0 to 1. Raises ToolError, what it raises."""
    length = (found.duration_ms or 0) / 1000
    command = [
        *_FIRST, *read_from(source),
        "-map", f"0:{found.stream}", "-map", "0:a:0?", "-sn", "-dn", "-map_metadata", "-1", "-map_chapters", "-1",
        "-t", str(LONGEST), "-fpsmax", "60", "-vf", _picture(found, target),
        *_h264(min(target.width, target.height)),
        "-c:a", "aac", "-b:a", "128k", "-ac", "2", "-ar", "48000",
        "-movflags", "+faststart", "-f", "mp4", "-progress", "pipe:1", "-nostats", str(output),
    ]  # fmt: skip
    run(command, 600 + 60 * (length or LONGEST), _heed_progress(length, tell))


def poster(rendition: Path, duration_ms: int, folder: Path) -> None:
    """A still from the beginning, past a black first frame. Raises ToolError."""
    at = min(10.0, duration_ms / 10_000)
    command = [*_FIRST, "-ss", f"{at:.3f}", *read_from(rendition), "-frames:v", "1", "-vf"]
    scale = f"thumbnail=24,scale='min({_POSTER_WIDTH},iw)':-2"
    run([*command, scale, "-q:v", "4", "-f", "mjpeg", str(folder / POSTER)], _PICTURE_SECONDS)


def thumbs(rendition: Path, target: Target, duration_ms: int, folder: Path) -> None:
    """Small pictures for seeking, in one sheet, and the WebVTT that says which part of it is when. Raises ToolError."""
    step = _KEY_SECONDS * max(1, math.ceil(duration_ms / 1000 / _MOST_THUMBS / _KEY_SECONDS))
    count = max(1, math.ceil(duration_ms / 1000 / step))
    scale = _THUMB_SIDE / max(target.width, target.height)
    width, height = _even(target.width * scale), _even(target.height * scale)
    # The first key frame of each step; a rendition has one where each begins.
    passed = f"floor((t+0.1)/{step})", f"floor((prev_selected_t+0.1)/{step})"
    chosen = f"select='isnan(prev_selected_t)+gt({passed[0]},{passed[1]})'"
    sheet = f"{chosen},scale={width}:{height},tile={_COLUMNS}x{math.ceil(count / _COLUMNS)}"
    command = [*_FIRST, "-skip_frame", "nokey", *read_from(rendition), "-an", "-vf", sheet, "-frames:v", "1"]
    run([*command, "-q:v", "6", "-f", "mjpeg", str(folder / SPRITE)], _PICTURE_SECONDS)
    (folder / THUMBS).write_text(_cues(count, step, duration_ms, width, height), encoding="utf-8")


def _picture(found: Probed, target: Target) -> str:
    """The filters of a rendition: to its size, and from high dynamic range to what every screen shows.

    Unchanged, the latter would be pale and grey. Source: trac.ffmpeg.org/wiki/colorspace, and zimg's own example.
    """
    filters = [f"scale={target.width}:{target.height}", "setsar=1"]
    if found.hdr is not None and _maps_tones():
        filters += [
            f"zscale=tin={found.hdr}:min=bt2020nc:pin=bt2020:t=linear:npl=100", "format=gbrpf32le", "zscale=p=bt709",
            "tonemap=hable:desat=0", "zscale=t=bt709:m=bt709:r=tv", "format=yuv420p",
        ]  # fmt: skip
    return ",".join(filters)


def _maps_tones() -> bool:
    """Whether this ffmpeg was built with what it takes; Debian's is."""
    known = run(["ffmpeg", "-hide_banner", "-filters"], _PICTURE_SECONDS)
    return " zscale " in known and " tonemap " in known


def _h264(short: int) -> list[str]:
    rate = next(rate for size, rate in _RATES if short >= size)
    return [
        "-c:v", "libx264", "-preset", "veryfast", "-crf", "22", "-maxrate", str(rate), "-bufsize", str(rate * 2),
        "-profile:v", "high", "-pix_fmt", "yuv420p", "-threads", str(_THREADS),
        "-force_key_frames", f"expr:gte(t,n_forced*{_KEY_SECONDS})", "-sc_threshold", "0",
    ]  # fmt: skip


def _heed_progress(length: float, tell: Tell) -> Heed:
    """Reads ``-progress``: lines of ``name=value``, a few a second."""

    def heed(line: str) -> None:
        name, _, value = line.partition("=")
        if name == "out_time_us" and value.lstrip("-").isdigit():
            tell(min(1.0, max(0.0, int(value) / 1e6 / length)) if length else 0.0)

    return heed


def _cues(count: int, step: int, duration_ms: int, width: int, height: int) -> str:
    cues = ["WEBVTT"]
    for n in range(count):
        end = min((n + 1) * step * 1000, duration_ms)
        place = f"{n % _COLUMNS * width},{n // _COLUMNS * height},{width},{height}"
        cues.append(f"{_clock(n * step * 1000)} --> {_clock(end)}\n{SPRITE}#xywh={place}")
    return "\n\n".join(cues) + "\n"


def _clock(ms: int) -> str:
    return f"{ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02}.{ms % 1000:03}"


def _even(size: float) -> int:
    """H.264 in 4:2:0 has no odd sides."""
    return max(2, int(size) // 2 * 2)
