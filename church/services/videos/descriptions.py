"""What is written about a video: its description on the page and in a line, and the address that a title makes."""

from __future__ import annotations

import re
import secrets
import unicodedata
from functools import lru_cache

from markupsafe import Markup, escape

from church.lib.threads import off_hub
from church.services.pages.render import RenderError, render_fragment

SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
LONGEST_SLUG = 80
# Paths of the blueprint itself: a video of such a name would look like one of them.
_TAKEN = frozenset({"access", "stream", "progress", "resume", "assets", "poster", "captions", "thumbs", "chapters"})
_SUMMARY = 200
_LOOKED_AT = 5 * _SUMMARY  # characters: markup takes room, too
_MARKUP = re.compile(r"!?\[([^\]]*)\]\([^)]*\)|<[^<>]*>|[*_`#>~|]+")


@lru_cache(maxsize=256)
def described(description: str) -> Markup:
    """A description, written in markdown, as HTML; one that can't be rendered is shown as it was written."""
    try:
        return off_hub(render_fragment, description)
    except RenderError:
        return Markup("<p>{}</p>").format(escape(description))


def summary(description: str) -> str:
    """The beginning of a description as text of one line, cut at a word."""
    first = next((part for part in description.split("\n\n") if part.strip()), "")
    return _in_a_line(first[:_LOOKED_AT])


@lru_cache(maxsize=2048)
def _in_a_line(text: str) -> str:
    """Kept, since a list makes one for each of its videos, which may be a thousand."""
    words = " ".join(_MARKUP.sub(lambda found: found[1] or "", text).split())
    return words if len(words) <= _SUMMARY else words[:_SUMMARY].rsplit(" ", 1)[0] + " …"


def slug_of(title: str) -> str:
    """An address made of a title: ASCII letters and digits with hyphens between words."""
    ascii_only = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    made = "-".join(re.findall(r"[a-z0-9]+", ascii_only))[:LONGEST_SLUG].strip("-")
    return made or f"video-{secrets.token_hex(3)}"


def is_slug(text: str) -> bool:
    """Whether a video may have ``text`` as its address."""
    return len(text) <= LONGEST_SLUG and SLUG.fullmatch(text) is not None and text not in _TAKEN
