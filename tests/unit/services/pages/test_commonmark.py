"""All examples of CommonMark 0.31.2, each with what we decided: rendered as there, or otherwise for a reason.

The examples are in commonmark.json, under the license that is named there. Both sides are cleaned, since what the
cleaner removes is tested elsewhere; then they are compared as elements and text.
"""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from church.services.pages.clean_html import clean_markup
from church.services.pages.render import render_fragment

_BLANK_ENDS = "blank lines at the beginning and end of code are dropped, as they always were"
_BARE = "a bare address becomes a link, as on GitHub"
_BLANKS = "blanks in the address of a link are allowed, as files have them in their names"
OURS = {
    41: _BLANKS,
    127: _BLANK_ENDS,
    129: _BLANK_ENDS,
    318: _BLANK_ENDS,
    487: _BLANKS,
    607: _BARE,
    610: _BARE,
}
_DROPPED = {"tabindex", "rel", "id", "class"}


class _Events(HTMLParser):
    """Elements and text, without what does not matter: white space between blocks, marks of colour."""

    def __init__(self, markup: str) -> None:
        super().__init__(convert_charrefs=True)
        self.events: list[object] = []
        self._text = ""
        self._pre = False
        self.feed(markup)
        self.close()
        self._end_text()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in {"div", "span"}:
            return
        self._end_text()
        kept = sorted((name, unquote(value or "")) for name, value in attrs if name not in _DROPPED)
        self.events.append((tag, kept))
        self._pre |= tag == "pre"

    def handle_endtag(self, tag: str) -> None:
        if tag in {"div", "span"}:
            return
        self._end_text()
        self.events.append(f"/{tag}")
        self._pre &= tag != "pre"

    def handle_data(self, data: str) -> None:
        self._text += data

    def _end_text(self) -> None:
        text = self._text if self._pre else " ".join(self._text.replace("\xa0", "~").split())
        text = text.removesuffix("\n")  # code ends without a line end here
        if text.strip() or (self._pre and text):
            self.events.append(text)
        self._text = ""


def _examples() -> dict[str, list[tuple[int, str, str]]]:
    sections: dict[str, list[tuple[int, str, str]]] = {}
    for number, section, source, expected in json.loads(Path(__file__).with_name("commonmark.json").read_text())[
        "examples"
    ]:
        sections.setdefault(section, []).append((number, source, expected))
    return sections


_SECTIONS = _examples()


@pytest.mark.parametrize("section", _SECTIONS)
def test_commonmark_section_is_rendered_as_decided(section: str) -> None:
    different = {}
    for number, source, expected in _SECTIONS[section]:
        rendered = str(render_fragment(source.replace("\0", "\ufffd")))
        if _Events(rendered).events != _Events(clean_markup(expected.strip())).events:
            different[number] = rendered
    decided = {number for number, *_ in _SECTIONS[section]} & OURS.keys()
    assert different.keys() == decided, {number: different.get(number) for number in different.keys() ^ decided}
