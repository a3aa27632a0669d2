"""Name what the cleaner removes from a page, for its author."""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterable, Iterator

from church.services.pages.clean_html import is_kept_attribute, is_kept_scheme, is_kept_tag

MOST_NAMED = 10
"""Kinds of removed markup that are named; the rest is counted."""
_MOST_NAME = 40  # characters
_MOST_TAG = 4000  # characters; an unclosed quotation mark is not followed further
_TAG = re.compile(r"""<([A-Za-z][^\s/>]*+)((?:[^>"']|"[^"]*"|'[^']*')*+)>""")
_ATTRIBUTE = re.compile(r"""([^\s"'>/=]++)(?:\s*+=\s*+(?:"([^"]*)"|'([^']*)'|([^\s"'>]++)))?""")
_SCHEME = re.compile(r"[\s\x00-\x1f]*([a-zA-Z][a-zA-Z0-9+.-]*):")
_RAW_TEXT = ("script", "style", "textarea", "title", "iframe", "xmp", "noembed", "noframes")


def name_removed(author_html: Iterable[str], links: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """Name what is removed from the HTML that the author wrote, each with how often, the most frequent first.

    ``links`` are the tags and addresses of links and pictures in markdown; some lose their address.
    """
    removed: Counter[str] = Counter()
    for piece in author_html:
        for tag, attributes in _list_tags(piece):
            removed.update(_list_removed(tag, attributes))
    for tag, address in links:
        removed.update(_list_scheme(tag, address))
    named = removed.most_common(MOST_NAMED)
    rest = removed.total() - sum(count for _, count in named)
    texts = [f"{what}, {count} times" if count > 1 else what for what, count in named]
    return (*texts, f"and {rest} more") if rest else tuple(texts)


def _list_tags(markup: str) -> Iterator[tuple[str, str]]:
    """Yield name and attributes of each tag that begins an element.

    Python's HTMLParser would do, but its time grows with the square of what is not closed.
    """
    lower = markup.lower()
    at = markup.find("<")
    while at >= 0:
        if markup.startswith("<!--", at):
            end = markup.find("-->", at + 4)
            if end < 0:
                return
            at = markup.find("<", end)
        elif tag := _TAG.match(markup, at, at + _MOST_TAG):
            yield tag[1].lower(), tag[2]
            is_raw = tag[1].lower() in _RAW_TEXT
            at = lower.find(f"</{tag[1].lower()}", tag.end()) if is_raw else markup.find("<", tag.end())
        else:
            at = markup.find("<", at + 1)


def _list_removed(tag: str, attributes: str) -> Iterator[str]:
    if not is_kept_tag(tag):
        yield f"<{tag[:_MOST_NAME]}>"
        return
    for found in _ATTRIBUTE.finditer(attributes):
        name, value = found[1].lower(), html.unescape(found[2] or found[3] or found[4] or "")
        if not is_kept_attribute(tag, name, value):
            shown = f'class="{value[:_MOST_NAME]}"' if name == "class" else name[:_MOST_NAME]
            yield f"{shown} of <{tag}>"
        elif name in {"href", "src"}:
            yield from _list_scheme(tag, value)


def _list_scheme(tag: str, address: str) -> Iterator[str]:
    """Yield the scheme of an address, if it is not kept."""
    scheme = _SCHEME.match(address)
    if scheme is not None and not is_kept_scheme(scheme[1]):
        yield f"{scheme[1].lower()[:_MOST_NAME]}: in {'a picture' if tag == 'img' else 'a link'}"
