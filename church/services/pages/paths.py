"""Tells attempts to leave the pages from typing errors, for the record; no path is ever made of a slug."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import unquote

_TRAVERSAL = re.compile(r"\.\.|[\\\x00\ufffd]|^/|//")
_WIDE = re.compile(r"%u([0-9a-f]{4})", re.IGNORECASE)  # JavaScript's escape(), which IIS decodes
_ROUNDS = 8
_MOST_READ = 2000


def looks_like_traversal(slug: str) -> bool:
    """Whether somebody tries to leave the pages: dots, backslashes, NUL, overlong UTF-8, however they are encoded.

    Full-width forms are read as what they stand for. What is still encoded after eight rounds is an attempt as well.
    """
    text = unicodedata.normalize("NFKC", slug[:_MOST_READ])
    for _ in range(_ROUNDS):
        if _TRAVERSAL.search(text):
            return True
        decoded = unicodedata.normalize("NFKC", unquote(_WIDE.sub(lambda code: chr(int(code[1], 16)), text)))
        if decoded == text:
            return False
        text = decoded
    return True
