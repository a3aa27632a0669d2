"""Scan a request for attacks: choose the parts to scan, and report each finding.

Path, query, headers, cookies of others and the body are scanned. Views can opt out with ``never_scan_body`` (never
read) and ``never_quote_body`` (read, but never quoted, and refused for a proof alone).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

from flask import current_app, request
from werkzeug.exceptions import BadRequest, Forbidden, RequestEntityTooLarge

from church.config import Settings
from church.observability import raise_in_tests, verbs
from church.observability.metrics import definitions
from church.observability.threats import scan_text
from church.observability.threats.decoded_text import read_text

_V = TypeVar("_V", bound="Callable[..., Any]")
_KNOWN_KEYS = 512
_HEADER_BYTES = 16_384  # of all headers together; where there is more, each is read up to its share
_FIELDS = 1_000
_FORM = "application/x-www-form-urlencoded"
_TEXTUAL = ("text/", "application/xml", "application/graphql")
_BODIES = frozenset({"form", "json"})
_WITHHELD = "(not shown: bodies are not logged)"
_TAIL = 4  # of the characters that are read of a long body, a quarter is its end, since attacks follow padding
Report = Callable[[scan_text.Finding], None]


class TooDeepError(Exception):
    """A JSON body is nested too deep to be read."""


def never_scan_body(view: _V) -> _V:
    """Mark a view whose body is neither scanned nor logged: passwords, tokens, signed webhooks."""
    view.body_unscanned = True  # type: ignore[attr-defined]
    return view


def never_quote_body(view: _V) -> _V:
    """Mark a view whose body is scanned but never logged: messages between members."""
    view.body_confided = True  # type: ignore[attr-defined]
    return view


class _HeaderNames(dict[str, str | None]):
    """Header names by their key in the environ, None for other keys; a cache, used forty times a request."""

    def __missing__(self, key: str) -> str | None:
        name = key[5:].replace("_", "-").lower() if key.startswith("HTTP_") else None
        if len(self) < _KNOWN_KEYS:  # clients make up names: further ones are not cached
            self[key] = name
        return name


_header_names = _HeaderNames()


def find_attacks(body_limit: int) -> tuple[scan_text.Finding, ...]:
    """The attacks in the current request; scans at most ``body_limit`` bytes of its body."""
    environ = request.environ
    target = environ.get("RAW_URI") or environ.get("REQUEST_URI") or request.path
    headers = [(name, value) for key, value in environ.items() if (name := _header_names[key]) is not None]
    body = _body(body_limit) if body_limit and _has_body(environ) else _NO_BODY
    suspicious = _scan(target, environ.get("QUERY_STRING", ""), headers, body)
    if suspicious and (body.is_cut or _is_marked("body_confided") or scan_text.mentions_secret(body.unread)):
        return tuple(replace(f, excerpt=_WITHHELD) if f.source in _BODIES else f for f in suspicious)
    return suspicious


def is_suspicious(target: str, query: str, headers: Iterable[tuple[str, str]]) -> bool:
    """Whether a request without a body has what ``refuse_attacks`` would record; for a server that has no environ yet.

    ``target`` is as received, and no header comes twice.
    """
    return bool(_scan(target, query, [(name.lower(), value) for name, value in headers], _NO_BODY))


def _scan(target: str, query: str, headers: list[tuple[str, str]], body: _Body) -> tuple[scan_text.Finding, ...]:
    if sum([len(value) for _, value in headers]) > _HEADER_BYTES:
        share = _HEADER_BYTES // len(headers)
        headers = [(name, value[:share]) for name, value in headers]
    return scan_text.scan_request(target.partition("?")[0], query, headers, body.form, body.strings)


def _has_body(environ: dict[str, Any]) -> bool:
    if not environ.get("CONTENT_LENGTH") and "HTTP_TRANSFER_ENCODING" not in environ:
        return False
    if "HTTP_CONTENT_ENCODING" in environ:
        return False  # compressed, and refused with 415
    return not _is_marked("body_unscanned")


def _is_marked(mark: str) -> bool:
    return getattr(current_app.view_functions.get(request.endpoint or ""), mark, False)


class _Body(NamedTuple):
    """The parts of a body to scan.

    ``unread`` is a body without fields, whose secrets cannot be told apart by name. Of a body that ``is_cut`` only the
    beginning and the end are here, so that the name of a secret may be missing.
    """

    form: Sequence[tuple[str, str]] = ()
    strings: Sequence[str] = ()
    unread: str = ""
    is_cut: bool = False


_NO_BODY = _Body()


def _body(limit: int) -> _Body:
    """Form pairs and JSON strings; parsed once, since the request caches them for its view.

    Raises RequestEntityTooLarge for a form of very many fields: werkzeug bounds the parts of a multipart body only.
    """
    if request.mimetype == _FORM:
        data = request.get_data(cache=True)
        if data.count(b"&") >= _FIELDS:
            raise RequestEntityTooLarge
        if not read_text(data):
            return _Body()
    if request.form or request.files:
        pairs, is_cut = _bounded([*request.form.items(multi=True), *_parts_of_files()], limit)
        return _Body(form=pairs, is_cut=is_cut)
    if request.is_json:
        return _json_body(limit)
    if request.mimetype.startswith(_TEXTUAL):
        pairs, is_cut = _raw(limit)
        return _Body(form=pairs, unread=pairs[0][1], is_cut=is_cut)
    return _Body()


def _parts_of_files() -> Iterator[tuple[str, str]]:
    """What a multipart body says of its files. Their contents are not scanned: the view checks them."""
    for field, file in request.files.items(multi=True):
        yield field, file.filename or ""
        yield "", file.content_type or ""


def _json_body(limit: int) -> _Body:
    request.get_data(cache=True)
    try:
        parsed = request.get_json(silent=True, cache=True)
    except RecursionError:
        raise TooDeepError from None
    if parsed is None:
        pairs, is_cut = _raw(limit)
        return _Body(strings=[text for _, text in pairs], unread=pairs[0][1], is_cut=is_cut)
    pairs, is_cut = _bounded([("", string) for string in scan_text.strings_of(parsed)], limit)
    return _Body(strings=[string for _, string in pairs], is_cut=is_cut)


def _raw(limit: int) -> tuple[list[tuple[str, str]], bool]:
    return _bounded([("", read_text(request.get_data(cache=True)))], limit)


def _bounded(pairs: list[tuple[str, str]], limit: int) -> tuple[list[tuple[str, str]], bool]:
    """Return the first and the last of ``pairs``, at most ``limit`` characters, and whether that left any out."""
    if sum(len(name) + len(value) for name, value in pairs) <= limit:
        return pairs, False
    end = limit // _TAIL
    first = [(name, value[:left]) for left, name, value in _within(pairs, limit - end)]
    last = [(name, value[-left:] if left else "") for left, name, value in _within(reversed(pairs), end)]
    return first + last[::-1], True


def _within(pairs: Iterable[tuple[str, str]], limit: int) -> Iterator[tuple[int, str, str]]:
    """Yield ``pairs`` until they have ``limit`` characters, each with the number that its value may still have."""
    for name, value in pairs:
        if limit <= 0:
            return
        left = max(limit - len(name), 0)
        yield left, name[:limit], value
        limit -= len(name) + len(value)


def scan(body_limit: int, report: Report) -> tuple[scan_text.Finding, ...]:
    """Call ``report`` with each finding, and return them. If the scan fails, the request passes."""
    try:
        suspicious = find_attacks(body_limit)
    except (TooDeepError, OSError):
        raise
    except Exception as error:
        if raise_in_tests.on or hasattr(error, "get_response"):  # a 400, 408 or 413 while reading the body
            raise
        definitions.telemetry_errors.labels("scan").inc()
        return ()
    for finding in suspicious:
        report(finding)
    return suspicious


def refuse_attacks() -> None:
    """Scan the current request and record what looks like an attack.

    With ``CHURCH_THREATS=block`` refuse it, unless all that was found are words, quotation marks and the like.

    It runs before CSRF checks and rate limits, so that requests they refuse are seen too. Raises Forbidden, BadRequest.
    """
    settings: Settings = current_app.config["CHURCH"]
    try:
        suspicious = scan(settings.threats_body, lambda f: verbs.track_suspicious(f.activity_type, f.source, f.excerpt))
    except TooDeepError:
        raise BadRequest from None
    if settings.threats == "block" and any(map(_is_refused, suspicious)):
        verbs.track_security_event("request_blocked", "high")
        raise Forbidden


def _is_refused(finding: scan_text.Finding) -> bool:
    confided = finding.source in _BODIES and _is_marked("body_confided")
    return scan_text.is_refused(finding, confided=confided)
