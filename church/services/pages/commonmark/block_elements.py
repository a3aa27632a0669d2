"""Blocks as elements for Python-Markdown, in place of its own block parser.

Text in the elements is still markdown: Python-Markdown goes through it afterwards.
"""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree as ET

from markdown import Markdown
from markdown.blockparser import BlockParser
from markdown.extensions import Extension
from markdown.postprocessors import Postprocessor

from church.services.pages.commonmark.block_structure import Block, BlockReader, Kind
from church.services.pages.commonmark.footnotes import Footnotes
from church.services.pages.commonmark.highlight import Highlighter
from church.services.pages.commonmark.inline_elements import InlineElements
from church.services.pages.commonmark.link_definitions import take_definitions
from church.services.pages.commonmark.tables import Tables

_TASK = re.compile(r"\[([ xX])\][ \t]+(?=\S)")
_HTML_TAG = "church-html"
_HTML_ELEMENT = re.compile(rf'<{_HTML_TAG} n="(\d+)"></{_HTML_TAG}>')


class _Note(str):
    """The text of a footnote, with its blocks."""

    __slots__ = ("block",)
    block: Block


class BlockElements(BlockParser):
    """Parses documents for ``md`` into elements. HTML is kept aside until the end, see ``RestoreHtml``."""

    def __init__(self, md: Markdown, footnotes: Footnotes | None) -> None:
        super().__init__(md)
        self._footnotes = footnotes
        self._tables = Tables(self)
        self._highlighter = Highlighter()
        self.html: list[str] = []
        self.written: list[str] = []

    def parseDocument(self, lines: Any) -> Any:  # noqa: N802 - the name that Python-Markdown calls
        """Parse a whole document."""
        self.html.clear()
        self.written.clear()
        self._tables.forget()
        self.root = ET.Element(self.md.doc_tag)
        document = self._read("\n".join(lines))
        self._set_footnotes(document)
        self._build_all(document, self.root)
        return ET.ElementTree(self.root)

    def parseChunk(self, parent: ET.Element, text: str) -> None:  # noqa: N802 - as above
        """Parse text into ``parent``; the footnotes extension does so with each note at the end."""
        self._build_all(text.block if isinstance(text, _Note) else self._read(text), parent)

    def _read(self, text: str) -> Block:
        has_footnotes = self._footnotes is not None
        return BlockReader(self._is_table, self._take_definitions, footnotes=has_footnotes).read(text)

    def _set_footnotes(self, document: Block) -> None:
        """Store all footnotes, also those within others: none may be added once their list is made."""
        waiting = [document]
        while waiting:
            block = waiting.pop()
            waiting += reversed(block.children)
            if block.kind is Kind.FOOTNOTE and self._footnotes is not None:
                note = _Note(block.info)
                note.block = block
                self._footnotes.setFootnote(block.info, note)

    def _is_table(self, header: str, delimiters: str) -> bool:
        return self._tables.test(None, f"{header}\n{delimiters}")  # type: ignore[arg-type]  # it does not use the parent

    def _take_definitions(self, text: str) -> str:
        return take_definitions(text, self.md.references)

    # -- elements -----------------------------------------------------------------------------------------------------

    def _build_all(self, container: Block, parent: ET.Element) -> None:
        for block in container.children:
            self._build(block, parent)

    def _build(self, block: Block, parent: ET.Element) -> None:
        match block.kind:
            case Kind.PARAGRAPH:
                if block.lines:
                    ET.SubElement(parent, "p").text = _text(block)
            case Kind.HEADING:
                ET.SubElement(parent, f"h{block.level}").text = _text(block)
            case Kind.RULE:
                ET.SubElement(parent, "hr")
            case Kind.QUOTE:
                self._build_all(block, ET.SubElement(parent, "blockquote"))
            case Kind.LIST:
                self._build_list(block, parent)
            case Kind.CODE:
                parent.append(self.keep_html(self._highlighter.colour_indented(block.text)))
            case Kind.FENCE:
                parent.append(self.keep_html(self._highlighter.colour_fence(block.text, block.info)))
            case Kind.HTML:
                parent.append(self.keep_written_html(block.text + "\n"))
            case Kind.TABLE:
                self._build_table(block, parent)
            case Kind.ADMONITION:
                self._build_admonition(block, parent)

    def _build_list(self, block: Block, parent: ET.Element) -> None:
        is_numbered = block.mark in ".)"
        element = ET.SubElement(parent, "ol" if is_numbered else "ul")
        if is_numbered and block.level != 1:
            element.set("start", str(block.level))
        loose = block.is_loose
        for item in block.children:
            _mark_task(item)
            li = ET.SubElement(element, "li")
            if loose:
                self._build_all(item, li)
            else:
                self._build_tight(item, li)

    def _build_tight(self, item: Block, li: ET.Element) -> None:
        """Build an item whose paragraphs are plain text."""
        for block in item.children:
            if block.kind is not Kind.PARAGRAPH:
                self._build(block, li)
            elif len(li):
                li[-1].tail = "\n" + _text(block)
            else:
                li.text = _text(block)

    def _build_table(self, block: Block, parent: ET.Element) -> None:
        self._is_table(block.lines[0], block.lines[1])
        self._tables.run(parent, [block.text])
        for cell in parent[-1].iter():
            if cell.text:
                cell.text = cell.text.replace("\\|", "|")

    def _build_admonition(self, block: Block, parent: ET.Element) -> None:
        element = ET.SubElement(parent, "div", {"class": f"admonition {block.mark}"})
        if block.info:
            ET.SubElement(element, "p", {"class": "admonition-title"}).text = block.info
        self._build_all(block, element)

    def keep_written_html(self, markup: str) -> ET.Element:
        """Keep HTML that the author wrote."""
        self.written.append(markup)
        return self.keep_html(markup)

    def keep_html(self, markup: str) -> ET.Element:
        """Return an element that ``RestoreHtml`` replaces by ``markup``."""
        self.html.append(markup)
        return ET.Element(_HTML_TAG, {"n": str(len(self.html) - 1)})


