"""Text of a video: the description as HTML, its one-line summary, and the slug that is made from a title."""

from __future__ import annotations

import re
import secrets
import unicodedata
from functools import lru_cache

from markupsafe import Markup, escape

from church.services.pages import RenderError, render_fragment

SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
MAX_SLUG_LENGTH = 80
# Paths of the blueprint: a video must not be called like one of them.
_RESERVED = frozenset({"access", "stream", "progress", "resume", "assets", "poster", "captions", "thumbs", "chapters"})
_SUMMARY_LENGTH = 200
_SCANNED_LENGTH = 5 * _SUMMARY_LENGTH  # more than the summary, because markup is removed
_MARKUP = re.compile(r"!?\[([^\]]*)\]\([^)]*\)|<[^<>]*>|[*_`#>~|]+")


@lru_cache(maxsize=256)
def render_description(description: str) -> Markup:
    """Render a markdown description as HTML, or show it as plain text where rendering fails."""
    try:
        return render_fragment(description)
    except RenderError:
        return Markup("<p>{}</p>").format(escape(description))


def summarize(description: str) -> str:
    """Shorten a description to one line of plain text, cut at a word."""
    paragraph = next((part for part in description.split("\n\n") if part.strip()), "")
    return _shorten(paragraph[:_SCANNED_LENGTH])


@lru_cache(maxsize=2048)
def _shorten(text: str) -> str:
    """Strip markup and cut at a word. Cached: a list needs one summary a video, of up to a thousand videos."""
    line = " ".join(_MARKUP.sub(lambda match: match[1] or "", text).split())
    return line if len(line) <= _SUMMARY_LENGTH else line[:_SUMMARY_LENGTH].rsplit(" ", 1)[0] + " …"


def make_slug(title: str) -> str:
    """Make a slug from a title: ASCII letters and digits, with hyphens between words."""
    ascii_only = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    slug = "-".join(re.findall(r"[a-z0-9]+", ascii_only))[:MAX_SLUG_LENGTH].strip("-")
    return slug or f"video-{secrets.token_hex(3)}"


def is_valid_slug(text: str) -> bool:
    """Whether a video may have ``text`` as its slug."""
    return len(text) <= MAX_SLUG_LENGTH and SLUG.fullmatch(text) is not None and text not in _RESERVED
