"""Read markdown text into a tree of blocks, as CommonMark 0.31.2 nests them (spec.commonmark.org, appendix A).

Python-Markdown's own parser cuts the text at blank lines first, so that code in lists and quotations falls apart.
This one goes through the text line by line, in time proportional to its length. Besides CommonMark's blocks it knows
tables, footnotes and admonitions.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from itertools import pairwise
from typing import ClassVar

MOST_NESTED = 40
"""Lists and quotations within each other. Marks beyond that are text."""

_CODE_INDENT = 4


class Kind(Enum):
    """The kinds of blocks."""

    DOCUMENT = "document"
    QUOTE = "quote"
    LIST = "list"
    ITEM = "item"
    ADMONITION = "admonition"
    FOOTNOTE = "footnote"
    HEADING = "heading"
    RULE = "rule"
    CODE = "code"
    FENCE = "fence"
    HTML = "html"
    TABLE = "table"
    PARAGRAPH = "paragraph"


_CONTAINERS = {Kind.DOCUMENT, Kind.QUOTE, Kind.LIST, Kind.ITEM, Kind.ADMONITION, Kind.FOOTNOTE}
_VERBATIM = {Kind.CODE, Kind.FENCE, Kind.HTML, Kind.TABLE}
_TEXT = {Kind.PARAGRAPH, Kind.TABLE}


@dataclass(slots=True, eq=False)
class Block:
    """One block. ``start`` and ``end`` are line numbers; ``level`` is of headings, or the first number of a list."""

    kind: Kind
    start: int
    parent: Block | None = None
    children: list[Block] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    is_open: bool = True
    end: int = 0
    depth: int = 0
    level: int = 0
    mark: str = ""
    info: str = ""
    offset: int = 0
    ends_at: re.Pattern[str] | None = None

    @property
    def text(self) -> str:
        """The lines as one text."""
        return "\n".join(self.lines)

    @property
    def is_loose(self) -> bool:
        """Whether a list has a blank line between its items, or between the blocks of an item."""
        return any(
            after.start > before.end + 1
            for block in (self, *self.children)
            for before, after in pairwise(block.children)
        )


_ATX = re.compile(r"(#{1,6})(?:[ \t]+|$)")
_SETEXT = re.compile(r"(?:=+|-+)[ \t]*$")
_RULE = re.compile(r"(?:\*[ \t]*+){3,}+$|(?:_[ \t]*+){3,}+$|(?:-[ \t]*+){3,}+$")
_WHITE = re.compile(r"[ \t]*")
_FENCE = re.compile(r"(`{3,})([^`]*)$|(~{3,})(.*)$")
_FENCE_END = re.compile(r"(`{3,}|~{3,})[ \t]*$")
_LIST_MARK = re.compile(r"(?:[*+-]|[0-9]{1,9}[.)])(?=[ \t]|$)")
_FOOTNOTE = re.compile(r"\[\^([^\]]+)\]:")
_ADMONITION = re.compile(r"""!!! ?([\w-]+(?: +[\w-]+)*)(?: +"([^"]*)")?[ \t]*$""")
_DELIMITER_ROW = re.compile(r"[|: \t]*+-[|:\- \t]*+$")
_TAG_NAME = r"[A-Za-z][A-Za-z0-9-]*+"
_ATTRIBUTE = r"""\s++[a-zA-Z_:][\w.:-]*+(?:\s*+=\s*+(?:[^\s"'=<>`]++|'[^']*+'|"[^"]*+"))?+"""
_WHOLE_TAG = re.compile(rf"(?:<{_TAG_NAME}(?:{_ATTRIBUTE})*+\s*+/?>|</{_TAG_NAME}\s*+>)\s*$")
_BLOCK_TAGS = (
    "address article aside base basefont blockquote body caption center col colgroup dd details dialog dir div dl dt "
    "fieldset figcaption figure footer form frame frameset h1 h2 h3 h4 h5 h6 head header hr html iframe legend li link "
    "main menu menuitem nav noframes ol optgroup option p param search section summary table tbody td tfoot th thead "
    "title tr track ul"
)
# How a block of HTML begins, and the line that ends it (None: a blank line).
_HTML: tuple[tuple[re.Pattern[str], re.Pattern[str] | None], ...] = (
    (
        re.compile(r"<(?:script|pre|textarea|style)(?:\s|>|$)", re.IGNORECASE),
        re.compile(r"</(?:script|pre|textarea|style)>", re.IGNORECASE),
    ),
    (re.compile(r"<!--"), re.compile(r"-->")),
    (re.compile(r"<[?]"), re.compile(r"[?]>")),
    (re.compile(r"<![A-Za-z]"), re.compile(r">")),
    (re.compile(r"<!\[CDATA\["), re.compile(r"\]\]>")),
    (re.compile(rf"</?(?:{_BLOCK_TAGS.replace(' ', '|')})(?:\s|/?>|$)", re.IGNORECASE), None),
)

