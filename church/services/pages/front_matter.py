"""Parse a markdown file into a page: check its front matter, keep its text.

A file with any mistake is refused with the reason: a typo in ``access`` must not make a page public.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import math
import re
import reprlib
import unicodedata
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from difflib import get_close_matches

from church.services.access import Access
from church.services.pages.other_generators import PUBLISH_DATES, find_hiding_word, is_slip, squash_name
from church.services.pages.strict_yaml import StrictYamlError, Value, is_nothing, load_parser, read_fields

__all__ = [
    "MAX_BYTES",
    "FileVersion",
    "InvalidPageError",
    "Page",
    "PageFacts",
    "compose_letters",
    "load_parser",
    "make_slug",
    "parse_page",
    "read_time",
]

MAX_BYTES = 256 * 1024  # about 40,000 words; longer pages would hold a pool thread for seconds
_MAX_HEADER = 8 * 1024
_MOST_TAGS = 20
_WORDS_PER_MINUTE = 220
_LAST_SECOND = 253_402_300_799  # of the year 9999; file systems can say later, datetime cannot
_SEGMENT = re.compile(r"\w(?:[\w.-]*\w)?")
# XML 1.0 cannot carry these characters (section 2.2), so the feed would not parse.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
_RULE = "---"
_OTHER_RULES = {"+++": "this one is TOML; ", ";;;": "this one is JSON; ", "{": "this one is JSON; "}
_FIELDS = ("title", "summary", "date", "access", "tags", "draft")
_STRICT = ("access", "draft")  # a slip in these may open a page
# Lines that were meant as a field: within the text of another one, or below the front matter.
_SWALLOWED = re.compile(r"""\s*["']?(access|draft)["']?\s*[:=\uff1a]""")
_BELOW = re.compile(r"""\s*["']?(access["']?\s*:\s*["']?(?:members|premium)|draft["']?\s*:\s*["']?(?:true|yes|on))\b""")
_LINE_ENDS = re.compile("[\n\x85\u2028\u2029]")
_AFTER_NAME = re.compile("[:=,;|>\u2013\u2014\uff0c\uff1a\uff1b]")
_MOST_BELOW = 60  # lines
_BOOLEANS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_MOMENT = re.compile(
    r"(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:(?:[Tt]|\s+)(?P<clock>[0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?)"
    r"\s*(?P<zone>[Zz]|UTC|GMT|[+-][0-9]{2}(?::?[0-9]{2})?)?)?"
)


class InvalidPageError(Exception):
    """A file is not a valid page. The message is for its author."""


@dataclass(frozen=True)
class FileVersion:
    """Identifies one version of a file."""

    path: str
    mtime_ns: int
    size: int


@dataclass(frozen=True)
class _FrontMatter:
    title: str
    summary: str
    date: dt.date | None
    opens: dt.datetime | None
    access: Access
    tags: tuple[str, ...]
    draft: bool


@dataclass(frozen=True, kw_only=True)
class PageFacts:
    """What lists say of a page. ``digest`` identifies the content of its file, ``file`` the version (see ``Stamp``).

    ``opens`` is the moment from which the page is shown, if its front matter names a day; else the page is shown at
    once, and ``date`` is the day on which the file was last changed. The library sets ``to_come`` until that moment.
    """

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
    opens: dt.datetime | None = None
    to_come: bool = False
    digest: str = ""
    file: tuple[int, ...] = ()

    @property
    def version(self) -> tuple[str, str]:
        """Identifies what a page shows: the place of its file, and the content."""
        return self.stamp.path, self.digest

    @property
    def published(self) -> dt.datetime:
        """The moment from which the page is shown; for a page without a date the begin of its day."""
        return self.opens or dt.datetime.combine(self.date, dt.time(), dt.UTC)


@dataclass(frozen=True, kw_only=True)
class Page(PageFacts):
    """One page as its author wrote it: front matter and markdown."""

    source: str = field(repr=False)


def compose_letters(text: str) -> str:
    """Return ``text`` as it is in slugs and tags: ü is one letter (NFC), also where u and two dots were written."""
    return unicodedata.normalize("NFC", text)


def make_slug(path: str) -> str:
    """Return the slug of the file at ``path`` (relative, with ``/``). Raises InvalidPageError for an invalid name."""
    slug = compose_letters(path.removesuffix(".md"))
    if len(slug) > 200 or not all(_SEGMENT.fullmatch(part) for part in slug.split("/")):
        raise InvalidPageError("name: letters, digits, and within the name . _ - (at most 200 characters)")
    return slug


def parse_page(stamp: FileVersion, data: bytes) -> Page:
    """Parse the content of a file. Raises InvalidPageError with the reason why it is not a page."""
    slug = make_slug(stamp.path)
    header, body = _split(_decode(data))
    fields = _load(header)
    front = _check(fields)
    _check_lines(header, fields)
    updated = read_time(stamp.mtime_ns)
    return Page(
        stamp=stamp,
        slug=slug,
        title=front.title,
        summary=front.summary,
        date=front.date or updated.date(),
        updated=updated,
        access=front.access,
        tags=front.tags,
        draft=front.draft,
        minutes=max(1, math.ceil(len(body.split()) / _WORDS_PER_MINUTE)),
        source=body,
        opens=front.opens,
        digest=hashlib.sha256(data).hexdigest()[:32],
    )


def read_time(nanoseconds: int) -> dt.datetime:
    """Return the time of a file, in whole seconds and within the years that a datetime has."""
    return dt.datetime.fromtimestamp(min(max(nanoseconds // 10**9, 0), _LAST_SECOND), dt.UTC)


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
    """Split a file into the lines between its first two lines of ---, and the text after them."""
    first, _, rest = text.partition("\n")
    if first.rstrip() != _RULE:
        kind = _OTHER_RULES.get(first.rstrip(), "")
        raise InvalidPageError(f"front matter: {kind}the file must begin with a line of ---")
    header, body = _until_rule(rest)
    if header is None:
        raise InvalidPageError("front matter: no closing line of ---")
    if len(header) > _MAX_HEADER:
        raise InvalidPageError(f"front matter: more than {_MAX_HEADER} characters")
    if _begins_with_fields(body):
        raise InvalidPageError("front matter: there are two blocks of it; keep one")
    if line := _find_field_below(body):
        raise InvalidPageError(f"front matter: `{line}` is below its closing line of ---; move it up")
    return header, body.strip("\n")


def _until_rule(text: str) -> tuple[str | None, str]:
    lines = text.split("\n")
    end = next((at for at, line in enumerate(lines) if line.rstrip() == _RULE), None)
    return (None, text) if end is None else ("\n".join(lines[:end]), "\n".join(lines[end + 1 :]))


def _begins_with_fields(body: str) -> bool:
    """Whether the text begins with a second block of front matter, which may close what the first leaves open."""
    first, _, rest = body.lstrip("\n").partition("\n")
    header = _until_rule(rest)[0] if first.rstrip() == _RULE else None
    if header is None or len(header) > _MAX_HEADER:
        return False
    names = {squash_name(name) for name in re.findall(r"^([^\s:#][^:\n]{0,60}):", header, re.MULTILINE)}
    return bool(names & {*_FIELDS, "published", "visibility", "status"})


def _find_field_below(body: str) -> str | None:
    """Return a line that should hide the page, of the lines of ``name: value`` with which the text begins."""
    for line in body.lstrip("\n").split("\n")[:_MOST_BELOW]:
        text = line.strip()
        if found := _BELOW.match(line):
            return found[1]
        if text.strip("-.") and not text.startswith(("#", "<!--")) and not re.match(r"""[\w"'.-]+\s*:""", text):
            return None
    return None


def _load(header: str) -> dict[str, Value]:
    try:
        return read_fields(header)
    except StrictYamlError as error:
        raise InvalidPageError(f"front matter: {error}") from None


# -- the fields -----------------------------------------------------------------------------------------------------


def _check(fields: dict[str, Value]) -> _FrontMatter:
    _check_names(fields)
    scheduled = {name: value for name, value in fields.items() if _is_publish_date(name, value)}
    if reason := find_hiding_word({name: value for name, value in fields.items() if name not in scheduled}):
        raise InvalidPageError(reason)
    day, opens = _read_date("date", fields.get("date", ""))
    for name, value in scheduled.items():
        other, moment = _read_date(name, value)
        day = day or other
        opens = max(filter(None, (opens, moment)), default=None)
    front = _FrontMatter(
        title=_read_title(fields),
        summary=_read_line("summary", fields.get("summary"), 500),
        date=day,
        opens=opens,
        access=_read_access(fields),
        tags=_read_tags(fields.get("tags")),
        draft=_read_draft(fields),
    )
    if _FORBIDDEN.search("\n".join((front.title, front.summary, *front.tags))):
        raise InvalidPageError("front matter: control character in title, summary or tags")
    return front


def _check_names(fields: dict[str, Value]) -> None:
    """Refuse names that are nearly ours, and ours at a deeper level: `acces: premium` must not make a page public."""
    for name in fields.keys() - set(_FIELDS):
        head = _AFTER_NAME.split(name, maxsplit=1)[0]
        word = squash_name(head) if squash_name(head) in _STRICT else squash_name(name)
        close = get_close_matches(word, _FIELDS, n=1, cutoff=0.82)
        close += [strict for strict in _STRICT if is_slip(word, strict)]
        if close:
            raise InvalidPageError(f"{name[:60]}: unknown name in front matter; did you mean {close[0]}?")
    for path in _deeper(fields):
        raise InvalidPageError(f"{path[:100]}: counts only at the start of a line; move it there, or rename it")


def _check_lines(header: str, fields: dict[str, Value]) -> None:
    """Refuse a line such as `access: premium` that is only a part of the text of another field."""
    for number, line in enumerate(_LINE_ENDS.split(header), 2):
        found = _SWALLOWED.match(line)
        if found is not None and found[1] not in fields:
            raise InvalidPageError(
                f"{found[1]}: line {number} is text of the field above it; begin the line with `{found[1]}: `"
            )


def _deeper(value: Value, path: str = "") -> Iterator[str]:
    """Yield the paths of names that decide who may read, but are inside of another field."""
    items = enumerate(value) if isinstance(value, list) else value.items() if isinstance(value, dict) else ()
    for name, inner in items:
        here = f"{path}.{name}".lstrip(".")
        if path and isinstance(name, str) and squash_name(name) in _STRICT:
            yield here
        yield from _deeper(inner, here)


def _is_publish_date(name: str, value: Value) -> bool:
    """Whether a field of another generator says from when on the page is shown."""
    word = squash_name(name)
    if word in PUBLISH_DATES:
        return not is_nothing(value)
    return word in {"published", "publish"} and isinstance(value, str) and _MOMENT.fullmatch(value.strip()) is not None


def _read_line(name: str, value: Value | None, most: int) -> str:
    """Read text of one line; an empty one is none."""
    if value is None or is_nothing(value):
        return ""
    if not isinstance(value, str):
        raise InvalidPageError(f"{name}: write text on one line, and put it in quotes if it has [ or {{")
    line = " ".join(value.split())
    if len(line) > most:
        raise InvalidPageError(f"{name}: at most {most} characters; this has {len(line)}")
    return line


def _read_title(fields: dict[str, Value]) -> str:
    value = fields.get("title")
    title = _read_line("title", str(value) if isinstance(value, str) else value, 200)
    if not title:
        raise InvalidPageError(
            "title: " + ("is empty; write one" if "title" in fields else "missing; add a line `title: …`")
        )
    return title


def _read_access(fields: dict[str, Value]) -> Access:
    value = fields.get("access", Access.PUBLIC.value)
    levels = "write public, members or premium"
    if is_nothing(value):
        raise InvalidPageError(f"access: is empty; {levels}, or remove the line for public")
    text = value.strip() if isinstance(value, str) else ""
    try:
        return Access(text)
    except ValueError:
        raise InvalidPageError(f"access: {reprlib.repr(value)[:60]} is no level; {levels}") from None


def _read_draft(fields: dict[str, Value]) -> bool:
    value = fields.get("draft", "false")
    if is_nothing(value):
        raise InvalidPageError("draft: is empty; write true or false")
    draft = _BOOLEANS.get(value.strip().lower()) if isinstance(value, str) else None
    if draft is None:
        raise InvalidPageError(f"draft: {reprlib.repr(value)[:60]} is neither; write true or false")
    return draft


def _read_tags(value: Value | None) -> tuple[str, ...]:
    """Read a list, or text with commas. Equal tags are one, however their letters are composed."""
    if value is None or is_nothing(value):
        return ()
    items = value.split(",") if isinstance(value, str) else value
    if isinstance(items, dict) or not all(isinstance(item, str) for item in items):
        raise InvalidPageError("tags: write a list of words, such as [one, two]")
    lines = [_read_line("tags", compose_letters(str(item)), 40) for item in items]
    tags = tuple(dict.fromkeys(line for line in lines if line))
    if len(tags) > _MOST_TAGS:
        raise InvalidPageError(f"tags: at most {_MOST_TAGS}; this has {len(tags)}")
    return tags


def _read_date(name: str, value: Value) -> tuple[dt.date | None, dt.datetime | None]:
    """Read a day, or a day with a time: the day as written, and the moment from which the page is shown.

    A day begins at 00:00 UTC, and a time without a zone is UTC.
    """
    if is_nothing(value):
        return None, None
    found = _MOMENT.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is not None:
        zone = "+00:00" if (found["zone"] or "").upper() in {"", "Z", "UTC", "GMT"} else found["zone"]
        clock = found["clock"] or "00:00"
        clock = clock if clock[2] == ":" else f"0{clock}"
        with suppress(ValueError, OverflowError):
            moment = dt.datetime.fromisoformat(f"{found['day']}T{clock}{zone}")
            return moment.date(), moment.astimezone(dt.UTC)
    raise InvalidPageError(
        f"{name[:60]}: write year, month and day, such as 2026-01-31; got {reprlib.repr(value)[:60]}"
    )
