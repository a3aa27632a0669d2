"""Extract a page's plain text, and its opening for readers without access.

The opening consists of whole blocks of the rendered page, so it contains nothing of the text after them.
"""

from __future__ import annotations

import html
from dataclasses import dataclass, field
from html.parser import HTMLParser

from church.services.pages.clean_html import HEADINGS, VOID
from church.services.pages.pictures.files import ADDRESS

MOST_PARAGRAPHS = 3
MOST_CHARACTERS = 1200
_ENDS_LINE = HEADINGS | {"p", "li", "td", "th", "dt", "dd", "div", "pre", "summary", "figcaption"}


@dataclass
class _Block:
    """A top-level element: its markup, without the links and ids that work only in the whole page, and its text."""

    tag: str
    has_heading: bool = False
    markup: list[str] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return " ".join("".join(self.pieces).split())


class _Blocks(HTMLParser):
    """Splits cleaned HTML, which is well formed, into its top-level blocks."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.blocks: list[_Block] = []
        self._open: list[bool] = []  # for each open element: whether its tags are written
        self._silent = 0  # how many of them are left out with all their content

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open an element, without its id. Links to footnotes are left out, as the notes end the whole page."""
        if not self._open:
            self.blocks.append(_Block(tag))
        block = self.blocks[-1]
        block.has_heading |= tag in HEADINGS
        attributes = {name: value or "" for name, value in attrs}
        is_reference = tag == "sup" and "id" in attributes
        silent = bool(self._silent) or is_reference or attributes.get("class") == "footnote-backref"
        is_own_picture = tag == "img" and attributes.get("src", "").startswith(ADDRESS)  # only with the page's access
        written = not (silent or is_own_picture) and not attributes.get("href", "").startswith("#")
        if written:
            text = "".join(f' {name}="{html.escape(value)}"' for name, value in attributes.items() if name != "id")
            block.markup.append(f"<{tag}{text}>")
        if tag in VOID:
            block.pieces.append(" ")
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
            block.pieces.append("\n")

    def handle_data(self, data: str) -> None:
        """Add text; text outside any element is a block of its own."""
        if self._silent:
            return
        if not self._open:
            if not data.strip():
                return
            self.blocks.append(_Block("#text"))
        self.blocks[-1].markup.append(html.escape(data, quote=False))
        self.blocks[-1].pieces.append(data)


@dataclass(frozen=True)
class ExtractedText:
    """A page's opening as HTML and as text, and its whole text."""

    opening: str
    opening_text: str
    text: str


def extract_text(cleaned: str) -> ExtractedText:
    """Extract opening and text from ``cleaned``, the cleaned HTML of a page."""
    parser = _Blocks()
    parser.feed(cleaned)
    parser.close()
    chosen = _opening(parser.blocks)
    return ExtractedText(
        opening="\n".join(markup for markup, _ in chosen),
        opening_text="\n".join(text for _, text in chosen),
        text="\n".join(block.text for block in parser.blocks if block.text),
    )


def _opening(blocks: list[_Block]) -> list[tuple[str, str]]:
    """Choose the first run of paragraphs before the first heading, at most three and about 1,200 characters.

    In a page without headings, the opening is at most a third of the text.
    """
    heading = next((at for at, block in enumerate(blocks) if block.has_heading), None)
    remaining = MOST_CHARACTERS if heading is not None else min(MOST_CHARACTERS, sum(len(b.text) for b in blocks) // 3)
    chosen: list[tuple[str, str]] = []
    for block in blocks[:heading]:
        if block.tag != "p":
            if chosen:
                break
            continue
        if not block.text:  # a picture
            continue
        if len(block.text) > remaining or len(chosen) == MOST_PARAGRAPHS:
            if not chosen and heading is not None:
                chosen.append(_cut(block.text, remaining))
            break
        remaining -= len(block.text)
        chosen.append(("".join(block.markup), block.text))
    return chosen


def _cut(text: str, limit: int) -> tuple[str, str]:
    """Shorten a very long paragraph to plain text that ends with a whole word."""
    short = text[:limit].rsplit(" ", 1)[0] + " …"
    return f"<p>{html.escape(short, quote=False)}</p>", short
