"""What may be said: text as it is kept, and the names that clients give their messages."""

from __future__ import annotations

import re

from church.models.base import plain
from church.services.chat.errors import TextError

LONGEST = 4000
"""Characters of a message."""
LONGEST_REASON = 500

_CLIENT_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_REFUSED = re.compile("[\x00\ud800-\udfff]")
# Neither do they show anything, nor does a person type them.
_CONTROLS = re.compile("[\x01-\x08\x0b-\x1f\x7f-\x9f]")


def clean_text(text: str, field: str = "message") -> str:
    """``text`` as it is kept: without control characters and outer space. Raises TextError."""
    return _tidy(text, LONGEST, field) or _refuse("Write a message first.", field)


def tidy_reason(text: str) -> str:
    """A reason, in one line; may be empty. Raises TextError for ``reason``."""
    return " ".join(_tidy(text, LONGEST_REASON, "reason").split())


def check_client_id(name: str | None) -> str | None:
    """What a client calls a message of its own; None where it does not. Raises TextError."""
    if name is None or _CLIENT_ID.fullmatch(name):
        return name
    raise TextError("A client_id is 1 to 64 of A-Z a-z 0-9 . _ -", "client_id")


def _tidy(text: str, most: int, field: str) -> str:
    if _REFUSED.search(text):
        _refuse("This contains invalid characters.", field)
    text = _CONTROLS.sub("", plain(text).replace("\r\n", "\n").replace("\r", "\n")).strip()
    if len(text) > most:
        _refuse(f"This is too long. Use at most {most} characters.", field)
    return text


def _refuse(words: str, field: str) -> str:
    raise TextError(words, field)
