"""Find attacks in text: pure functions from text to findings.

The caller decides whether a finding is counted, logged or refused. All patterns are in one Hyperscan database, so text
is read once, in time linear in its length (https://intel.github.io/hyperscan/dev-reference/). Text of sensitive fields
is neither scanned nor quoted, and an excerpt ends where it names a secret.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final

from church.observability.logs.redaction import EMAILED_LINK, LINK_REST, SIGNED_STREAM, redact_text
from church.observability.threats.decoded_text import END, START, add_readings, decode_text
from church.observability.threats.pattern_matcher import load_process_matcher
from church.observability.threats.patterns import PATTERNS, Strength

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
_WINDOW: Final = 8 * 1024  # characters that are scanned at once, so that others wait for some milliseconds at most
_OVERLAP: Final = 1024  # of two windows

# Words that make a name sensitive: long ones anywhere in it, short ones between characters that are no letters, or as a
# capitalised part (userPin).
_LONG: Final = (
    r"passw|passphrase|passcode|passkey|pswd|kennwort|wachtwoord|contrase|senha|token|secret|authorization|cookie"
    r"|signature|credential|session|pwd?(?![^\W\d_])|api[-_ ]?key|access[-_ ]?key|private[-_ ]?key|card"
)
_SHORT: Final = [
    "psw", "psswd", "pass", "passe", "creds", "csrf", "xsrf", "sig", "sess", "sessid", "cvc", "cvv", "iban", "ssn",
    "pin", "pincode", "otp", "totp", "mfa", "jwt", "confirm", "current",
]  # fmt: skip
_SENSITIVE: Final = re.compile(
    rf"(?i:{_LONG}|(?<![^\W\d_])(?:{'|'.join(_SHORT)})(?![^\W\d_]))"
    rf"|(?<=[a-z0-9])(?:{'|'.join(map(str.title, _SHORT))})(?![a-z])"
)
_LABEL: Final = re.compile(r"[^<>'\"()=\s]{1,64}(?:\s[^<>'\"()=\s]{1,64}){0,2}")
"""A value of up to three words, such as the name of a field that a list holds."""

# Headers whose value has a fixed grammar that the server itself parses, or is a number or a secret.
_UNSCANNED_HEADERS: Final = re.compile(
    r"(?:accept.*|connection|content-.*|cache-control|date|dnt|expect|if-.*|keep-alive|pragma|priority|range|te"
    r"|trailer|transfer-encoding|upgrade.*|sec-.*|trace(?:parent|state)|via|x-request-id|save-data)",
    re.IGNORECASE,
)

# Headers whose value is an address: its parameters are read by name, as those of the request are.
_ADDRESSES: Final = frozenset({"referer", "x-original-url", "x-rewrite-url", "x-forwarded-uri"})
_OWN_COOKIES: Final = frozenset({"church", "__host-church"})
_PERSONAL: Final = re.compile(
    r"\b(?:bearer|basic)\s+[\w.~+/=-]{8,}|[^\s/@:]{0,64}:[^\s/@]{1,256}@|[\w.+-]+@[\w-]+(?:\.[\w-]+)+", re.IGNORECASE
)
_SECRET: Final = re.compile(f"(?P<link>{EMAILED_LINK}){LINK_REST}|{SIGNED_STREAM}".encode(), re.IGNORECASE)
_BEFORE: Final = 120  # bytes that an excerpt shows before the end of a match
_AFTER: Final = 60
_CONTEXT: Final = 4096  # bytes before the end of a match in which a secret may be named
WITHHELD: Final = "(not shown: near a secret)"


@dataclass(frozen=True, slots=True)
class Finding:
    """One kind of attack seen in one source; `excerpt` is safe for a log line (at most EXCERPT_LIMIT characters)."""

    activity_type: str
    source: str
    excerpt: str
    strength: Strength


def is_refused(finding: Finding, *, confided: bool = False) -> bool:
    """Whether a request with `finding` is refused where attacks are blocked; `confided`: members wrote it to others."""
    return finding.strength >= (Strength.PROOF if confided else Strength.SIGN)


def load_patterns() -> None:
    """Load the patterns, or compile them the first time (seconds), so that no request waits for them."""
    load_process_matcher()


@lru_cache(maxsize=2048)
def is_sensitive(name: str) -> bool:
    """Whether the field, parameter or header `name` may hold a secret, however it is encoded."""
    return mentions_secret(name[:256])


def mentions_secret(text: str) -> bool:
    """Whether `text` has a word for a secret, in any of its readings."""
    if _SENSITIVE.search(text):
        return True
    data = decode_text(f"\x1f{text}\x1e")
    return _SENSITIVE.search(add_readings(data).decode("utf-8", "replace")) is not None


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
    findings += _scan_headers(headers)
    pairs = [_pair(name, value) for name, value in form]
    if pairs:
        findings += _scan_texts(pairs, "form")
    strings = [("", value) for value in json_strings]
    if strings:
        findings += _scan_texts(strings, "json")
    return _strongest(findings) if len(findings) > 1 else findings


class _Key(str):
    """A key of a JSON object. Where it names a secret, its value is not scanned."""

    __slots__ = ()


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
        yield _Key(key)
        if not is_sensitive(key):
            yield value


def _strongest(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return the first of the strongest findings for each activity type and source."""
    best: dict[tuple[str, str], Finding] = {}
    for finding in findings:
        kind = (finding.activity_type, finding.source)
        if kind not in best or best[kind].strength < finding.strength:
            best[kind] = finding
    return tuple(best.values())


