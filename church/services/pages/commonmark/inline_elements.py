"""Inline markdown as elements: emphasis, links, pictures, code, as CommonMark 0.31.2 reads them (appendix A).

Takes the place of Python-Markdown's patterns, whose time grows with the square of the text. Besides CommonMark's rules
it knows footnotes, ``~~deleted~~``, bare addresses, and blanks in the address of a link.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from xml.etree import ElementTree as ET

from markdown import Markdown, util
from markdown.treeprocessors import Treeprocessor

from church.services.pages.commonmark.footnotes import Footnotes
from church.services.pages.commonmark.link_definitions import fold_label, unescape

_MOST_DEPTH = 40  # emphasis within emphasis; marks beyond that are left out
_MOST_TAG = 4000  # characters of a tag or the address of a link, so that unclosed ones take no time
_MOST_LABEL = 1001  # with the brackets
_MOST_REPEATED = 1_000_000  # characters of link definitions in a document, each counted as often as it is used

_PLAIN = re.compile(r"[^\n\\`*_~\[\]!<&:]+")
_TICKS = re.compile(r"`+")
_PUNCTUATION = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_AUTOLINK = re.compile(r"<([A-Za-z][A-Za-z0-9.+-]{1,31}:[^<>\x00-\x20]*)>")
_AUTOMAIL = re.compile(r"<([a-zA-Z0-9.!#$%&'*+/=?^_`{|}~-]+@[a-zA-Z0-9][a-zA-Z0-9-]*(?:\.[a-zA-Z0-9][a-zA-Z0-9-]*)*)>")
_ATTRIBUTE = r"""\s++[a-zA-Z_:][\w.:-]*+(?:\s*+=\s*+(?:[^\s"'=<>`]++|'[^']*+'|"[^"]*+"))?+"""
_TAG = re.compile(rf"<[A-Za-z][A-Za-z0-9-]*+(?:{_ATTRIBUTE})*+\s*+/?>|</[A-Za-z][A-Za-z0-9-]*+\s*+>")
_TAG_LIKE = (("<!-->", ">"), ("<!--->", ">"), ("<!--", "-->"), ("<?", "?>"), ("<![CDATA[", "]]>"), ("<!", ">"))
_NOTE = re.compile(r"\[\^([^\]]*)\]")
_LABEL = re.compile(r"\[((?:[^\[\]\\]|\\.)*+)\]", re.DOTALL)
_TITLE = r"""[ \t\n]++("(?:[^"\\]|\\.)*+"|'(?:[^'\\]|\\.)*+'|\((?:[^()\\]|\\.)*+\))"""
_AFTER_TARGET = re.compile(rf"(?:{_TITLE})?+[ \t\n]*+\)", re.DOTALL)
_BRACKETED_TARGET = re.compile(r"<((?:[^<>\n\\]|\\.)*+)>")
_TARGET_PART = re.compile(r"(?:[^ ()\\\x00-\x1f]|\\[!-/:-@\[-`{-~]|\\)+")
_MOST_PARENTHESES = 32
_TARGET_WITH_BLANKS = re.compile(r"""\([ \t]*+([^\n()<>"']+?)(?:[ \t]++("[^"\n]*+"|'[^'\n]*+'))?[ \t]*+\)""")
_BARE_ADDRESS = re.compile(r"https?://[^\s<]+")
_ENDS_SENTENCE = frozenset("?!.,:*_~'\"")
_LAST_ENTITY = re.compile(r"&[A-Za-z0-9]{1,31};$")
_MOST_ENTITY = 33
_BEFORE_ADDRESS = re.compile(r"(?:^|[\s*_~(\"'])(https?)$")


@dataclass(slots=True, eq=False)
class _Delimiter:
    """A run of ``*``, ``_`` or ``~``. What is left of it is text between the tags that it closes and opens."""

    number: int
    mark: str
    length: int
    opens: bool
    closes: bool
    before: _Delimiter | None
    after: _Delimiter | None = None
    left: int = 0
    closed: int = 0
    opened: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Bracket:
    """An opening bracket: where it is in the text and among the pieces, and the last delimiter before it."""

    piece: int
    position: int
    is_image: bool
    delimiter: _Delimiter | None
    has_bracket_after: bool = False


class _References:
    """The link definitions of a document. A long one that is used often does not fill the memory: it is text then."""

    def __init__(self, definitions: Mapping[str, tuple[str, str]]) -> None:
        self._definitions = definitions
        self._left = _MOST_REPEATED

    def find(self, label: str) -> tuple[str, str] | None:
        """Return address and title of the definition of ``label``."""
        found = self._definitions.get(fold_label(label))
        if found is None:
            return None
        self._left -= len(found[0]) + len(found[1])
        return found if self._left >= 0 else None


_Piece = str | ET.Element | _Delimiter
KeepHtml = Callable[[str], ET.Element]


class InlineElements(Treeprocessor):
    """Replaces markdown in the text of all elements. ``keep_html`` makes an element that holds the place of HTML."""

    def __init__(self, md: Markdown, keep_html: KeepHtml) -> None:
        super().__init__(md)
        self._keep_html = keep_html
        self._references = _References({})
        self.links: list[tuple[str, str]] = []
        """Tags and addresses of the links and pictures in the document."""
        self._notes = next((each for each in md.registeredExtensions if isinstance(each, Footnotes)), None)

    def run(self, root: ET.Element) -> None:
        """Go through the tree of a document, once its blocks are known."""
        self._references = _References(self.md.references)
        for parent in list(root.iter()):
            for child in list(parent):
                if _is_markdown(child.tail):
                    self._replace_tail(parent, child)
            if _is_markdown(parent.text):
                holder = self._read(parent.text)
                parent.text = holder.text
                parent[:0] = list(holder)
        self.links = [
            (element.tag, element.get("href") or element.get("src") or "")
            for element in root.iter()
            if element.tag in {"a", "img"}
        ]

    def _replace_tail(self, parent: ET.Element, child: ET.Element) -> None:
        """Read the text after ``child``: a paragraph in an item of a tight list."""
        holder = self._read(child.tail)
        child.tail = holder.text
        at = list(parent).index(child) + 1
        parent[at:at] = list(holder)

    def _read(self, text: str | None) -> ET.Element:
        return _InlineReader(text or "", self._references, self._keep_html, self._notes).read()


def _is_markdown(text: str | None) -> bool:
    return bool(text) and not isinstance(text, util.AtomicString)


class _InlineReader:
    """Reads one text."""

    def __init__(self, text: str, references: _References, keep_html: KeepHtml, notes: Footnotes | None) -> None:
        self._references = references
        self._keep_html = keep_html
        self._notes = notes
        self._text = text
        self._at = 0
        self._pieces: list[_Piece] = []
        self._brackets: list[_Bracket] = []
        self._no_links_below = 0  # brackets below this one cannot begin a link: one is in them already
        self._last_delimiter: _Delimiter | None = None
        self._ticks: dict[int, list[int]] | None = None
        self._found: dict[str, int] = {}

    def read(self) -> ET.Element:
        text, size = self._text, len(self._text)
        readers = {
            "\n": self._read_newline,
            "\\": self._read_backslash,
            "`": self._read_code,
            "*": self._read_delimiter,
            "_": self._read_delimiter,
            "~": self._read_delimiter,
            "[": self._read_open,
            "]": self._read_close,
            "!": self._read_exclamation,
            "<": self._read_less,
            "&": self._read_entity,
            ":": self._read_colon,
        }
        while self._at < size:
            if plain := _PLAIN.match(text, self._at):
                self._pieces.append(plain[0])
                self._at = plain.end()
            else:
                readers[text[self._at]]()
        self._pair_delimiters(None)
        return _assemble(self._pieces, "span")

    def _add(self, piece: _Piece, end: int) -> None:
        self._pieces.append(piece)
        self._at = end

    # -- line ends, escapes, entities, code ---------------------------------------------------------------------------

    def _read_newline(self) -> None:
        before = self._pieces[-1] if self._pieces else ""
        if isinstance(before, str):
            self._pieces[-1:] = [before.rstrip(" ")]
        is_break = isinstance(before, str) and before.endswith("  ")
        self._add(ET.Element("br") if is_break else "\n", self._at + 1)

    def _read_backslash(self) -> None:
        following = self._text[self._at + 1 : self._at + 2]
        if following == "\n":
            self._add(ET.Element("br"), self._at + 2)
        elif following in _PUNCTUATION and following:
            self._add(following, self._at + 2)
        else:
            self._add("\\", self._at + 1)

    def _read_entity(self) -> None:
        match = _ENTITY.match(self._text, self._at)
        self._add(unescape(match[0]) if match else "&", match.end() if match else self._at + 1)

    def _read_code(self) -> None:
        start = _TICKS.match(self._text, self._at)
        assert start is not None  # noqa: S101 - it was seen
        end = self._next_ticks(len(start[0]), start.end())
        if end is None:
            self._add(start[0], start.end())
            return
        code = self._text[start.end() : end].replace("\n", " ")
        if len(code) > 1 and code[0] == code[-1] == " " and code.strip(" "):
            code = code[1:-1]
        element = ET.Element("code")
        element.text = _amp(code)
        self._add(element, end + len(start[0]))

    def _next_ticks(self, count: int, start: int) -> int | None:
        """Find the next run of exactly ``count`` backticks."""
        if self._ticks is None:
            self._ticks = {}
            for match in _TICKS.finditer(self._text):
                self._ticks.setdefault(len(match[0]), []).append(match.start())
        places = self._ticks.get(count, [])
        at = bisect_left(places, start)
        return places[at] if at < len(places) else None

    # -- tags and addresses -------------------------------------------------------------------------------------------

    def _read_less(self) -> None:
        text, at = self._text, self._at
        if link := _AUTOLINK.match(text, at):
            self._add(_link(link[1], link[1]), link.end())
        elif mail := _AUTOMAIL.match(text, at):
            self._add(_link(f"mailto:{mail[1]}", mail[1]), mail.end())
        elif (end := self._end_of_tag()) is not None:
            self._add(self._keep_html(text[at:end]), end)
        else:
            self._add("<", at + 1)

    def _end_of_tag(self) -> int | None:
        text, at = self._text, self._at
        if match := _TAG.match(text, at, at + _MOST_TAG):
            return match.end()
        for begin, end in _TAG_LIKE:
            if text.startswith(begin, at) and (begin != "<!" or text[at + 2 : at + 3].isalpha()):
                found = at + len(begin) - 1 if end == ">" and begin != "<!" else self._find(end, at + len(begin))
                return found + len(end) if found >= 0 else None
        return None

    def _find(self, what: str, start: int) -> int:
        """Find like ``str.find``, and remember it: many beginnings without an end take no more time than one."""
        found = self._found.get(what, start - 1)
        if (found != -1 and found < start) or what not in self._found:
            found = self._found[what] = self._text.find(what, start)
        return found

    def _read_colon(self) -> None:
        """Make a link of an address that begins just before the colon, outside of other links."""
        text, at = self._text, self._at
        scheme = _BEFORE_ADDRESS.search(text[max(0, at - 6) : at]) if text.startswith("://", at) else None
        last = self._pieces[-1] if self._pieces else None
        if scheme is None or self._brackets or not isinstance(last, str) or not last.endswith(scheme[1]):
            self._add(":", at + 1)
            return
        match = _BARE_ADDRESS.match(text, at - len(scheme[1]))
        address = _trim_address(match[0]) if match else ""
        if len(address) <= len(scheme[1]) + 3:
            self._add(":", at + 1)
            return
        self._pieces[-1] = last[: -len(scheme[1])]
        self._add(_link(unescape(address), unescape(address)), at - len(scheme[1]) + len(address))

    # -- emphasis -----------------------------------------------------------------------------------------------------

    def _read_delimiter(self) -> None:
        text, start = self._text, self._at
        mark = text[start]
        end = start
        while end < len(text) and text[end] == mark:
            end += 1
        if mark == "~" and end - start != 2:
            self._add(text[start:end], end)
            return
        left, right, before_is_mark, after_is_mark = _flanks(text[start - 1 : start], text[end : end + 1])
        opens = left and (mark != "_" or not right or before_is_mark)
        closes = right and (mark != "_" or not left or after_is_mark)
        length = end - start
        delimiter = _Delimiter(len(self._pieces), mark, length, opens, closes, self._last_delimiter, left=length)
        if self._last_delimiter is not None:
            self._last_delimiter.after = delimiter
        self._last_delimiter = delimiter
        self._add(delimiter, end)

    def _pair_delimiters(self, bottom: _Delimiter | None) -> None:
        """Pair the delimiters after ``bottom``, and forget them."""
        bottoms: dict[tuple[str, bool, int], int] = {}  # there is no opener before these
        closer = self._first_after(bottom)
        while closer is not None:
            if not closer.closes:
                closer = closer.after
                continue
            key = (closer.mark, closer.opens, closer.length % 3)
            opener = _find_opener(closer, bottom, bottoms.get(key, 0))
            if opener is None:
                bottoms[key] = closer.number
                after = closer.after
                if not closer.opens:
                    self._forget(closer)
                closer = after
            else:
                closer = self._pair(opener, closer)
        while self._last_delimiter is not bottom and self._last_delimiter is not None:
            self._forget(self._last_delimiter)

    def _first_after(self, bottom: _Delimiter | None) -> _Delimiter | None:
        first = self._last_delimiter if self._last_delimiter is not bottom else None
        while first is not None and first.before is not bottom:
            first = first.before
        return first

    def _pair(self, opener: _Delimiter, closer: _Delimiter) -> _Delimiter | None:
        """Make the text between two delimiters emphasised. Returns the next one to close something."""
        used = 2 if opener.left >= 2 and closer.left >= 2 else 1
        tag = "del" if opener.mark == "~" else ("strong" if used == 2 else "em")
        opener.left -= used
        closer.left -= used
        opener.opened.append(tag)
        closer.closed += 1
        opener.after, closer.before = closer, opener
        if not opener.left:
            self._forget(opener)
        if closer.left:
            return closer
        after = closer.after
        self._forget(closer)
        return after

    def _forget(self, delimiter: _Delimiter) -> None:
        if delimiter.before is not None:
            delimiter.before.after = delimiter.after
        if delimiter.after is not None:
            delimiter.after.before = delimiter.before
        else:
            self._last_delimiter = delimiter.before

    # -- links, pictures, footnotes -----------------------------------------------------------------------------------

    def _read_exclamation(self) -> None:
        if self._text.startswith("![", self._at):
            self._open_bracket("![", is_image=True)
        else:
            self._add("!", self._at + 1)

    def _read_open(self) -> None:
        if self._text.startswith("[^", self._at) and (note := self._footnote()) is not None:
            self._add(*note)
        else:
            self._open_bracket("[", is_image=False)

    def _footnote(self) -> tuple[ET.Element, int] | None:
        if self._notes is None:
            return None
        match = _NOTE.match(self._text, self._at, self._at + _MOST_LABEL)
        element = self._notes.refer(match[1]) if match else None
        return (element, match.end()) if match and element is not None else None

    def _open_bracket(self, mark: str, *, is_image: bool) -> None:
        if self._brackets:
            self._brackets[-1].has_bracket_after = True
        end = self._at + len(mark)
        self._brackets.append(_Bracket(len(self._pieces), end, is_image, self._last_delimiter))
        self._add(mark, end)

    def _read_close(self) -> None:
        close = self._at
        if not self._brackets:
            self._add("]", close + 1)
            return
        opener = self._brackets.pop()
        may_link = opener.is_image or len(self._brackets) >= self._no_links_below
        self._no_links_below = min(self._no_links_below, len(self._brackets))
        target = self._target(opener, close) if may_link else None
        if target is None:
            self._add("]", close + 1)
            return
        address, title, end = target
        self._pair_delimiters(opener.delimiter)
        inner = self._pieces[opener.piece + 1 :]
        del self._pieces[opener.piece :]
        if not opener.is_image:
            self._no_links_below = len(self._brackets)
        self._add(_picture(inner, address, title) if opener.is_image else _titled_link(inner, address, title), end)

    def _target(self, opener: _Bracket, close: int) -> tuple[str, str, int] | None:
        """Return address, title and end of the link whose text ends at ``close``."""
        return self._inline_target(close + 1) or self._reference(opener, close) or self._target_with_blanks(close + 1)

    def _inline_target(self, start: int) -> tuple[str, str, int] | None:
        text, most = self._text, start + _MOST_TAG
        if not text.startswith("(", start):
            return None
        at = start + 1
        while text[at : at + 1] in {" ", "\t", "\n"} and at < most:
            at += 1
        if bracketed := _BRACKETED_TARGET.match(text, at, most):
            target, at = bracketed[1], bracketed.end()
        elif text[at : at + 1] == "<":
            return None
        else:
            begin, at = at, _end_of_target(text, at, most)
            target = text[begin:at]
        end = _AFTER_TARGET.match(text, at, most)
        if end is None:
            return None
        return unescape(target), unescape(end[1][1:-1]) if end[1] else "", end.end()

    def _target_with_blanks(self, start: int) -> tuple[str, str, int] | None:
        match = _TARGET_WITH_BLANKS.match(self._text, start, start + _MOST_TAG)
        if match is None:
            return None
        return unescape(match[1]), unescape(match[2][1:-1]) if match[2] else "", match.end()

    def _reference(self, opener: _Bracket, close: int) -> tuple[str, str, int] | None:
        label = _LABEL.match(self._text, close + 1, close + 1 + _MOST_LABEL)
        end = label.end() if label else close + 1
        if label is not None and label[1]:
            name = label[1]
        elif opener.has_bracket_after or close - opener.position > _MOST_LABEL:
            return None
        else:
            name = self._text[opener.position : close]
        found = self._references.find(name)
        return (*found, end) if found is not None else None


def _flanks(before: str, after: str) -> tuple[bool, bool, bool, bool]:
    """Whether a run is left-flanking and right-flanking, and whether punctuation is before and after it."""
    before, after = before or "\n", after or "\n"
    before_is_space, after_is_space = before.isspace(), after.isspace()
    before_is_mark, after_is_mark = _is_punctuation(before), _is_punctuation(after)
    left = not after_is_space and (not after_is_mark or before_is_space or before_is_mark)
    right = not before_is_space and (not before_is_mark or after_is_space or after_is_mark)
    return left, right, before_is_mark, after_is_mark


def _is_punctuation(character: str) -> bool:
    return character in _PUNCTUATION or (character > "\x7f" and unicodedata.category(character)[0] in "PS")


def _find_opener(closer: _Delimiter, bottom: _Delimiter | None, limit: int) -> _Delimiter | None:
    opener = closer.before
    while opener is not None and opener is not bottom and opener.number >= limit:
        if opener.mark == closer.mark and opener.opens:
            either_is_both = opener.closes or closer.opens
            is_odd = either_is_both and closer.length % 3 and not (opener.length + closer.length) % 3
            if not is_odd:
                return opener
        opener = opener.before
    return None


def _end_of_target(text: str, at: int, most: int) -> int:
    """Return where an address without angle brackets ends; its parentheses are in pairs."""
    depth = 0
    while at < most:
        if part := _TARGET_PART.match(text, at, most):
            at = part.end()
        elif text[at : at + 1] == "(" and depth < _MOST_PARENTHESES:
            depth += 1
            at += 1
        elif text[at : at + 1] == ")" and depth:
            depth -= 1
            at += 1
        else:
            break
    return at


def _trim_address(address: str) -> str:
    """Leave out what ends the sentence rather than the address: punctuation, and a bracket that is not of a pair."""
    end, unpaired = len(address), address.count(")") - address.count("(")
    while end:
        last = address[end - 1]
        if last in _ENDS_SENTENCE:
            end -= 1
        elif last == ")" and unpaired > 0:
            end, unpaired = end - 1, unpaired - 1
        elif last == ";" and (entity := _LAST_ENTITY.search(address, max(0, end - _MOST_ENTITY), end)):
            end = entity.start()
        else:
            break
    return address[:end]


def _amp(text: str) -> util.AtomicString:
    """Escape ampersands in a way that Python-Markdown's serializer leaves alone: it keeps what looks like an entity."""
    return util.AtomicString(text.replace("&", f"{util.AMP_SUBSTITUTE}amp;"))


def _link(address: str, text: str) -> ET.Element:
    element = ET.Element("a", {"href": _amp(address)})
    element.text = _amp(text)
    return element


def _titled_link(inner: list[_Piece], address: str, title: str) -> ET.Element:
    element = _assemble(inner, "a")
    element.set("href", _amp(address))
    if title:
        element.set("title", _amp(title))
    return element


def _picture(inner: list[_Piece], address: str, title: str) -> ET.Element:
    holder = _assemble(inner, "span")
    words = [holder.text or ""]
    for child in holder.iter():
        if child is not holder:
            words += [child.get("alt", ""), child.text or "", child.tail or ""]
    element = ET.Element("img", {"src": _amp(address), "alt": "".join(words)})
    if title:
        element.set("title", _amp(title))
    return element


def _assemble(pieces: list[_Piece], tag: str) -> ET.Element:
    """Build an element of pieces in order; delimiters open and close elements in it."""
    root = ET.Element(tag)
    stack = [root]
    skipped = 0
    texts: list[str] = []

    def flush() -> None:
        if texts:
            text = _amp("".join(texts))
            texts.clear()
            parent = stack[-1]
            if len(parent):
                parent[-1].tail = util.AtomicString((parent[-1].tail or "") + text)
            else:
                parent.text = util.AtomicString((parent.text or "") + text)

    for piece in pieces:
        if isinstance(piece, str):
            texts.append(piece)
        elif isinstance(piece, _Delimiter):
            for _ in range(piece.closed):
                if skipped:
                    skipped -= 1
                else:
                    flush()
                    stack.pop()
            texts.append(piece.mark * piece.left)
            for name in reversed(piece.opened):
                if len(stack) > _MOST_DEPTH:
                    skipped += 1
                else:
                    flush()
                    stack.append(ET.SubElement(stack[-1], name))
        else:
            flush()
            stack[-1].append(piece)
    flush()
    return root
