"""Render a message's markup as HTML: **bold**, *italic*, `code`, ``` blocks and web links; everything else as typed.

All text is escaped, and tags come only from this module, so a message cannot contain HTML. The time is proportional to
the length: no pattern below backtracks.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from html import escape

from markupsafe import Markup

_FENCE = re.compile(r"```[A-Za-z0-9+-]{0,20}")
_TOKEN = re.compile(
    r"`(?P<code>[^`\n]+)`"
    r"|\[(?P<label>[^\[\]\n]{1,200})\]\((?P<target>https?://(?=\w)[^\s()<>]{1,2000})\)"
    r"|(?<![A-Za-z0-9])(?P<url>https?://(?=\w)[^\s<>\"`]+)"
    r"|(?P<mark>\*\*|\*|_)"
    r"|(?P<line>\n)"
)
_TAGS = {"**": "strong", "*": "em", "_": "em"}
_AFTER_URL = ".,:;!?'*_)]"
_REL = "nofollow ugc noopener"


def render(text: str) -> Markup:
    """Return ``text`` as safe HTML."""
    lines = text.split("\n")
    fences = [number for number, line in enumerate(lines) if line.rstrip() == "```"]
    parts: list[str] = []
    start = 0  # first line after the last code block
    for number, line in enumerate(lines):
        if number < start or not fences or number >= fences[-1] or not _FENCE.fullmatch(line.rstrip()):
            continue
        end = fences[bisect_right(fences, number)]
        parts += [_inline("\n".join(lines[start:number])), _block("\n".join(lines[number + 1 : end]))]
        start = end + 1
    parts.append(_inline("\n".join(lines[start:])))
    return Markup("".join(parts))  # noqa: S704 - every piece of the text was escaped


def _block(code: str) -> str:
    return f"<pre><code>{escape(code)}</code></pre>"


def _inline(text: str) -> str:
    """Render text outside code blocks."""
    line = _Line()
    at = 0
    while (token := _TOKEN.search(text, at)) is not None:
        line.add(escape(text[at : token.start()]))
        at = token.end()
        if token["mark"]:
            line.mark(token["mark"], before=text[max(token.start() - 1, 0) : token.start()], after=text[at : at + 1])
        elif token["line"]:
            line.end()
        elif token["code"]:
            line.add(f"<code>{escape(token['code'])}</code>")
        elif token["label"]:
            line.add(_link(token["target"], token["label"]))
        else:
            url = _without_tail(token["url"])
            line.add(_link(url, url))
            at = token.start() + len(url)
    line.add(escape(text[at:]))
    return line.html()


def _link(target: str, label: str) -> str:
    return f'<a href="{escape(target)}" rel="{_REL}" title="{escape(target)}">{escape(label)}</a>'


def _without_tail(url: str) -> str:
    """Cut punctuation of the sentence from the end of a URL; a closing bracket stays if it was opened in the URL."""
    end = len(url)
    missing = {")": url.count(")") - url.count("("), "]": url.count("]") - url.count("[")}
    while url[end - 1] in _AFTER_URL:
        if (sign := url[end - 1]) in missing:
            if missing[sign] <= 0:
                break
            missing[sign] -= 1
        end -= 1
    return url[:end]


class _Line:
    """Emphasis in one line: a mark becomes a tag only if it is closed in order; otherwise it stays as typed."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._open: dict[str, int] = {}
        """Open marks, outermost first, with the index of each in the pieces."""

    def add(self, html: str) -> None:
        """Add escaped HTML."""
        if html:
            self._pieces.append(html)

    def mark(self, mark: str, before: str, after: str) -> None:
        """Add ``**``, ``*`` or ``_``; ``before`` and ``after`` are the characters around it."""
        # An underscore inside a word is part of the word.
        within = mark == "_" and before.isalnum() and after.isalnum()
        if mark in self._open and before.strip() and not within and self._open[mark] < len(self._pieces) - 1:
            self._close(mark)
            return
        if mark not in self._open and after.strip() and not within:
            self._open[mark] = len(self._pieces)
        self._pieces.append(mark)

    def _close(self, mark: str) -> None:
        at = self._open[mark]
        while self._open.popitem()[0] != mark:
            pass  # marks opened inside and not closed stay as typed
        self._pieces[at] = f"<{_TAGS[mark]}>"
        self._pieces.append(f"</{_TAGS[mark]}>")

    def end(self) -> None:
        """End the line."""
        self._open.clear()
        self._pieces.append("<br>\n")

    def html(self) -> str:
        """Return the HTML."""
        return "".join(self._pieces)