def _scan_headers(headers: Iterable[tuple[str, str]]) -> tuple[Finding, ...]:
    shown, cookies = [], []
    for name, value in headers:
        if _is_scanned_header(name):
            shown.append((name, value))
        elif name.lower() == "cookie":
            cookies.append(value)
    is_short = sum([len(value) for _, value in shown]) <= 4 * _CACHED_LENGTH
    findings = _scan_shown(tuple(shown)) if is_short else _scan_shown.__wrapped__(tuple(shown))
    for value in cookies:
        findings += _scan_cookies(value)
    return findings


@lru_cache(maxsize=1024)
def _scan_shown(headers: tuple[tuple[str, str], ...]) -> tuple[Finding, ...]:
    """Scan what one client sends nearly the same with each request."""
    return tuple(finding for name, value in headers for finding in _scan_header(name.lower(), value))


def _scan_header(kind: str, value: str) -> tuple[Finding, ...]:
    value = value.removeprefix("https://").removeprefix("http://")
    if kind not in _ADDRESSES:
        return scan(value, "header")
    findings = _scan_address(value) if len(value) <= _CACHED_LENGTH else _scan_address.__wrapped__(value)
    if kind == "referer":  # the page before this one chose it, not the visitor
        return tuple(replace(finding, strength=Strength.HINT) for finding in findings)
    return findings


@lru_cache(maxsize=4096)
def _scan_address(address: str) -> tuple[Finding, ...]:
    path, mark, query = address.partition("?")
    return _scan_texts([("", path + mark), *(_parameters(query) if query else ())], "header", plus=True)


def _scan_cookies(header: str) -> tuple[Finding, ...]:
    """Scan the cookies that are not ours. They hold anything and come again with each request: hints do not count."""
    pairs = []
    for part in header.split(";"):
        name, _, value = part.strip().partition("=")
        if name.lower() not in _OWN_COOKIES:
            pairs.append(_pair(name, value))
    if not pairs:
        return ()
    is_short = len(header) <= _CACHED_LENGTH
    findings = _scan_others_cookies(tuple(pairs)) if is_short else _scan_texts(pairs, "header")
    return tuple(replace(finding, excerpt=WITHHELD) for finding in findings if finding.strength > Strength.HINT)


@lru_cache(maxsize=1024)
def _scan_others_cookies(pairs: tuple[tuple[str, str], ...]) -> tuple[Finding, ...]:
    return _scan_texts(pairs, "header")


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
    """Split a raw query into pairs without sensitive values; all after the first thousand is one more pair."""
    *parts, rest = query.split("&", _PARAMETERS) if query.count("&") >= _PARAMETERS else (*query.split("&"), "")
    pairs = []
    for part in parts:
        name, equals, value = part.partition("=")
        pairs.append(_pair(name, value) if equals else ("", name))
    if rest:
        pairs.append(("", rest))  # an excerpt of it ends at the first name of a secret
    return pairs


