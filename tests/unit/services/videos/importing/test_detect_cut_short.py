"""The two signs of a film that was cut short: what ffmpeg complains about, and a duration that falls short."""

from __future__ import annotations

import pytest

from church.services.videos.importing.detect_cut_short import CutShortError, check_duration, complains_of_cut
from church.services.videos.importing.ffmpeg import run_tool


@pytest.mark.parametrize(
    ("error_output", "cut"),
    [
        ("[mov,mp4 @ 0x5] moov atom not found\nfilm.mp4: Invalid data found", True),
        ("[mov,mp4 @ 0x5] stream 0, offset 0x30: partial file", True),
        ("[matroska,webm @ 0x5] File ended prematurely at pos. 4096", True),
        ("film.mp4: Invalid data found when processing input", False),
        ("", False),
    ],
)
def test_complaint_of_unfinished_file_is_recognized(error_output: str, cut: bool) -> None:
    assert complains_of_cut(error_output) is cut


def test_failed_run_with_such_a_complaint_raises_cut_short() -> None:
    with pytest.raises(CutShortError):
        run_tool(["/bin/sh", "-c", "echo moov atom not found >&2; exit 1"], 20)


@pytest.mark.parametrize(("promised", "encoded"), [(None, 0), (10_000, 9_000), (10_000, 11_000), (0, 0)])
def test_duration_close_to_the_promised_one_is_accepted(promised: int | None, encoded: int) -> None:
    check_duration(promised, encoded)


def test_duration_far_below_the_promised_one_raises() -> None:
    with pytest.raises(CutShortError, match="of its 10 seconds only 9 are there"):
        check_duration(10_000, 8_999)
