"""Encode what browsers play: MP4 renditions (H.264 and AAC, playable while loading), a poster and thumbnails."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from church.services.videos.importing.ffmpeg import THREADS, OnLine, input_options, run_tool
from church.services.videos.importing.probe import MAX_SECONDS, RenditionLength, VideoFacts
from church.services.videos.storage.local import POSTER, SPRITE, THUMBS

OnProgress = Callable[[float], None]

_SIZES = (1080, 720)
# (shorter side in pixels, bits a second at most): the quality setting (crf) often needs far less.
_MAX_RATES = ((1080, 6_000_000), (720, 3_000_000), (480, 1_500_000), (0, 800_000))
_KEYFRAME_SECONDS = 2
_SAME_SHAPE = 0.02  # difference of two shapes that counts as none
_FFMPEG = ["ffmpeg", "-hide_banner", "-loglevel", "error", "-nostdin", "-y"]
_TIMEOUT = 600.0  # seconds, for all but a rendition
_POSTER_WIDTH = 1280
_THUMB_SIDE = 160
_COLUMNS, _MAX_THUMBS = 10, 100


@dataclass(frozen=True)
class Target:
    """A rendition to encode."""

    quality: str
    width: int
    height: int


def choose_targets(width: int, height: int) -> list[Target]:
    """Choose the renditions: 1080p and 720p if the source is that large, else its own size. Best first."""
    short = min(width, height)
    sizes = [size for size in _SIZES if short >= size] or [_even(short)]
    return [Target(f"{size}p", _even(width * size / short), _even(height * size / short)) for size in sizes]


def encode_rendition(source: Path, probed: VideoFacts, target: Target, output: Path, on_progress: OnProgress) -> None:
    """Encode one rendition; ``on_progress`` is called with the share that is done, 0 to 1, and may raise to stop.

    Raises ToolError, CutShortError.
    """
    length = (probed.duration_ms or 0) / 1000
    command = [
        *_FFMPEG, *_shift_options(probed), *input_options(source),
        "-map", f"0:{probed.stream}", *_sound_options(probed), "-sn", "-dn",
        "-map_metadata", "-1", "-map_chapters", "-1", "-t", str(MAX_SECONDS), "-fpsmax", "60",
        "-vf", _video_filters(probed, target),
        *_h264_options(min(target.width, target.height)),
        "-movflags", "+faststart", "-f", "mp4", "-progress", "pipe:1", "-nostats", str(output),
    ]  # fmt: skip
    run_tool(command, 600 + 60 * (length or MAX_SECONDS), _progress_parser(length, on_progress))


def make_poster(rendition: Path, length: RenditionLength, folder: Path) -> None:
    """Make the poster: a frame near the beginning, but after a black first frame. Raises ToolError."""
    start, end = length.picture_start_ms / 1000, length.picture_end_ms / 1000
    at = start + min(10.0, (end - start) / 10)
    command = [*_FFMPEG, "-ss", f"{at:.3f}", *input_options(rendition), "-frames:v", "1", "-vf"]
    scale = f"thumbnail=24,scale='min({_POSTER_WIDTH},iw)':-2"
    run_tool([*command, scale, "-q:v", "4", "-f", "mjpeg", str(folder / POSTER)], _TIMEOUT)


def make_thumbnails(rendition: Path, target: Target, length: RenditionLength, folder: Path) -> None:
    """Make thumbnails for seeking: one image with all, and a WebVTT file with the place of each. Raises ToolError.

    Where sound begins earlier or ends later than the picture, the nearest picture is shown.
    """
    step = _KEYFRAME_SECONDS * max(1, math.ceil(length.duration_ms / 1000 / _MAX_THUMBS / _KEYFRAME_SECONDS))
    first = length.picture_start_ms // (step * 1000)
    count = max(1, math.ceil(length.picture_end_ms / 1000 / step) - first)
    scale = _THUMB_SIDE / max(target.width, target.height)
    width, height = _even(target.width * scale), _even(target.height * scale)
    # The first key frame of each step; a rendition has a key frame at the start of each.
    steps = f"floor((t+0.1)/{step})", f"floor((prev_selected_t+0.1)/{step})"
    select = f"select='isnan(prev_selected_t)+gt({steps[0]},{steps[1]})'"
    sheet = f"{select},scale={width}:{height},tile={_COLUMNS}x{math.ceil(count / _COLUMNS)}"
    command = [*_FFMPEG, "-skip_frame", "nokey", *input_options(rendition), "-an", "-vf", sheet, "-frames:v", "1"]
    run_tool([*command, "-q:v", "6", "-f", "mjpeg", str(folder / SPRITE)], _TIMEOUT)
    (folder / THUMBS).write_text(
        _thumbnail_cues(count, step, length.duration_ms, width, height, first), encoding="utf-8"
    )


def _shift_options(probed: VideoFacts) -> list[str]:
    """Let the film begin at 0, also where a track that is not used begins earlier."""
    return ["-itsoffset", f"{-probed.shift:.6f}"] if probed.shift else []


def _sound_options(probed: VideoFacts) -> list[str]:
    if probed.sound is None:
        return ["-an"]
    return ["-map", f"0:{probed.sound}", "-c:a", "aac", "-b:a", "128k", "-ac", "2", "-ar", "48000"]


def _video_filters(probed: VideoFacts, target: Target) -> str:
    """Return the filters of a rendition: deinterlacing, fitting, and tone mapping of a high dynamic range source."""
    filters = [*_deinterlacing_filters(probed.interlaced), *_fitting_filters(target)]
    if probed.hdr is not None and _can_map_tones():
        filters += _tone_filters(probed)
    return ",".join(filters)


def _deinterlacing_filters(interlaced: str | None) -> list[str]:
    """Join the two fields of each interlaced frame, before anything scales them. Browsers would show combs."""
    if interlaced is None:
        return []
    flag = [f"setfield={interlaced}"] if interlaced in {"tff", "bff"} else []
    return [*flag, "bwdif=mode=send_frame:parity=auto:deint=interlaced"]


def _fitting_filters(target: Target) -> list[str]:
    """Scale to the target. A frame of another shape, such as a later one, keeps its shape and gets black bars.

    Shapes that differ by the rounding to even sides only are the same. ``dar`` is the shape of the frame as displayed.
    """
    width, height, shape = target.width, target.height, target.width / target.height
    is_same = f"lt(abs(dar/{shape:.6f}-1),{_SAME_SHAPE})"
    across = f"if({is_same},{width},max(2,2*trunc(min({width},{height}*dar)/2)))"
    down = f"if({is_same},{height},max(2,2*trunc(min({height},{width}/dar)/2)))"
    bars = f"pad=w={width}:h={height}:x=(ow-iw)/2:y=(oh-ih)/2:eval=frame"
    return [f"scale=w='{across}':h='{down}':eval=frame", "setsar=1", bars]


def _tone_filters(probed: VideoFacts) -> list[str]:
    """Map the tones of a high dynamic range video, whose colours would be pale and grey on other screens.

    Source: trac.ffmpeg.org/wiki/colorspace, zimg's example. Its colours are set first, since zimg refuses unnamed ones.
    """
    return [
        f"setparams=color_trc={probed.hdr}:color_primaries={probed.primaries}:colorspace={probed.matrix}",
        "zscale=t=linear:npl=100", "format=gbrpf32le", "zscale=p=bt709", "tonemap=hable:desat=0",
        "zscale=t=bt709:m=bt709:r=tv", "format=yuv420p",
    ]  # fmt: skip


def _can_map_tones() -> bool:
    """Whether this ffmpeg was built with the filters for tone mapping; Debian's is."""
    filters = run_tool(["ffmpeg", "-hide_banner", "-filters"], _TIMEOUT)
    return " zscale " in filters and " tonemap " in filters


