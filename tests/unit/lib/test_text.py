"""Text put on one line where a line break would do harm."""

from __future__ import annotations

import pytest

from church.lib.text import decode_text, one_line, strip_invisible


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


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_decode_text_follows_the_byte_order_mark(encoding: str) -> None:
    assert decode_text("Å 🕯".encode(encoding)) == "Å 🕯"


@pytest.mark.parametrize("data", [b"caf\xe9", b"\xff\xfe\x00"])
def test_decode_text_rejects_other_encodings(data: bytes) -> None:
    with pytest.raises(UnicodeDecodeError):
        decode_text(data)


def test_strip_invisible_keeps_what_is_inside() -> None:
    assert strip_invisible("\ufeff\u200e a\u200db \u00ad\r") == "a\u200db"
    assert strip_invisible("\ufeff ") == ""
