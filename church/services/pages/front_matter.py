"""One markdown file: its front matter checked, its text kept.

A file that is wrong in any way is refused with its reason, never guessed at: a slip in ``access``
must not open a page.
"""

from __future__ import annotations

import datetime as dt
import math
import re
import reprlib
import unicodedata
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Annotated, Any

import yaml
from frontmatter.default_handlers import YAMLHandler
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from church.services.access import Access

MAX_BYTES = 256 * 1024  # about 40,000 words; longer pages would hold a pool thread for seconds
_MAX_HEADER = 8 * 1024
_WORDS_PER_MINUTE = 220
_LAST_SECOND = 253_402_300_799  # of the year 9999; file systems can say later, datetime cannot
_SEGMENT = re.compile(r"\w(?:[\w.-]*\w)?")
# What XML 1.0 cannot carry (section 2.2) has no place in a page either: the feed would not parse.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
_HEADER = YAMLHandler()


class InvalidPageError(Exception):
    """This file is not a page; the message says why, for the person who wrote it."""


@dataclass(frozen=True)
class Stamp:
    """What tells one state of a file from another."""

    path: str
    mtime_ns: int
    size: int


@dataclass(frozen=True)
class Page:
    """One page as written: what its front matter says, and its markdown."""

    stamp: Stamp
    slug: str
    title: str
    summary: str
    date: dt.date
    updated: dt.datetime
    access: Access
    tags: tuple[str, ...]
    draft: bool
    minutes: int
    source: str = field(repr=False)


def _as_line(value: Any) -> Any:
    """Numbers and dates are fine as titles and tags; white space is folded."""
    if isinstance(value, str | int | float | dt.date) and not isinstance(value, bool):
        return " ".join(str(value).split())
    return value


def _as_list(value: Any) -> Any:
    if value is None:
        return ()
    return [part for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _as_day(value: Any) -> Any:
    """YAML reads an unquoted day as a date; a quoted one is text; a bare number is a slip, not seconds since 1970."""
    if isinstance(value, dt.datetime):
        return value.date()
    if isinstance(value, str):
        return dt.date.fromisoformat(value.strip())
    if value is None or isinstance(value, dt.date):
        return value
    raise ValueError("a day such as 2026-01-31")


_Line = Annotated[str, BeforeValidator(_as_line)]
_Tag = Annotated[str, Field(min_length=1, max_length=40), BeforeValidator(_as_line)]


class _FrontMatter(BaseModel):
    model_config = ConfigDict(extra="ignore")

    title: Annotated[_Line, Field(min_length=1, max_length=200)]
    summary: Annotated[_Line, Field(max_length=500)] = ""
    date: Annotated[dt.date | None, BeforeValidator(_as_day)] = None
    access: Access = Access.PUBLIC
    tags: Annotated[tuple[_Tag, ...], Field(max_length=20), BeforeValidator(_as_list)] = ()
    draft: bool = False


def slug_of(path: str) -> str:
    """The slug of the file at ``path`` (relative, with ``/``). Raises InvalidPageError for an odd name."""
    slug = unicodedata.normalize("NFC", path.removesuffix(".md"))
    if len(slug) > 200 or not all(_SEGMENT.fullmatch(part) for part in slug.split("/")):
        raise InvalidPageError("name: letters, digits, and within the name . _ - (at most 200 characters)")
    return slug


def parse_page(stamp: Stamp, data: bytes) -> Page:
    """The page that ``data`` is. Raises InvalidPageError with the reason why it is none."""
    slug = slug_of(stamp.path)
    header, body = _split(_decode(data))
    front = _check(_load(header))
    updated = dt.datetime.fromtimestamp(min(max(stamp.mtime_ns // 10**9, 0), _LAST_SECOND), dt.UTC)
    return Page(
        stamp=stamp,
        slug=slug,
        title=front.title,
        summary=front.summary,
        date=front.date or updated.date(),
        updated=updated,
        access=front.access,
        tags=tuple(dict.fromkeys(front.tags)),
        draft=front.draft,
        minutes=max(1, math.ceil(len(body.split()) / _WORDS_PER_MINUTE)),
        source=body,
    )


def _decode(data: bytes) -> str:
    if len(data) > MAX_BYTES:
        raise InvalidPageError(f"too large: more than {MAX_BYTES:,} bytes; split it into several pages")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidPageError(f"not UTF-8 (byte {error.start})") from None
    if found := _FORBIDDEN.search(text):
        raise InvalidPageError(f"control character U+{ord(found[0]):04X} (character {found.start()})")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _split(text: str) -> tuple[str, str]:
    if not text.startswith("---"):
        raise InvalidPageError("front matter: the file has to begin with a line of ---")
    try:
        header, body = _HEADER.split(text)
    except ValueError:
        raise InvalidPageError("front matter: no closing line of ---") from None
    if len(header) > _MAX_HEADER:
        raise InvalidPageError(f"front matter: more than {_MAX_HEADER} characters")
    return header, body.strip("\n")


def _load(header: str) -> dict[str, Any]:
    try:
        found = _HEADER.load(header)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InvalidPageError(f"front matter: {' '.join(str(error).split())[:200]}") from None
    if not isinstance(found, dict):
        raise InvalidPageError("front matter: wants lines of `name: value`")
    return {str(name): value for name, value in found.items()}


def _check(raw: dict[str, Any]) -> _FrontMatter:
    known = list(_FrontMatter.model_fields)
    for name in raw.keys() - set(known):
        # `acces: premium` must not make a public page.
        if close := get_close_matches(name.lower(), known, n=1, cutoff=0.82):
            raise InvalidPageError(f"{name}: unknown name in front matter; {close[0]} is meant?")
    try:
        front = _FrontMatter.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InvalidPageError(f"{where}: {first['msg']}; got {reprlib.repr(raw.get(where))[:80]}") from None
    if _FORBIDDEN.search("\n".join((front.title, front.summary, *front.tags))):
        raise InvalidPageError("front matter: control character in title, summary or tags")
    return front
