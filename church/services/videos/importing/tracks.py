"""Choose the tracks of a film as a player does: its picture and its sound.

Tracks are given as ffprobe describes them. A track comes first if its file flags it as default; commentary and sound
for the blind or the deaf come after others; then the order of the file decides.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import Any

from church.services.videos.errors import NotVideoError
from church.services.videos.importing.ffmpeg import run_tool
from church.services.videos.importing.packets import TrackExtent

Track = Mapping[str, Any]

_TIMEOUT = 60.0
_CODEC = re.compile(r" D[.E][VA]\S{3} (\S+)")  # a line of ffmpeg -codecs with a decoder
# Dispositions of ffprobe.
_PICTURES = ("attached_pic", "timed_thumbnails", "still_image")
_SPECIAL = (
    *("comment", "visual_impaired", "hearing_impaired", "descriptions", "dependent", "karaoke", "lyrics"),
    *("clean_effects", "metadata"),
)
_STILL_CODECS = frozenset({"mjpeg", "png", "apng", "gif", "bmp", "webp", "tiff", "jpeg2000", "jpegxl", "ppm", "targa"})
_NO_VIDEO = "This file has no video track, or only a cover image."


@cache
def list_decodable_codecs() -> frozenset[str]:
    """List the codecs that this ffmpeg can decode. Raises ToolError."""
    lines = run_tool(["ffmpeg", "-hide_banner", "-codecs"], _TIMEOUT).splitlines()
    return frozenset(match[1] for line in lines if (match := _CODEC.match(line)))


def find_pictures(tracks: Sequence[Track], decodable: Collection[str]) -> list[Track]:
    """Find the video tracks that can be the picture of a film, best first, before their packets are counted.

    Raises NotVideoError.
    """
    pictures = [one for one in tracks if one.get("codec_type") == "video" and not _has(one, _PICTURES)]
    if not pictures:
        raise NotVideoError(_NO_VIDEO)
    readable = [one for one in pictures if one.get("codec_name") in decodable]
    if not readable:
        raise NotVideoError(f"ffmpeg has no decoder for the picture of this video ({_name_codec(pictures[0])}).")
    return sorted(readable, key=_rank)


def may_be_still(pictures: Sequence[Track]) -> bool:
    """Whether the packets have to be counted to tell a film from a still picture."""
    return len(pictures) > 1 or pictures[0]["codec_name"] in _STILL_CODECS


def choose_picture(pictures: Sequence[Track], extents: Mapping[int, TrackExtent]) -> Track:
    """Choose the picture of the film: the first track of ``pictures`` that moves. Raises NotVideoError."""
    moving = [one for one in pictures if _count_packets(one, extents) > 1]
    if moving:
        return moving[0]
    films = [one for one in pictures if one["codec_name"] not in _STILL_CODECS]
    if not films:
        raise NotVideoError(_NO_VIDEO)
    return films[0]


def choose_sound(
    tracks: Sequence[Track],
    companions: Collection[int],
    decodable: Collection[str],
    extents: Mapping[int, TrackExtent] | None,
) -> Track | None:
    """Choose the sound of the film; None if it has none. ``companions`` are the tracks of the picture's TV programme.

    Raises NotVideoError if no sound can be decoded.
    """
    sounds = [one for one in tracks if one.get("codec_type") == "audio"]
    if extents is not None:
        sounds = [one for one in sounds if _count_packets(one, extents)]
    readable = [one for one in sounds if one.get("codec_name") in decodable]
    if sounds and not readable:
        codec = _name_codec(sounds[0])
        raise NotVideoError(f"ffmpeg has no decoder for the sound of this video ({codec}). Convert its sound to AAC.")
    return min(
        readable, key=lambda one: (one["index"] not in companions, _lacks_format(one), *_rank(one)), default=None
    )


def _rank(track: Track) -> tuple[bool, bool, int]:
    return not _has(track, ("default",)), _has(track, _SPECIAL), int(track["index"])


def _has(track: Track, dispositions: Sequence[str]) -> bool:
    return any(track.get("disposition", {}).get(name) for name in dispositions)


def _lacks_format(track: Track) -> bool:
    """Whether nothing of the sound was found at the beginning of the file."""
    return not int(track.get("channels") or 0) or not int(track.get("sample_rate") or 0)


def _count_packets(track: Track, extents: Mapping[int, TrackExtent]) -> int:
    extent = extents.get(int(track["index"]))
    return extent.packets if extent is not None else 0


def _name_codec(track: Track) -> str:
    tag = str(track.get("codec_tag_string") or "")
    return str(track.get("codec_name") or (tag if tag.isalnum() else "unknown format"))
