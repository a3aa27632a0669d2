"""Text put on one line where a line break would do harm."""

from __future__ import annotations

import pytest

from church.lib.text import one_line


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain words", "plain words"),
        ("  runs \t of   blanks ", "runs of blanks"),
        ("Subject: x\r\nBcc: y", "Subject: x Bcc: y"),
        ("null\x00, escape\x1b, delete\x7f", "null , escape , delete"),
        ("line\u2028separator, right-to-left\u202eoverride", "line separator, right-to-left override"),
        ("ünïcödé 🕯", "ünïcödé 🕯"),
        ("\n\n", ""),
    ],
)
def test_one_line_control_characters_become_single_spaces(text: str, expected: str) -> None:
    assert one_line(text) == expected