def _h264_options(short: int) -> list[str]:
    rate = next(rate for size, rate in _MAX_RATES if short >= size)
    return [
        "-c:v", "libx264", "-preset", "veryfast", "-crf", "22", "-maxrate", str(rate), "-bufsize", str(rate * 2),
        "-profile:v", "high", "-pix_fmt", "yuv420p", "-threads", str(THREADS),
        "-force_key_frames", f"expr:gte(t,n_forced*{_KEYFRAME_SECONDS})", "-sc_threshold", "0",
    ]  # fmt: skip


def _progress_parser(length: float, on_progress: OnProgress) -> OnLine:
    """Parse the output of ``-progress``: lines of ``name=value``, a few a second. ``length`` is in seconds."""

    def parse(line: str) -> None:
        name, _, value = line.partition("=")
        if name == "out_time_us" and value.lstrip("-").isdigit():
            on_progress(min(1.0, max(0.0, int(value) / 1e6 / length)) if length else 0.0)

    return parse


def _thumbnail_cues(count: int, step: int, duration_ms: int, width: int, height: int, first: int = 0) -> str:
    """Return one cue a picture, from the beginning of the film to its end; ``first`` is the step of the first one."""
    cues = ["WEBVTT"]
    for n in range(count):
        start = (first + n) * step * 1000 if n else 0
        end = min((first + n + 1) * step * 1000, duration_ms) if n < count - 1 else duration_ms
        area = f"{n % _COLUMNS * width},{n // _COLUMNS * height},{width},{height}"
        cues.append(f"{_cue_time(start)} --> {_cue_time(end)}\n{SPRITE}#xywh={area}")
    return "\n\n".join(cues) + "\n"


def _cue_time(ms: int) -> str:
    return f"{ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02}.{ms % 1000:03}"


def _even(size: float) -> int:
    """Round down to an even number: H.264 in 4:2:0 has no odd sides."""
    return max(2, int(size) // 2 * 2)