def _scan_texts(pairs: Sequence[tuple[str, str]], source: str, *, plus: bool = False) -> tuple[Finding, ...]:
    """Scan named values as one buffer; long prose is scanned separately, where only proofs count."""
    pieces: list[str] = []
    prose: list[str] = []
    for name, value in pairs:
        (prose if len(value) > _PROSE_LENGTH and _is_prose(value) else pieces).append(f"{name}\x1f{value}\x1e")
    findings: dict[str, Finding] = {}
    for texts, least in ((pieces, Strength.HINT), (prose, Strength.PROOF)):
        if texts:
            for window in _windows("\x1e" + "".join(texts)):
                _match(decode_text(window, plus=plus), source, least, findings)
    if findings and any(_is_secret_label(value) for _, value in pairs):
        return tuple(replace(finding, excerpt=WITHHELD) for finding in findings.values())
    return tuple(findings.values())


def _windows(text: str) -> Iterator[str]:
    """Yield `text` in overlapping windows, and let other requests run between two."""
    yield text[:_WINDOW]
    for start in range(_WINDOW - _OVERLAP, len(text) - _OVERLAP, _WINDOW - _OVERLAP):
        time.sleep(0)
        yield text[start : start + _WINDOW]


def _is_prose(text: str) -> bool:
    """Whether a long text consists of words: then it may well quote commands, paths and code."""
    head = text[:4096]
    return head.count(" ") * 12 > len(head)


def _is_secret_label(value: str) -> bool:
    """Whether a value names a secret, as in ["password", "…"]: then a value beside it may be that secret."""
    return not isinstance(value, _Key) and _LABEL.fullmatch(value) is not None and is_sensitive(value)


def _match(data: bytes, source: str, least: Strength, findings: dict[str, Finding]) -> None:
    if not data.endswith(END):
        data += END
    data = add_readings(data) + END
    for number, end in sorted(load_process_matcher().hits(data)):
        pattern = PATTERNS[number]
        if pattern.strength < least:
            continue
        known = findings.get(pattern.activity_type)
        if known is None or known.strength < pattern.strength:
            excerpt = _excerpt(data, end)
            findings[pattern.activity_type] = Finding(pattern.activity_type, source, excerpt, pattern.strength)


def _excerpt(data: bytes, end: int) -> str:
    """Return the text around a match that ends at `end`, up to the first word for a secret; controls are escaped."""
    first = max(data.rfind(START, 0, end), data.rfind(END, 0, end)) + 1
    last = data.find(END, end - 1)
    begin = max(first, end - _CONTEXT)
    whole = data[begin : min(last if last >= 0 else len(data), end + _AFTER)]
    return _show(whole, max(0, end - _BEFORE - begin))


def quote_text(text: str) -> str:
    """Return `text` as an excerpt shows it: decoded, on one line, without secrets, up to the first word for one."""
    whole = redact_text(decode_text(text).decode("utf-8", "replace"))
    return _show(whole.encode("utf-8", "replace"), 0)


def _show(data: bytes, unseen: int) -> str:
    """Return what follows the first `unseen` bytes of `data`, without secrets; controls are escaped."""
    # Before the cut: it may remove the part by which a token is recognised.
    masked = _SECRET.sub(lambda secret: (secret["link"] or b"").ljust(len(secret[0]), b"*"), data)
    text = _up_to_secret(masked[:unseen].decode("utf-8", "replace"), masked[unseen:].decode("utf-8", "replace"))
    text = _PERSONAL.sub("***", text)
    escaped = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
    return escaped[:EXCERPT_LIMIT]


def _up_to_secret(before: str, text: str) -> str:
    """Return `text`, which follows `before`, up to the first word for a secret in both, since the secret comes next."""
    both = before + text
    named = _SENSITIVE.search(both)
    if mentions_secret(both[: named.start()] if named else both):
        return WITHHELD  # the word is written in escapes
    if named is None:
        return text
    return f"{both[len(before) : named.end()]}***" if named.end() > len(before) else WITHHELD
