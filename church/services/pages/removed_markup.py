"""Name what the cleaner removes from a page, for its author."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from html.parser import HTMLParser

from church.services.pages.clean_html import is_kept_attribute, is_kept_scheme, is_kept_tag

MOST_NAMED = 10
"""Kinds of removed markup that are named; the rest is counted."""
_MOST_NAME = 40  # characters
_ADDRESS = re.compile(r' (href|src)="[\s\x00-\x1f]*([a-zA-Z][a-zA-Z0-9+.-]*):')


def name_removed(author_html: Iterable[str], rendered: str) -> tuple[str, ...]:
    """Name what is removed from the HTML that the author wrote, and the links in ``rendered`` that lose their address.

    Each with how often, the most frequent first.
    """
    counter = _Counter()
    for piece in author_html:
        counter.feed(piece)
        counter.close()
        counter.reset()
    for kind, scheme in _ADDRESS.findall(rendered):
        if not is_kept_scheme(scheme):
            counter.removed[f"{scheme.lower()[:_MOST_NAME]}: in {'a link' if kind == 'href' else 'a picture'}"] += 1
    named = counter.removed.most_common(MOST_NAMED)
    rest = counter.removed.total() - sum(count for _, count in named)
    texts = [f"{what}, {count} times" if count > 1 else what for what, count in named]
    return (*texts, f"and {rest} more") if rest else tuple(texts)


class _Counter(HTMLParser):
    """Counts what is removed. Comments are meant to be invisible, and end tags go with their beginning."""

    def __init__(self) -> None:
        super().__init__()
        self.removed: Counter[str] = Counter()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Count a tag, or else its attributes."""
        if not is_kept_tag(tag):
            self.removed[f"<{tag[:_MOST_NAME]}>"] += 1
            return
        for name, value in attrs:
            if not is_kept_attribute(tag, name, value or ""):
                shown = f'class="{(value or "")[:_MOST_NAME]}"' if name == "class" else name[:_MOST_NAME]
                self.removed[f"{shown} of <{tag}>"] += 1
