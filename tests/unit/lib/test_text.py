"""Text put on one line where a line break would do harm, and values of JSON in plain words."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from church.lib.text import decode_text, one_line, strip_invisible, write_plainly


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


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (["title", "access"], "title, access"),
        ([], "none"),
        (["one", None, True], "one, none, yes"),
        (("a", 1), "a, 1"),
        (None, "none"),
        ("", "none"),
        (True, "yes"),
        (False, "no"),
        (0, "0"),
        ({"old_role": "member", "scopes": ["a", "b"]}, "old role member; scopes a, b"),
        ({}, "none"),
        ("2026-12-01T10:30:00+00:00", "2026-12-01 10:30 UTC"),
        ("2026-12-01T10:30:00.123456Z", "2026-12-01 10:30 UTC"),
        ("2026-12-01T12:30+02:00", "2026-12-01 10:30 UTC"),
        (datetime(2026, 12, 1, 10, 30, tzinfo=UTC), "2026-12-01 10:30 UTC"),
        (date(2026, 12, 1), "2026-12-01"),
        ("2026-12-01", "2026-12-01"),
        ("a film", "a film"),
    ],
)
def test_value_is_written_for_people_not_as_python(value: Any, expected: str) -> None:
    assert write_plainly(value) == expected
