"""Facts of an MP4 file on a host without ffmpeg."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from church.services.videos.errors import NotVideoError
from church.services.videos.importing import mp4 as importing_mp4


@hypothesis_settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_mp4_damaged_file_is_read_or_rejected(mp4_file: Path, tmp_path: Path, data: st.DataObject) -> None:
    mp4 = mp4_file.read_bytes()
    start = mp4.index(b"moov") - 4
    damaged = bytearray(mp4)
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(start, len(mp4) - 1))] = data.draw(st.sampled_from([0, 1, 127, 255]))
    file = tmp_path / "damaged.mp4"
    file.write_bytes(damaged[: data.draw(st.integers(start, len(mp4)))])
    with suppress(NotVideoError):
        importing_mp4.read_facts(file)


def test_mp4_facts_are_those_of_the_video_track(mp4_file: Path) -> None:
    found = importing_mp4.read_facts(mp4_file)
    assert (found.width, found.height) == (128, 72)
    assert abs((found.duration_ms or 0) - 1000) < 200


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[: data.index(b"moov")],
        lambda data: data.replace(b"ftyp", b"free", 1),
        lambda data: data.replace(b"avc1", b"mp4v"),
        lambda data: data.replace(b"vide", b"text"),
    ],
    ids=["empty", "without an index", "not an MP4", "another codec", "without a video track"],
)
def test_mp4_that_browsers_do_not_play_is_rejected(
    mp4_file: Path, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    file = tmp_path / "other.mp4"
    file.write_bytes(damage(mp4_file.read_bytes()))
    with pytest.raises(NotVideoError, match=r"only MP4 files with H\.264"):
        importing_mp4.read_facts(file)