class RestoreHtml(Postprocessor):
    """Puts blocks of HTML back where they were. In text, the element that keeps their place would be escaped."""

    def __init__(self, parser: BlockElements) -> None:
        self._parser = parser

    def run(self, text: str) -> str:
        """Return ``text`` with the blocks in it."""
        return _HTML_ELEMENT.sub(lambda match: self._parser.html[int(match[1])], text)


def _text(block: Block) -> str:
    return block.text.rstrip(" \t")


def _mark_task(item: Block) -> None:
    """Make ``[ ]`` and ``[x]`` at the beginning of an item a box that screen readers name."""
    first = item.children[0] if item.children else None
    if first is not None and first.kind is Kind.PARAGRAPH and first.lines and (task := _TASK.match(first.lines[0])):
        first.lines[0] = ("\u2610 " if task[1] == " " else "\u2611 ") + first.lines[0][task.end() :]


class CommonMark(Extension):
    """Makes Python-Markdown read CommonMark. In the list of extensions, footnotes come before it or are off."""

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802 - the name that Python-Markdown calls
        """Replace the parsers of blocks and of text."""
        footnotes = next((each for each in md.registeredExtensions if isinstance(each, Footnotes)), None)
        parser = md.parser = BlockElements(md, footnotes)
        if footnotes is not None:
            footnotes.parser = parser
        for name in ("normalize_whitespace", "html_block"):
            md.preprocessors.deregister(name)
        md.treeprocessors.deregister("inline")
        md.treeprocessors.register(InlineElements(md, parser.keep_written_html), "inline", 20)
        md.postprocessors.register(RestoreHtml(parser), "restore_html", 35)
