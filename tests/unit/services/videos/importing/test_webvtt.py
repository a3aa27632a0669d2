"""Captions: what is converted so that browsers show it, and what is refused with its line."""

from __future__ import annotations

import pytest

from church.services.videos.importing.webvtt import CaptionsError, read_captions

CUE = "00:00:01.000 --> 00:00:03.000\nAhoy\n"


@pytest.mark.parametrize(
    "text",
    [
        f"WEBVTT\n\n{CUE}",
        f"WEBVTT - Harbour\nKind: captions\nLanguage: en\n\n{CUE}",
        f"WEBVTT\n{CUE}",
        f"WEBVTT\n\nNOTE 00:01,000 -> 00:02,000\nof a --> b\n\nSTYLE\n::cue {{ color: red }}\n\nfirst\n{CUE}",
        "WEBVTT\n\n00:01.000 --> 00:02.000 align:start line:0\n9:30 - 10:30\n",
        "WEBVTT\n\n00:05.000 --> 00:09.000\nLater\n\n00:01.000 --> 00:06.000\nEarlier, and at once\n",
        "WEBVTT\n\n100:00:01.000 --> 100:00:02.000\nA long film\n",
    ],
)
def test_captions_that_browsers_read_stay_as_they_are(text: str) -> None:
    assert read_captions(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("WEBVTT\n\n00:00:01,000 --> 00:00:03,000\nAhoy\n", f"WEBVTT\n\n{CUE}"),
        ("1\n00:00:01,000 --> 00:00:03,000\n{\\an8}Ahoy\n", f"WEBVTT\n\n1\n{CUE}"),
        ("\n\n00:01,000-->00:03,000\nAhoy\n", f"WEBVTT\n\n{CUE}"),
        (CUE, f"WEBVTT\n\n{CUE}"),
        ("\nWEBVTT\n\n0:1.000 --> 0:3.000\nAhoy\n", f"WEBVTT\n\n{CUE}"),
        (
            "WEBVTT\n\n0:00:01.000 --> 0:00:03.000 line:0\nAhoy\n",
            f"WEBVTT\n\n{CUE}".replace("3.000\n", "3.000 line:0\n"),
        ),
    ],
)
def test_captions_with_other_times_are_converted(text: str, expected: str) -> None:
    assert read_captions(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("WEBVTT\n\nno times\n", "nothing in it has a time"),
        ("WEBVTT\n\n90:00,000 --> 91:00,000\n", "Line 3"),
        ("WEBVTT\n", "nothing in it has a time"),
        ("", "nothing in it has a time"),
        ("WEBVTT\n\nNOTE\n00:01.000 --> 00:02.000\n", "nothing in it has a time"),
        ("WEBVTTX\n\n00:01.000 --> 00:02.000\n", "Line 1: “WEBVTTX” is not the first line"),
        ("webvtt\n\n00:01.000 --> 00:02.000\n", "Line 1"),
        (
            f"WEBVTT\n\n{CUE}\n00:00:61.000 --> 00:01:02.000\nB\n",
            "Line 6: “00:00:61.000 --> 00:01:02.000” is not a time",
        ),
        (f"WEBVTT\n\n{CUE}\n00:05.00 --> 00:06.000\n", "Line 6"),
        (f"WEBVTT\n\n{CUE}\n00:05.000 --> 00:04.000\nB\n", "Line 6: .* ends before it begins"),
        (f"WEBVTT\n\n{CUE}\n00:05.000 --> 00:05.000\nB\n", "Line 6: .* ends before it begins"),
        (f"WEBVTT\n\n{CUE}\n2\n00:05.000 -> 00:06.000\nB\n", "Line 7"),
        (f"1\n{CUE}\n2\n00:05,000 --> later\nB\n", "Line 6: “00:05,000 --> later”"),
        ("0:00:01.000,0:00:03.000\nAhoy\n", "Line 1"),
        (f"WEBVTT\n\n{'9' * 5000}:00:01.000 --> 00:00:02.000\n", "Line 3"),
        ("{\\" * 200_000, "nothing in it has a time"),
        (f"WEBVTT\n\n{CUE}\n{'x' * 50} --> y\n", f"Line 6: “{'x' * 40}…”"),
    ],
)
def test_captions_that_no_browser_shows_are_refused_with_the_line(text: str, message: str) -> None:
    with pytest.raises(CaptionsError, match=message):
        read_captions(text)
