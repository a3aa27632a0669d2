"""Write the headers of an email: one mailbox stays one, and a text comes back as it was.

We fold them ourselves. ``email`` of Python 3.11 drops the quotes of a name when it folds its header, so that a comma in
the name makes two mailboxes (python/cpython#80222).
"""

from __future__ import annotations

import re
from email.charset import SHORTEST, Charset
from email.header import Header
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import quote
from itertools import groupby

POLICY = SMTP.clone(refold_source="none")
"""Headers are sent as they were stored. ``utf8=True`` is added for an address that needs it."""

_SPECIAL = re.compile(r"[^\w!#$%&'*+/=?^`{|}~ -]", re.ASCII)  # anything else is an atom (RFC 5322, 3.2.3)
_WIDTH = 76
_FOLD = "\r\n "
_UTF8 = Charset("utf-8")
_UTF8.header_encoding = SHORTEST


def set_header(message: EmailMessage, name: str, value: str) -> None:
    """Store a header whose value is written already."""
    message.set_raw(name, value)


def write_mailbox(name: str, address: str) -> str:
    """Write one mailbox: a display name of one line, and an address for the wire."""
    if _is_plain(name):
        return f"{_write_phrase(name)} <{address}>"
    return f"{_write_name(name)}{_FOLD}<{address}>"


def write_text(header: str, text: str) -> str:
    """Write the value of a header of free text, such as Subject, from text of one line."""
    used = len(header) + len(": ")
    if _is_plain(text) and used + max(map(len, text.split(" "))) < _WIDTH:
        return Header(text, "us-ascii", maxlinelen=_WIDTH, header_name=header).encode(linesep="\r\n")
    return _encode(text, used)


def _is_plain(text: str) -> bool:
    """Whether readers show it as it is: it is ASCII, and nothing in it looks like an encoded word."""
    return text.isascii() and "=?" not in text


def _write_phrase(text: str) -> str:
    return f'"{quote(text)}"' if _SPECIAL.search(text) else text


def _write_name(name: str) -> str:
    """Write a name with letters outside ASCII: as one encoded word if it fits.

    Else only the words that need it are encoded: some readers show a space between two encoded words of a name.
    """
    whole = _encode(name, len("Reply-To: "))
    if _FOLD not in whole:
        return whole
    runs = groupby(name.split(" "), key=_is_plain)
    return _FOLD.join(
        _write_phrase(" ".join(words)) if plain else _encode(" ".join(words), len(_FOLD)) for plain, words in runs
    )


def _encode(text: str, used: int) -> str:
    """Write encoded words (RFC 2047), each of 75 characters at most and of whole letters."""
    return Header(text, _UTF8, maxlinelen=_WIDTH, header_name="x" * (used - len(": "))).encode(linesep="\r\n")
