"""Text put into a safe, plain form."""

from __future__ import annotations


def one_line(text: str) -> str:
    """Replace control characters and line breaks by spaces, and each run of white space by one space."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
