"""A cleaned page read from its top: its plain text, and the opening that everybody may see.

The opening is cut from whole blocks of the rendered page, so nothing of what follows can be in it.
"""

from __future__ import annotations

import html
from dataclasses import dataclass, field
from html.parser import HTMLParser

from church.services.pages.clean_html import HEADINGS, VOID

MOST_PARAGRAPHS = 3
MOST_CHARACTERS = 1200
_ENDS_LINE = HEADINGS | {"p", "li", "td", "th", "dt", "dd", "div", "pre", "summary", "figcaption"}


@dataclass
class _Block:
    """One element at the top of the page: its markup, without what only works in the whole page, and its words."""

    tag: str
    has_heading: bool = False
    markup: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


class _Blocks(HTMLParser):
    """Splits cleaned HTML, which is well formed, into its blocks."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.blocks: list[_Block] = []
        self._open: list[bool] = []  # of each open element: whether its tags are written
        self._silent = 0  # how many of them are silent with all that is in them

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open an element. Ids, and references to notes that stand at the end of the whole page, are left out."""
        if not self._open:
            self.blocks.append(_Block(tag))
        block = self.blocks[-1]
        block.has_heading |= tag in HEADINGS
        given = {name: value or "" for name, value in attrs}
        silent = bool(self._silent) or (tag == "sup" and "id" in given) or given.get("class") == "footnote-backref"
        written = not silent and not given.get("href", "").startswith("#")
        if written:
            kept = "".join(f' {name}="{html.escape(value)}"' for name, value in given.items() if name != "id")
            block.markup.append(f"<{tag}{kept}>")
        if tag in VOID:
            block.words.append(" ")
            return
        self._open.append(written)
        self._silent += silent

    def handle_endtag(self, tag: str) -> None:
        """Close an element."""
        if tag in VOID or not self._open:
            return
        block = self.blocks[-1]
        if self._open.pop():
            block.markup.append(f"</{tag}>")
        self._silent = max(0, self._silent - 1)
        if tag in _ENDS_LINE:
            block.words.append("\n")

    def handle_data(self, data: str) -> None:
        """Take words in; words outside any element are a block of their own."""
        if self._silent:
            return
        if not self._open:
            if not data.strip():
                return
            self.blocks.append(_Block("#text"))
        self.blocks[-1].markup.append(html.escape(data, quote=False))
        self.blocks[-1].words.append(data)


@dataclass(frozen=True)
class Reading:
    """A page's opening as HTML and as text, and all its text."""

    opening: str
    opening_text: str
    text: str


def read(cleaned: str) -> Reading:
    """Cut and read ``cleaned``, the output of ``page_html.clean``."""
    parser = _Blocks()
    parser.feed(cleaned)
    parser.close()
    chosen = _opening(parser.blocks)
    return Reading(
        opening="\n".join(markup for markup, _ in chosen),
        opening_text="\n".join(text for _, text in chosen),
        text="\n".join(block.text for block in parser.blocks if block.text),
    )


def _opening(blocks: list[_Block]) -> list[tuple[str, str]]:
    """The first run of paragraphs before the first heading, at most three and about 1,200 characters.

    A page without any heading has not said where its opening ends: there it is at most a third of the text.
    """
    heading = next((at for at, block in enumerate(blocks) if block.has_heading), None)
    room = MOST_CHARACTERS if heading is not None else min(MOST_CHARACTERS, sum(len(b.text) for b in blocks) // 3)
    chosen: list[tuple[str, str]] = []
    for block in blocks[:heading]:
        if block.tag != "p":
            if chosen:
                break
            continue
        if len(block.text) > room or len(chosen) == MOST_PARAGRAPHS:
            if not chosen and heading is not None:
                chosen.append(_cut(block.text, room))
            break
        room -= len(block.text)
        chosen.append(("".join(block.markup), block.text))
    return chosen


def _cut(text: str, room: int) -> tuple[str, str]:
    """The beginning of a very long paragraph, as plain words up to the last whole one."""
    short = text[:room].rsplit(" ", 1)[0] + " …"
    return f"<p>{html.escape(short, quote=False)}</p>", short
