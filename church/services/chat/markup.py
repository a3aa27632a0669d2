"""Markdown-lite, as messages are written: **bold**, *italic*, `code`, ``` blocks, links to the web; else as typed.

Everything is escaped on its way out and no tag comes from the text, so that nothing in it can become one. It takes
time in proportion to the length: no pattern below tries a character a second time for what an earlier one left open.
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
    """``text`` as HTML that is safe to show."""
    lines = text.split("\n")
    fences = [number for number, line in enumerate(lines) if line.rstrip() == "```"]
    parts: list[str] = []
    start = 0  # of the lines that no block has
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
    """Text outside of code blocks."""
    line = _Line()
    at = 0
    while (found := _TOKEN.search(text, at)) is not None:
        line.say(escape(text[at : found.start()]))
        at = found.end()
        if found["mark"]:
            line.mark(found["mark"], before=text[max(found.start() - 1, 0) : found.start()], after=text[at : at + 1])
        elif found["line"]:
            line.end()
        elif found["code"]:
            line.say(f"<code>{escape(found['code'])}</code>")
        elif found["label"]:
            line.say(_link(found["target"], found["label"]))
        else:
            url = _without_tail(found["url"])
            line.say(_link(url, url))
            at = found.start() + len(url)
    line.say(escape(text[at:]))
    return line.done()


def _link(target: str, label: str) -> str:
    return f'<a href="{escape(target)}" rel="{_REL}" title="{escape(target)}">{escape(label)}</a>'


def _without_tail(url: str) -> str:
    """The address without the sentence's own signs at its end; a bracket stays if it was opened within."""
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
    """Emphasis of one line: a mark is a tag only if it is closed in its order, else it stands as it was typed."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._open: dict[str, int] = {}
        """The marks that may still be closed, outermost first, with the place of each."""

    def say(self, html: str) -> None:
        """Add what is escaped."""
        if html:
            self._pieces.append(html)

    def mark(self, mark: str, before: str, after: str) -> None:
        """Add ``**``, ``*`` or ``_`` between two characters."""
        # An underscore within a word is part of it.
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
            pass  # what was opened inside and not closed stays as it was typed
        self._pieces[at] = f"<{_TAGS[mark]}>"
        self._pieces.append(f"</{_TAGS[mark]}>")

    def end(self) -> None:
        """End the line."""
        self._open.clear()
        self._pieces.append("<br>\n")

    def done(self) -> str:
        """All of it."""
        return "".join(self._pieces)
