"""Definitions of links, such as ``[church]: https://church.example "Title"`` (CommonMark 0.31.2, section 4.7)."""

from __future__ import annotations

import html
import re
from collections.abc import MutableMapping
from html.entities import html5

_LABEL = r"\[((?:[^\[\]\\]|\\.)*+)\]"
_TARGET = r"<(?:[^<>\n\\]|\\.)*+>|[^\s<][^\s]*+"
_TITLE = r'"(?:[^"\\]|\\.)*+"' + r"|'(?:[^'\\]|\\.)*+'" + r"|\((?:[^()\\]|\\.)*+\)"
_BEGIN = re.compile(rf"{_LABEL}:[ \t]*+\n?[ \t]*+({_TARGET})", re.DOTALL)
_TITLE_THEN_END = re.compile(rf"(?:[ \t]++\n?[ \t]*+|\n[ \t]*+)({_TITLE})[ \t]*+(?:\n|$)", re.DOTALL)
_END = re.compile(r"[ \t]*+(?:\n|$)")
_ESCAPED = re.compile(r"\\([!-/:-@\[-`{-~])|(&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});)")
_MOST_LABEL = 999

References = MutableMapping[str, tuple[str, str]]


def fold_label(label: str) -> str:
    """Return the form of a label in which it is looked up: white space and case do not matter."""
    return " ".join(label.split()).casefold()


def unescape(text: str) -> str:
    """Replace backslash escapes and entities by what they mean."""
    return _ESCAPED.sub(lambda match: match[1] or _entity(match[2]), text)


def _entity(written: str) -> str:
    """Return what an entity means; an unknown name means itself, though ``html.unescape`` would know its beginning."""
    return html.unescape(written) if written[1] == "#" or written[1:] in html5 else written


def take_definitions(text: str, references: References) -> str:
    """Add the definitions at the beginning of ``text``, a paragraph, to ``references``; return the rest.

    The first definition of a label wins.
    """
    position = 0
    while (begin := _BEGIN.match(text, position)) is not None:
        label = fold_label(begin[1])
        titled = _TITLE_THEN_END.match(text, begin.end())
        end = titled or _END.match(text, begin.end())
        if end is None or not label or len(begin[1]) > _MOST_LABEL:
            break
        target = begin[2][1:-1] if begin[2].startswith("<") else begin[2]
        title = unescape(titled[1][1:-1]) if titled else ""
        references.setdefault(label, (unescape(target), title))
        position = end.end()
    return text[position:]
