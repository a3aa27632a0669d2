"""Clean the HTML of a rendered page: only listed elements, attributes, classes and link schemes are left."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import nh3

# Ids that the templates use themselves; a heading with such a name would be a second element with that id.
RESERVED_IDS = frozenset({"main", "toc-title", "way-in", "inside", "site-search", "page-search"})

HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
VOID = frozenset({"br", "hr", "img"})
_INLINE = {"a", "abbr", "b", "cite", "code", "del", "em", "i", "ins", "kbd", "mark", "q", "s", "samp", "small", "span"}
_MORE_INLINE = {"strong", "sub", "sup", "u", "var"}
_BLOCKS = {"blockquote", "details", "div", "figcaption", "figure", "p", "pre", "summary"}
_LISTS = {"dd", "dl", "dt", "li", "ol", "ul"}
_TABLES = {"caption", "table", "tbody", "td", "tfoot", "th", "thead", "tr"}
_ALIGN = {"align": {"left", "right", "center"}}
_KINDS = {"note", "tip", "hint", "info", "success", "question", "example", "quote"}
_WARNING_KINDS = {"important", "warning", "caution", "attention", "danger", "error"}
_ALWAYS_KEPT = {"lang", "title", "rel"}  # rel is written anew
_SCHEMES = {"http", "https", "mailto"}
_TAGS = HEADINGS | VOID | _INLINE | _MORE_INLINE | _BLOCKS | _LISTS | _TABLES
_ATTRIBUTES: dict[str, set[str]] = {
    "a": {"href", "title"},
    "abbr": {"title"},
    "details": {"open"},
    "img": {"src", "alt", "title", "width", "height"},
    "ol": {"start"},
    "td": {"colspan", "rowspan"},
    "th": {"colspan", "rowspan", "scope"},
    **{tag: {"id"} for tag in HEADINGS | {"li", "sup"}},
}
_EXTERNAL_REL = ' rel="noopener noreferrer"'
# nh3 writes attributes in double quotes and escapes quotes in them, so a match is always a real tag.
_OWN_LINK = re.compile(rf'(<a (?:[^<>]* )?href="(?!\w+:|[/\\]{{2}})[^"<>]*"[^<>]*?){_EXTERNAL_REL}')
_ID = {"li": re.compile(r"fn:\S+"), "sup": re.compile(r"fnref\d*:\S+")}
_ANY_ID = re.compile(r"[^\s<>\"'&]+")


def clean_markup(rendered: str) -> str:
    """Return ``rendered`` without everything that a page may not have.

    Links that leave the site get ``noopener noreferrer``; links within the site do not.
    """
    return _OWN_LINK.sub(r"\1", _cleaner().clean(rendered))


@cache
def _cleaner() -> nh3.Cleaner:
    import nh3  # noqa: PLC0415 - loaded when the first page is rendered

    return nh3.Cleaner(
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        attribute_filter=_filter_attribute,
        tag_attribute_values={"td": _ALIGN, "th": _ALIGN},
        # A block that scrolls sideways must be reachable by keyboard (WCAG 2.1.1).
        set_tag_attribute_values={"pre": {"tabindex": "0"}, "table": {"tabindex": "0"}},
        allowed_classes=_classes(),
        url_schemes=_SCHEMES,
        link_rel=_EXTERNAL_REL.split('"')[1],
    )


@cache
def _classes() -> dict[str, set[str]]:
    from pygments.token import STANDARD_TYPES  # noqa: PLC0415 - loaded when the first page is rendered

    return {
        "a": {"footnote-ref", "footnote-backref"},
        "div": {"codehilite", "footnote", "admonition"} | _KINDS | _WARNING_KINDS,
        "p": {"admonition-title"},
        "span": {name for name in STANDARD_TYPES.values() if name} | {"hll"},
    }


def is_kept_tag(tag: str) -> bool:
    """Whether a page may have elements of this kind."""
    return tag in _TAGS


def is_kept_attribute(tag: str, name: str, value: str) -> bool:
    """Whether an element that is kept may have this attribute."""
    if name == "class":
        return set(value.split()) <= _classes().get(tag, set())
    if name in _ALWAYS_KEPT:
        return True
    if name == "align" and tag in {"td", "th"}:
        return value in _ALIGN["align"]
    return name in _ATTRIBUTES.get(tag, ()) and _filter_attribute(tag, name, value) is not None


def is_kept_scheme(scheme: str) -> bool:
    """Whether links may have this scheme."""
    return scheme.lower() in _SCHEMES


def _filter_attribute(tag: str, name: str, value: str) -> str | None:
    """Keep ids only where the table of contents and the footnotes need them, and none that the templates use."""
    if name != "id":
        return value
    return value if _ID.get(tag, _ANY_ID).fullmatch(value) and value not in RESERVED_IDS else None