_Start = tuple["Callable[[BlockReader, Block, str], bool]", "Callable[[BlockReader], Block]"]
IsTable = Callable[[str, str], bool]
TakeReferences = Callable[[str], str]


class _Line:
    """One line, and how far it was read. A tab reaches to the next multiple of four columns."""

    __slots__ = ("_column", "_left_of_tab", "_seen", "offset", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.offset = 0
        self._column = 0
        self._left_of_tab = 0
        self._seen: tuple[int, int] | None = None

    @property
    def next(self) -> int:
        """Offset of the next character that is not white space."""
        return self._look()[0]

    @property
    def indent(self) -> int:
        """Columns of white space before it."""
        return self._look()[1]

    @property
    def rest(self) -> str:
        """What is left of the line after white space."""
        return self.text[self.next :]

    @property
    def is_blank(self) -> bool:
        """Whether only white space is left."""
        return self.next == len(self.text)

    def _look(self) -> tuple[int, int]:
        if self._seen is None:
            match = _WHITE.match(self.text, self.offset)
            end = match.end() if match else self.offset
            self._seen = end, self._width(end)
        return self._seen

    def _width(self, end: int) -> int:
        if "\t" not in self.text[self.offset : end]:
            return end - self.offset
        column = self._column
        for character in self.text[self.offset : end]:
            column += 4 - column % 4 if character == "\t" else 1
        return column - self._column

    def skip(self, count: int) -> None:
        """Go forward by ``count`` characters, none of them a tab."""
        self.offset += count
        self._column += count
        self._left_of_tab = 0
        self._seen = None

    def skip_space(self) -> None:
        """Go forward to the next character that is not white space."""
        end, indent = self._look()
        self.offset, self._column, self._left_of_tab = end, self._column + indent, 0
        self._seen = None

    def skip_columns(self, count: int) -> None:
        """Go forward by at most ``count`` columns of white space; a tab may be taken in part."""
        while count > 0 and self.text[self.offset : self.offset + 1] in {" ", "\t"}:
            wide = 4 - self._column % 4 if self.text[self.offset] == "\t" else 1
            taken = min(wide, count)
            count -= taken
            self._column += taken
            self._left_of_tab = wide - taken
            self.offset += taken == wide
        self._seen = None

    def take(self) -> str:
        """Return what is left, with the rest of a tab as blanks."""
        if self._left_of_tab:
            return " " * self._left_of_tab + self.text[self.offset + 1 :]
        return self.text[self.offset :]


class BlockReader:
    """Reads a text into blocks, once.

    ``is_table`` judges a line and the row of delimiters below it. ``take_references`` removes the definitions of links
    from the beginning of a paragraph.
    """

    def __init__(self, is_table: IsTable, take_references: TakeReferences, *, footnotes: bool = True) -> None:
        self._is_table = is_table
        self._take_references = take_references
        self._footnotes = footnotes
        self._document = self._tip = self._matched = Block(Kind.DOCUMENT, 0)
        self._number = 0
        self._line = _Line("")

    def read(self, text: str) -> Block:
        """Return the document of ``text``."""
        for self._number, line in enumerate(text.split("\n"), 1):
            self._line = _Line(line)
            self._read_line()
        while self._document.is_open:
            self._close_tip()
        return self._document

    def _read_line(self) -> None:
        container = self._match_open_blocks()
        if container is None:
            return
        self._matched = container
        before = self._tip
        started = False
        while container.kind not in _VERBATIM and (block := self._start_block(container)) is not None:
            container, started = block, True
            if container.kind not in _CONTAINERS:
                break
        is_unmatched = before is not self._matched
        if not started and is_unmatched and not self._line.is_blank and self._is_lazy():
            self._add_line(self._tip)
            return
        if not started:
            self._close_unmatched()
        self._take_rest(container)

    def _match_open_blocks(self) -> Block | None:
        """Return the innermost block that the line continues; None if the line ended a fence."""
        container = self._document
        while container.children and (child := container.children[-1]).is_open:
            goes_on = self._CONTINUES[child.kind](self, child)
            if goes_on is None:
                return None
            if not goes_on:
                break
            container = child
        return container

    def _is_lazy(self) -> bool:
        """Whether text without the marks of its blocks belongs to the open paragraph. In admonitions it does not."""
        if self._tip.kind is not Kind.PARAGRAPH:
            return False
        block = self._tip.parent
        while block is not None and block is not self._matched:
            if block.kind is Kind.ADMONITION:
                return False
            block = block.parent
        return True

    def _take_rest(self, container: Block) -> None:
        """Add what is left of the line to the block, or as the first line of a paragraph."""
        line = self._line
        if container.kind in _VERBATIM:
            if container.kind is Kind.FENCE and container.start == self._number:
                return
            self._add_line(container)
            if container.ends_at is not None and container.ends_at.search(container.lines[-1]):
                self._close_tip()
        elif not line.is_blank and container.kind is Kind.PARAGRAPH:
            self._add_line(container)
        elif not line.is_blank and container.kind in _CONTAINERS:
            self._add_line(self._add(Kind.PARAGRAPH))

    def _add_line(self, block: Block) -> None:
        if block.kind in _TEXT:
            self._line.skip_space()
        taken = self._line.take()
        block.lines.append(taken)
        if block.kind is not Kind.CODE or taken.strip():
            block.end = self._number

    # -- the tree -----------------------------------------------------------------------------------------------------

    def _add(self, kind: Kind) -> Block:
        """Add a block to the innermost open one that may hold it."""
        while self._tip.kind not in _CONTAINERS or (self._tip.kind is Kind.LIST) is not (kind is Kind.ITEM):
            self._close_tip()
        block = Block(kind, self._number, self._tip, end=self._number, depth=self._tip.depth + 1)
        self._tip.children.append(block)
        self._tip = block
        return block

    def _close_unmatched(self) -> None:
        while self._tip is not self._matched:
            self._close_tip()

    def _close_tip(self) -> None:
        block = self._tip
        block.is_open = False
        if block.kind is Kind.PARAGRAPH:
            self._drop_references(block)
        elif block.kind is Kind.CODE:
            while block.lines and not block.lines[-1].strip():
                block.lines.pop()
        if block.children:
            block.end = max(block.end, block.children[-1].end)
        self._tip = block.parent or block

    def _drop_references(self, paragraph: Block) -> None:
        if paragraph.lines and paragraph.lines[0].startswith("["):
            rest = self._take_references(paragraph.text)
            paragraph.lines = rest.split("\n") if rest.strip() else []

    # -- how blocks go on: None if the line was the end of the block --------------------------------------------------

    def _continue_quote(self, block: Block) -> bool:
        line = self._line
        if line.indent >= _CODE_INDENT or not line.rest.startswith(">"):
            return False
        line.skip_space()
        line.skip(1)
        line.skip_columns(1)
        block.end = self._number
        return True

    def _continue_indented(self, block: Block) -> bool:
        """Continue an item, a footnote, an admonition or code, whose content begins at column ``offset``."""
        line = self._line
        if line.is_blank:
            if block.kind is Kind.CODE:
                line.skip_columns(block.offset)
            else:
                line.skip_space()
            return block.kind is not Kind.ITEM or bool(block.children)
        if line.indent < block.offset:
            return False
        line.skip_columns(block.offset)
        return True

    def _continue_fence(self, block: Block) -> bool | None:
        line = self._line
        match = _FENCE_END.match(line.rest) if line.indent < _CODE_INDENT else None
        if match is not None and match[1].startswith(block.mark):
            block.end = self._number
            while block.is_open:
                self._close_tip()
            return None
        line.skip_columns(block.offset)
        return True

    def _continue_html(self, block: Block) -> bool:
        return block.ends_at is not None or not self._line.is_blank

    def _continue_table(self, block: Block) -> bool:
        return not self._line.is_blank and self._find_start(block) is None

    # -- how blocks start ---------------------------------------------------------------------------------------------

    def _start_block(self, container: Block) -> Block | None:
        start = self._find_start(container)
        if start is None:
            return None
        if self._matched is container:
            self._close_unmatched()
        return start(self)

    def _find_start(self, container: Block) -> Callable[[BlockReader], Block] | None:
        line = self._line
        if line.is_blank:
            return None
        if line.indent >= _CODE_INDENT:
            is_text = container.kind in _TEXT or self._tip.kind is Kind.PARAGRAPH
            return None if is_text else BlockReader._start_code
        rest = line.rest
        for applies, start in self._STARTS.get(rest[0], ()):
            if applies(self, container, rest):
                return start
        return None

    def _start_code(self) -> Block:
        self._line.skip_columns(_CODE_INDENT)
        block = self._add(Kind.CODE)
        block.offset = _CODE_INDENT
        return block

    def _start_quote(self) -> Block:
        block = self._add(Kind.QUOTE)
        self._continue_quote(block)
        return block

    def _start_heading(self) -> Block:
        block = self._add(Kind.HEADING)
        marks, _, text = self._line.rest.replace("\t", " ").partition(" ")
        text = text.strip()
        open_end = text.rstrip("#")
        if open_end != text and (not open_end or open_end.endswith(" ")):
            text = open_end.rstrip()
        block.level, block.lines = len(marks), [text]
        return block

    def _start_underlined_heading(self) -> Block:
        block = self._tip
        block.kind, block.level = Kind.HEADING, 1 if self._line.rest.startswith("=") else 2
        block.lines, block.end = [block.text.strip()], self._number
        block.is_open = False
        self._tip = block.parent or block
        return block

    def _start_rule(self) -> Block:
        return self._add(Kind.RULE)

    def _start_fence(self) -> Block:
        block = self._add(Kind.FENCE)
        if match := _FENCE.match(self._line.rest):
            block.mark = match[1] or match[3]
            block.info = (match[2] or match[4] or "").strip()
        block.offset = self._line.indent
        return block

    def _start_html(self) -> Block:
        block = self._add(Kind.HTML)
        rest = self._line.rest
        block.ends_at = next((end for begin, end in _HTML if begin.match(rest)), None)
        return block

    def _start_table(self) -> Block:
        paragraph = self._tip
        header = paragraph.lines.pop()
        paragraph.end = self._number - 2
        self._close_tip()
        if not paragraph.lines:
            self._tip.children.remove(paragraph)
        table = self._add(Kind.TABLE)
        table.start, table.lines = self._number - 1, [header]
        return table

    def _start_footnote(self) -> Block:
        block = self._add(Kind.FOOTNOTE)
        block.offset = _CODE_INDENT
        self._line.skip_space()
        if match := _FOOTNOTE.match(self._line.rest):
            block.info = match[1]
            self._line.skip(match.end())
            self._line.skip_space()
        return block

    def _start_admonition(self) -> Block:
        block = self._add(Kind.ADMONITION)
        block.offset = _CODE_INDENT
        if match := _ADMONITION.match(self._line.rest):
            block.mark = " ".join(match[1].lower().split())
            block.info = block.mark.split(" ", 1)[0].capitalize() if match[2] is None else match[2]
        self._line = _Line("")
        return block

    def _start_item(self) -> Block:
        line = self._line
        indent = line.indent
        match = _LIST_MARK.match(line.rest)
        mark = match[0] if match is not None else "-"
        line.skip_space()
        line.skip(len(mark))
        padding = 1 if line.is_blank or line.indent > _CODE_INDENT else line.indent
        line.skip_columns(padding)
        if self._tip.kind is not Kind.LIST or self._tip.mark != mark[-1]:
            block = self._add(Kind.LIST)
            block.mark, block.level = mark[-1], int(mark[:-1] or -1)
        item = self._add(Kind.ITEM)
        item.offset = indent + len(mark) + padding
        return item

    # -- whether they start -------------------------------------------------------------------------------------------

    def _may_nest(self, container: Block, _rest: str) -> bool:
        return container.depth < 2 * MOST_NESTED

    def _is_heading(self, _container: Block, rest: str) -> bool:
        return _ATX.match(rest) is not None

    def _is_underline(self, container: Block, rest: str) -> bool:
        if container.kind is not Kind.PARAGRAPH or not _SETEXT.match(rest):
            return False
        self._drop_references(container)
        return bool(container.lines)

    def _is_rule(self, _container: Block, rest: str) -> bool:
        return _RULE.match(rest) is not None

    def _is_fence(self, _container: Block, rest: str) -> bool:
        return _FENCE.match(rest) is not None

    def _is_html(self, container: Block, rest: str) -> bool:
        if any(begin.match(rest) for begin, _ in _HTML):
            return True
        is_text = container.kind in _TEXT or (self._tip is not self._matched and self._is_lazy())
        return not is_text and _WHOLE_TAG.match(rest) is not None

    def _is_delimiter_row(self, container: Block, rest: str) -> bool:
        if container.kind is not Kind.PARAGRAPH or not container.lines or not _DELIMITER_ROW.match(rest):
            return False
        return self._is_table(container.lines[-1], rest)

    def _is_footnote(self, container: Block, rest: str) -> bool:
        return self._footnotes and self._may_nest(container, rest) and _FOOTNOTE.match(rest) is not None

    def _is_admonition(self, container: Block, rest: str) -> bool:
        return self._may_nest(container, rest) and _ADMONITION.match(rest) is not None

    def _is_item(self, container: Block, rest: str) -> bool:
        """Whether a list item begins. Within text only what is surely one: not empty, and no number except 1."""
        match = _LIST_MARK.match(rest) if self._may_nest(container, rest) else None
        if match is None or container.kind not in _TEXT:
            return match is not None
        return match[0][:-1] in {"", "1"} and bool(rest[match.end() :].strip())

    _CONTINUES: ClassVar[dict[Kind, Callable[[BlockReader, Block], bool | None]]] = {
        Kind.QUOTE: _continue_quote,
        Kind.LIST: lambda _self, _block: True,
        Kind.ITEM: _continue_indented,
        Kind.ADMONITION: _continue_indented,
        Kind.FOOTNOTE: _continue_indented,
        Kind.CODE: _continue_indented,
        Kind.FENCE: _continue_fence,
        Kind.HTML: _continue_html,
        Kind.TABLE: _continue_table,
        Kind.PARAGRAPH: lambda self, _block: not self._line.is_blank,
        Kind.HEADING: lambda _self, _block: False,
        Kind.RULE: lambda _self, _block: False,
    }
    # By the first character of the line, in order.
    _RULE_OR_ITEM: ClassVar[tuple[_Start, ...]] = ((_is_rule, _start_rule), (_is_item, _start_item))
    _STARTS: ClassVar[dict[str, tuple[_Start, ...]]] = {
        ">": ((_may_nest, _start_quote),),
        "#": ((_is_heading, _start_heading),),
        "`": ((_is_fence, _start_fence),),
        "~": ((_is_fence, _start_fence),),
        "<": ((_is_html, _start_html),),
        "[": ((_is_footnote, _start_footnote),),
        "!": ((_is_admonition, _start_admonition),),
        "=": ((_is_underline, _start_underlined_heading),),
        "|": ((_is_delimiter_row, _start_table),),
        ":": ((_is_delimiter_row, _start_table),),
        "_": ((_is_rule, _start_rule),),
        "*": _RULE_OR_ITEM,
        "+": ((_is_item, _start_item),),
        "-": (
            (_is_delimiter_row, _start_table),
            (_is_underline, _start_underlined_heading),
            *_RULE_OR_ITEM,
        ),
        **dict.fromkeys("0123456789", ((_is_item, _start_item),)),
    }
