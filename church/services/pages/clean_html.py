"""What HTML a page may have: everything else that markdown lets through is cleaned away."""

from __future__ import annotations

import re

import nh3
from pygments.token import STANDARD_TYPES

# Ids that the templates use themselves; a heading of the same name would be a second element with that id.
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
_EXTERNAL_REL = ' rel="noopener noreferrer"'
# nh3 writes attributes with double quotes and escapes quotes inside: what looks like a tag here is one.
_OWN_LINK = re.compile(rf'(<a (?:[^<>]* )?href="(?!\w+:|[/\\]{{2}})[^"<>]*"[^<>]*?){_EXTERNAL_REL}')
_ID = {"li": re.compile(r"fn:\S+"), "sup": re.compile(r"fnref\d*:\S+")}
_ANY_ID = re.compile(r"[\w:.-]+")


def _keep(tag: str, name: str, value: str) -> str | None:
    """Ids only where the table of contents and the footnotes need them, and never one of the templates'."""
    if name != "id":
        return value
    return value if _ID.get(tag, _ANY_ID).fullmatch(value) and value not in RESERVED_IDS else None


_CLEANER = nh3.Cleaner(
    tags=HEADINGS | VOID | _INLINE | _MORE_INLINE | _BLOCKS | _LISTS | _TABLES,
    attributes={
        "a": {"href", "title"},
        "abbr": {"title"},
        "details": {"open"},
        "img": {"src", "alt", "title", "width", "height"},
        "ol": {"start"},
        "td": {"colspan", "rowspan"},
        "th": {"colspan", "rowspan", "scope"},
        **{tag: {"id"} for tag in HEADINGS | {"li", "sup"}},
    },
    attribute_filter=_keep,
    tag_attribute_values={"td": _ALIGN, "th": _ALIGN},
    # A block that scrolls sideways must be reachable by keyboard (WCAG 2.1.1).
    set_tag_attribute_values={"pre": {"tabindex": "0"}, "table": {"tabindex": "0"}},
    allowed_classes={
        "a": {"footnote-ref", "footnote-backref"},
        "div": {"codehilite", "footnote", "admonition"} | _KINDS | _WARNING_KINDS,
        "p": {"admonition-title"},
        "span": {name for name in STANDARD_TYPES.values() if name} | {"hll"},
    },
    url_schemes={"http", "https", "mailto"},
    link_rel=_EXTERNAL_REL.split('"')[1],
)


def clean(rendered: str) -> str:
    """``rendered`` with only the elements, attributes, classes and link schemes that a page may have.

    Links that leave the site are ``noopener noreferrer``; the site's own links are left alone.
    """
    return _OWN_LINK.sub(r"\1", _CLEANER.clean(rendered))
