"""Text put into a safe, plain form, and read from files."""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)")


def one_line(text: str) -> str:
    """Replace control characters and line breaks by spaces, and each run of white space by one space."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


# Longest first: the mark of UTF-32 begins with that of UTF-16.
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def decode_text(data: bytes) -> str:
    """Decode the contents of a text file: UTF-8, or what its byte order mark says, as editors on Windows write it.

    Raises UnicodeDecodeError.
    """
    return data.decode(next((encoding for mark, encoding in _BYTE_ORDER_MARKS if data.startswith(mark)), "utf-8"))


def strip_invisible(line: str) -> str:
    """Remove blanks and characters that cannot be seen, such as a byte order mark, from both ends of ``line``."""
    start, end = 0, len(line)
    while start < end and _is_invisible(line[start]):
        start += 1
    while end > start and _is_invisible(line[end - 1]):
        end -= 1
    return line[start:end]


def _is_invisible(char: str) -> bool:
    return char.isspace() or unicodedata.category(char) in {"Cf", "Cc"}


def write_plainly(value: Any) -> str:
    """Write a value of JSON, or a time, for people: ``["title", "access"]`` as "title, access", None as "none".

    Text that is a time with its zone is written in UTC.
    """
    if isinstance(value, Mapping):
        return "; ".join(f"{write_label(str(name))} {write_plainly(one)}" for name, one in value.items()) or "none"
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(map(write_plainly, value)) or "none"
    if isinstance(value, str) and _MOMENT.fullmatch(value):
        value = datetime.fromisoformat(value)
    if isinstance(value, date):  # a datetime is one
        return _write_time(value)
    return {None: "none", True: "yes", False: "no"}[value] if isinstance(value, bool | None) else str(value) or "none"


def write_label(name: str) -> str:
    """Write the name of a field for people."""
    return name.replace("_", " ")


def _write_time(moment: date) -> str:
    if not isinstance(moment, datetime):
        return moment.isoformat()
    in_utc = moment.astimezone(UTC) if moment.tzinfo is not None else moment
    return f"{in_utc:%Y-%m-%d %H:%M} UTC"
