"""Colour code by the classes of Pygments."""

from __future__ import annotations

import html
import re

from pygments import highlight
from pygments.formatters.html import HtmlFormatter
from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

from church.services.pages.commonmark.link_definitions import unescape

_CLASS = "codehilite"
_LANGUAGE = re.compile(r"\{\s*\.?([\w#.+-]+)|([^\s{,]+)")
_MARKED = re.compile(r"""hl_lines=["']?([\d ,-]+)|\{([\d ,-]+)\}""")
_FIRST_LINE = re.compile(r"(?::::+|#!)([\w#.+-]+)[ \t]*$")  # of indented code: `:::python` or `#!python`, no path
_LAST_LINE_END = re.compile(r"\n((?:</span>)*</code></pre>)")
_MOST_MARKED = 1000


class Highlighter:
    """Colours the code of one page. Lexers are kept for its next blocks, but not shared between threads."""

    def __init__(self) -> None:
        self._lexers: dict[str, Lexer | None] = {}

    def colour_fence(self, code: str, info: str) -> str:
        """Colour a fenced block by the first word of ``info``; ``{1,3-5}`` or ``hl_lines="1 3"`` in it marks lines."""
        language = _LANGUAGE.match(unescape(info))
        marked = _MARKED.search(info)
        lines = _line_numbers(marked[1] or marked[2]) if marked else []
        return self._colour(code, (language[1] or language[2]) if language else None, lines)

    def colour_indented(self, code: str) -> str:
        """Colour an indented block by its first line, if that is ``:::language``."""
        first, _, rest = code.partition("\n")
        if match := _FIRST_LINE.match(first):
            return self._colour(rest, match[1], [])
        return self._colour(code, None, [])

    def _colour(self, code: str, language: str | None, marked: list[int]) -> str:
        code = code.strip("\n")
        lexer = self._find_lexer(language.lower()) if language else None
        if lexer is None:
            return f'<div class="{_CLASS}"><pre><code>{html.escape(code, quote=False)}</code></pre></div>'
        coloured = highlight(code, lexer, HtmlFormatter(cssclass=_CLASS, wrapcode=True, hl_lines=marked))
        return _LAST_LINE_END.sub(r"\1", coloured)  # so that a copied line has none

    def _find_lexer(self, language: str) -> Lexer | None:
        if language not in self._lexers:
            try:
                self._lexers[language] = get_lexer_by_name(language)
            except ClassNotFound:
                self._lexers[language] = None
        return self._lexers[language]


def _line_numbers(text: str) -> list[int]:
    numbers: list[int] = []
    for part in re.split(r"[ ,]+", text):
        first, _, last = part[:13].partition("-")
        if first.isdigit():
            end = int(last) if last.isdigit() else int(first)
            numbers += range(int(first), min(end, int(first) + _MOST_MARKED) + 1)
    return numbers[:_MOST_MARKED]
