"""Parse a markdown file into a page: check its front matter, keep its text.

A file with any mistake is refused with the reason: a typo in ``access`` must not make a page public.
"""

from __future__ import annotations

import datetime as dt
import math
import re
import reprlib
import unicodedata
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from church.services.access import Access

if TYPE_CHECKING:
    from frontmatter.default_handlers import YAMLHandler

MAX_BYTES = 256 * 1024  # about 40,000 words; longer pages would hold a pool thread for seconds
_MAX_HEADER = 8 * 1024
_WORDS_PER_MINUTE = 220
_LAST_SECOND = 253_402_300_799  # of the year 9999; file systems can say later, datetime cannot
_SEGMENT = re.compile(r"\w(?:[\w.-]*\w)?")
# XML 1.0 cannot carry these characters (section 2.2), so the feed would not parse.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")


class InvalidPageError(Exception):
    """A file is not a valid page. The message is for its author."""


@dataclass(frozen=True)
class FileVersion:
    """Identifies one version of a file."""

    path: str
    mtime_ns: int
    size: int


@dataclass(frozen=True)
class Page:
    """One page as its author wrote it: front matter and markdown."""

    stamp: FileVersion
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
    """Accept numbers and dates as titles and tags, and fold white space."""
    if isinstance(value, str | int | float | dt.date) and not isinstance(value, bool):
        return " ".join(str(value).split())
    return value


def _as_list(value: Any) -> Any:
    if value is None:
        return ()
    return [part for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _as_day(value: Any) -> Any:
    """Accept a date, which YAML makes of an unquoted day, or text. A number is a mistake, not seconds since 1970."""
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


def make_slug(path: str) -> str:
    """Return the slug of the file at ``path`` (relative, with ``/``). Raises InvalidPageError for an invalid name."""
    slug = unicodedata.normalize("NFC", path.removesuffix(".md"))
    if len(slug) > 200 or not all(_SEGMENT.fullmatch(part) for part in slug.split("/")):
        raise InvalidPageError("name: letters, digits, and within the name . _ - (at most 200 characters)")
    return slug


def parse_page(stamp: FileVersion, data: bytes) -> Page:
    """Parse the content of a file. Raises InvalidPageError with the reason why it is not a page."""
    slug = make_slug(stamp.path)
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
    if match := _FORBIDDEN.search(text):
        raise InvalidPageError(f"control character U+{ord(match[0]):04X} (character {match.start()})")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _split(text: str) -> tuple[str, str]:
    if not text.startswith("---"):
        raise InvalidPageError("front matter: the file must begin with a line of ---")
    try:
        header, body = load_parser().split(text)
    except ValueError:
        raise InvalidPageError("front matter: no closing line of ---") from None
    if len(header) > _MAX_HEADER:
        raise InvalidPageError(f"front matter: more than {_MAX_HEADER} characters")
    return header, body.strip("\n")


def _load(header: str) -> dict[str, Any]:
    import yaml  # noqa: PLC0415 - loaded already by load_parser

    try:
        fields = load_parser().load(header)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InvalidPageError(f"front matter: {' '.join(str(error).split())[:200]}") from None
    if not isinstance(fields, dict):
        raise InvalidPageError("front matter: use lines of `name: value`")
    return {str(name): value for name, value in fields.items()}


@cache
def load_parser() -> YAMLHandler:
    """Import and return the YAML parser. Call it on the hub first: imports in gevent's threads can deadlock."""
    from frontmatter.default_handlers import YAMLHandler  # noqa: PLC0415 - loaded when the first file is read

    return YAMLHandler()


def _check(raw: dict[str, Any]) -> _FrontMatter:
    names = list(_FrontMatter.model_fields)
    for name in raw.keys() - set(names):
        # `acces: premium` must not make a page public.
        if close := get_close_matches(name.lower(), names, n=1, cutoff=0.82):
            raise InvalidPageError(f"{name}: unknown name in front matter; did you mean {close[0]}?")
    try:
        front = _FrontMatter.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InvalidPageError(f"{where}: {first['msg']}; got {reprlib.repr(raw.get(where))[:80]}") from None
    if _FORBIDDEN.search("\n".join((front.title, front.summary, *front.tags))):
        raise InvalidPageError("front matter: control character in title, summary or tags")
    return front
