"""Text put into a safe, plain form, and read from files."""

from __future__ import annotations

import codecs
import unicodedata


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
