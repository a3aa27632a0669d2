"""Find attacks in text: pure functions from text to findings.

The caller decides whether a finding is counted, logged or refused. All patterns are in one Hyperscan database, so text
is read once, in time linear in its length (https://intel.github.io/hyperscan/dev-reference/). Text of sensitive fields
is neither scanned nor quoted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from church.observability.logs.redaction import EMAILED_LINK, LINK_REST, SIGNED_STREAM
from church.observability.threats.decoded_text import END, START, add_readings, decode_text
from church.observability.threats.pattern_matcher import load_process_matcher
from church.observability.threats.patterns import PATTERNS

ACTIVITY_TYPES: Final = frozenset(pattern.activity_type for pattern in PATTERNS)
"""Every activity type that a finding can have; small enough for a metric label."""

SOURCES: Final = frozenset({"path", "query", "header", "form", "json", "websocket"})
"""Every source that a finding can have."""

EXCERPT_LIMIT: Final = 200
"""Characters of an excerpt at most, after escaping."""

STRINGS_LIMIT: Final = 5000
"""Keys and strings of one JSON value that are scanned by default."""

_EXHAUSTED: Final = object()
_CACHED_LENGTH: Final = 512
_PARAMETERS: Final = 1000
_PROSE_LENGTH: Final = 300

# Words that make a name sensitive, anywhere in it; short ones only as a whole word of the name.
_SENSITIVE: Final = re.compile(
    r"passw|passphrase|token|secret|authorization|cookie|signature|credential|session|api[-_]?key|private[-_]?key|card"
    r"|(?:^|[-_.\[])(?:pwd|pass|csrf|xsrf|sig|cvc|cvv|iban|pin|otp|totp|jwt|confirm|current)(?:$|[-_.\]])",
    re.IGNORECASE,
)

# Headers whose value has a fixed grammar that the server itself parses, or is a number or a secret.
_UNSCANNED_HEADERS: Final = re.compile(
    r"(?:accept.*|connection|content-.*|cache-control|date|dnt|expect|if-.*|keep-alive|pragma|priority|range|te"
    r"|trailer|transfer-encoding|upgrade.*|sec-.*|trace(?:parent|state)|via|x-request-id|save-data)",
    re.IGNORECASE,
)

_SECRET_PAIR: Final = re.compile(r"([\w.\-\[\]]{1,64})\"?\s*[=:]\s*\"?[^&\s\"'<>;,]+")
_NAMES: Final = re.compile(r"(?<![\w.\-\[\]])([\w.\-\[\]]{1,64})[\"']?\s?[=:]")
_PERSONAL: Final = re.compile(r"\b(?:bearer|basic)\s+[\w.~+/=-]{8,}|[\w.+-]+@[\w-]+(?:\.[\w-]+)+", re.IGNORECASE)
_SECRET: Final = re.compile(f"(?P<link>{EMAILED_LINK}){LINK_REST}|{SIGNED_STREAM}".encode(), re.IGNORECASE)
_BEFORE: Final = 120  # bytes that an excerpt shows before the end of a match
_LINK_BYTES: Final = 300  # of the longest match of _SECRET


@dataclass(frozen=True, slots=True)
class Finding:
    """One kind of attack seen in one source; `excerpt` is safe for a log line (at most EXCERPT_LIMIT characters)."""

    activity_type: str
    source: str
    excerpt: str


def load_patterns() -> None:
    """Load the patterns, or compile them the first time (seconds), so that no request waits for them."""
    load_process_matcher()


@lru_cache(maxsize=2048)
def is_sensitive(name: str) -> bool:
    """Whether the field, parameter or header `name` may hold a secret."""
    return _SENSITIVE.search(name[:256]) is not None


def mentions_secret(text: str) -> bool:
    """Whether `text`, a body without readable fields, names a field that may hold a secret."""
    return _SENSITIVE.search(text) is not None or any(is_sensitive(name) for name in _NAMES.findall(text))


def scan(text: str, source: str) -> tuple[Finding, ...]:
    """Return the attacks in `text`, at most one finding for each activity type. Never raises."""
    if len(text) <= _CACHED_LENGTH:
        return _scan_short(text, source)
    return _scan_texts([("", text)], source)


def scan_request(
    path: str,
    query: str,
    headers: Iterable[tuple[str, str]],
    form: Iterable[tuple[str, str]] = (),
    json_strings: Iterable[str] = (),
) -> tuple[Finding, ...]:
    """Return the findings of a whole request, one for each activity type and source.

    `path` and `query` are as received, percent-encoded; `form` are decoded pairs (a textual body of another kind is
    one pair with an empty name); `json_strings` come from `strings_of`. Never raises.
    """
    findings = _scan_path(path) if len(path) <= _CACHED_LENGTH else _scan_texts([("", path[1:])], "path")
    if query:
        findings += _scan_texts(_parameters(query), "query", plus=True)
    for name, value in headers:
        if _is_scanned_header(name):
            findings += scan(value.removeprefix("https://").removeprefix("http://"), "header")
    pairs = [_pair(name, value) for name, value in form]
    if pairs:
        findings += _scan_texts(pairs, "form")
    strings = [("", value) for value in json_strings]
    if strings:
        findings += _scan_texts(strings, "json")
    if len(findings) < 2:
        return findings
    return tuple({(finding.activity_type, finding.source): finding for finding in reversed(findings)}.values())[::-1]


def strings_of(value: Any, limit: int = STRINGS_LIMIT) -> Iterator[str]:
    """Yield the keys and strings of a decoded JSON value, at most `limit`, without the values of sensitive keys.

    In document order; iterative, so that no nesting is too deep; at most ten times as many values are visited.
    """
    waiting: list[Iterator[Any]] = [iter((value,))]
    steps = 10 * limit
    while waiting and limit > 0 and steps > 0:
        steps -= 1
        item = next(waiting[-1], _EXHAUSTED)
        if item is _EXHAUSTED:
            waiting.pop()
        elif isinstance(item, str):
            limit -= 1
            yield item
        elif isinstance(item, dict):
            waiting.append(_members(item))
        elif isinstance(item, list):
            waiting.append(iter(item))


def _members(mapping: dict[str, Any]) -> Iterator[Any]:
    for key, value in mapping.items():
        yield key
        if not is_sensitive(key):
            yield value


@lru_cache(maxsize=256)
def _is_scanned_header(name: str) -> bool:
    return _UNSCANNED_HEADERS.fullmatch(name) is None and not is_sensitive(name)


@lru_cache(maxsize=4096)
def _scan_short(text: str, source: str) -> tuple[Finding, ...]:
    return _scan_texts([("", text)], source)


@lru_cache(maxsize=4096)
def _scan_path(path: str) -> tuple[Finding, ...]:
    return _scan_texts([("", path[1:])], "path")


def _pair(name: str, value: str) -> tuple[str, str]:
    """Return a name and the value to scan, empty if the name is sensitive; splits a name that holds an encoded =."""
    if not value and "=" in name:
        name, _, value = name.partition("=")
    return name, "" if is_sensitive(name) else value


def _parameters(query: str) -> list[tuple[str, str]]:
    """Split a raw query into pairs without sensitive values; all after the first thousand is one more value."""
    *parts, rest = query.split("&", _PARAMETERS) if query.count("&") >= _PARAMETERS else (*query.split("&"), "")
    pairs = []
    for part in parts:
        name, equals, value = part.partition("=")
        pairs.append(_pair(name, value) if equals else ("", name))
    if rest and _SENSITIVE.search(rest) is None:
        pairs.append(("", rest))
    return pairs


def _scan_texts(pairs: Sequence[tuple[str, str]], source: str, *, plus: bool = False) -> tuple[Finding, ...]:
    """Scan named values as one buffer; long prose is scanned separately, by the strong patterns only."""
    pieces: list[str] = []
    prose: list[str] = []
    for name, value in pairs:
        (prose if len(value) > _PROSE_LENGTH and _is_prose(value) else pieces).append(f"{name}\x1f{value}\x1e")
    findings: dict[str, Finding] = {}
    for texts, weak in ((pieces, True), (prose, False)):
        if texts:
            _match(decode_text("\x1e" + "".join(texts), plus=plus), source, weak, findings)
    return tuple(findings.values())


def _is_prose(text: str) -> bool:
    """Whether a long text consists of words: then it may well quote commands, paths and code."""
    head = text[:4096]
    return head.count(" ") * 12 > len(head)


def _match(data: bytes, source: str, weak: bool, findings: dict[str, Finding]) -> None:
    if not data.endswith(END):
        data += END
    data = add_readings(data) + END
    for number, end in sorted(load_process_matcher().hits(data)):
        pattern = PATTERNS[number]
        if pattern.activity_type not in findings and (weak or not pattern.weak):
            findings[pattern.activity_type] = Finding(pattern.activity_type, source, _excerpt(data, end))


def _excerpt(data: bytes, end: int) -> str:
    """Return the text around a match that ends at `end`, without secrets and addresses; control characters escaped."""
    first = max(data.rfind(START, 0, end), data.rfind(END, 0, end)) + 1
    last = data.find(END, end - 1)
    wide = max(first, end - _BEFORE - _LINK_BYTES)
    whole = data[wide : min(last if last >= 0 else len(data), end + 60)]
    # Before the cut: it may remove the part by which a token is recognised.
    masked = _SECRET.sub(lambda secret: (secret["link"] or b"").ljust(len(secret[0]), b"*"), whole)
    around = masked[max(first, end - _BEFORE) - wide :].decode("utf-8", "replace")
    text = _SECRET_PAIR.sub(lambda pair: f"{pair[1]}=***" if is_sensitive(pair[1]) else pair[0], around)
    text = _PERSONAL.sub("***", text)
    escaped = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
    return escaped[:EXCERPT_LIMIT]
