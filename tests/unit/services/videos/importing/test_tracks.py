"""Which tracks become the picture and the sound of a film."""

from __future__ import annotations

from typing import Any

import pytest

from church.services.videos.errors import NotVideoError
from church.services.videos.importing import tracks
from church.services.videos.importing.packets import TrackExtent
from tests.support.video_fixture import FFMPEG

DECODABLE = {"h264", "mjpeg", "png", "aac", "opus"}


def video(index: int, codec: str | None = "h264", *flags: str) -> dict[str, Any]:
    return {"index": index, "codec_type": "video", "codec_name": codec, "disposition": dict.fromkeys(flags, 1)}


def audio(index: int, codec: str | None = "aac", *flags: str, channels: int = 2) -> dict[str, Any]:
    disposition = dict.fromkeys(flags, 1)
    facts = {"channels": channels, "sample_rate": "48000", "codec_tag_string": "ac-4", "disposition": disposition}
    return {"index": index, "codec_type": "audio", "codec_name": codec, **facts}


def count(**packets: int) -> dict[int, TrackExtent]:
    return {int(name.removeprefix("t")): TrackExtent(packets=number) for name, number in packets.items()}


@pytest.mark.parametrize(
    ("found", "packets", "chosen"),
    [
        ([video(0), video(1)], {}, 0),
        ([video(0), video(1, "h264", "default")], {}, 1),
        ([video(0, "h264", "default"), video(1, "h264", "default")], {}, 0),
        ([video(0, "mjpeg"), video(1)], {"t0": 1}, 1),
        ([video(0, "mjpeg", "default"), video(1)], {"t0": 1}, 1),
        ([video(0, "h264", "default"), video(1)], {"t0": 1}, 1),  # a still need not be a JPEG
        ([video(0, "png", "attached_pic"), video(1)], {}, 1),
        ([video(0, "mjpeg", "attached_pic", "timed_thumbnails"), video(1)], {}, 1),
        ([video(0, None, "default"), video(1)], {}, 1),
        ([video(0, "bytedance"), video(1)], {}, 1),
        ([video(0, "mjpeg")], {}, 0),  # the film of a camera
        ([video(0)], {"t0": 1}, 0),  # one frame below a song
        ([video(0, "h264", "visual_impaired"), video(1)], {}, 1),  # with a signer in it, say
    ],
)
def test_picture_is_the_default_moving_track_with_a_decoder(
    found: list[dict[str, Any]], packets: dict[str, int], chosen: int
) -> None:
    extents = count(**{f"t{one['index']}": 50 for one in found} | packets)
    assert tracks.choose_picture(tracks.find_pictures(found, DECODABLE), extents)["index"] == chosen


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ([audio(0)], "no video track"),
        ([video(0, "mjpeg", "attached_pic"), audio(1)], "only a cover image"),
        ([video(0, "png"), audio(1)], "only a cover image"),
        ([video(0, "mjpeg"), video(1, "png"), audio(2)], "only a cover image"),
        ([video(0, "vvc")], r"no decoder for the picture of this video \(vvc\)"),
        ([video(0, None)], r"no decoder for the picture of this video \(unknown format\)"),
    ],
)
def test_picture_that_is_a_cover_or_unreadable_is_rejected(found: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(NotVideoError, match=message):
        tracks.choose_picture(tracks.find_pictures(found, DECODABLE), count(t0=1, t1=1))


@pytest.mark.parametrize(
    ("found", "chosen"),
    [
        ([], None),
        ([audio(1), audio(2)], 1),
        ([audio(1), audio(2, "aac", "default")], 2),
        ([audio(1, "unknown", "default"), audio(2)], 2),
        ([audio(1, None), audio(2)], 2),
        ([audio(1, "aac", "comment"), audio(2)], 2),
        ([audio(1, "aac", "visual_impaired", "descriptions"), audio(2)], 2),
        ([audio(1, "aac", "default", "hearing_impaired"), audio(2, "aac", "default")], 2),
        ([audio(1, "aac", "default", "comment"), audio(2)], 1),  # it is what the file wants played
        ([audio(1, channels=0), audio(2)], 2),
        ([audio(1, channels=0)], 1),  # it begins later than ffprobe has read
        ([audio(8), audio(2)], 2),  # 8 belongs to another programme
        ([audio(9), audio(2)], 2),  # 9 has no packets
        ([audio(9, None)], None),
    ],
)
def test_sound_is_the_default_track_with_a_decoder(found: list[dict[str, Any]], chosen: int | None) -> None:
    extents = count(t1=5, t2=5, t8=5)
    sound = tracks.choose_sound(found, {1, 2, 9}, DECODABLE, extents)
    assert (sound["index"] if sound else None) == chosen


def test_sound_without_any_decoder_is_rejected_with_its_format() -> None:
    with pytest.raises(NotVideoError, match=r"no decoder for the sound of this video \(unknown format\)"):
        tracks.choose_sound([audio(1, None), audio(2, None)], {1, 2}, DECODABLE, None)


@pytest.mark.needs(*FFMPEG)
def test_decodable_codecs_are_those_of_ffmpeg() -> None:
    codecs = tracks.list_decodable_codecs()
    assert {"h264", "hevc", "aac", "mpeg2video"} <= codecs
    assert not codecs & {"=", "none", "subrip", ""}
