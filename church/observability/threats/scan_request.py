"""Scan a request for attacks: choose the parts to scan, and report each finding.

Path, query, headers and body are scanned. Views can opt out with ``leave_body`` (never read) and ``confide_body``
(read, but never quoted).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

from flask import current_app, request
from werkzeug.exceptions import BadRequest, Forbidden, RequestEntityTooLarge

from church.config import Settings
from church.observability import raise_in_tests, verbs
from church.observability.metrics import definitions
from church.observability.threats import scan_text

_V = TypeVar("_V", bound="Callable[..., Any]")
_KNOWN_KEYS = 512
_HEADER_BYTES = 16_384  # of all headers together; where there is more, each is read up to its share
_FIELDS = 1_000
_FORM = "application/x-www-form-urlencoded"
_TEXTUAL = ("text/", "application/xml", "application/graphql")
_BODIES = frozenset({"form", "json"})
_WITHHELD = "(not shown: bodies are not logged)"
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
    raw = environ.get("RAW_URI") or environ.get("REQUEST_URI") or request.path
    path, query = raw.partition("?")[0], environ.get("QUERY_STRING", "")
    headers = [(name, value) for key, value in environ.items() if (name := _header_names[key]) is not None]
    if sum(len(value) for _, value in headers) > _HEADER_BYTES:
        share = _HEADER_BYTES // len(headers)
        headers = [(name, value[:share]) for name, value in headers]
    body = _body(body_limit) if body_limit and _has_body(environ) else _Body()
    suspicious = scan_text.scan_request(path, query, headers, body.form, body.strings)
    if suspicious and (scan_text.mentions_secret(body.unread) or _is_marked("body_confided")):
        return tuple(replace(f, excerpt=_WITHHELD) if f.source in _BODIES else f for f in suspicious)
    return suspicious


def _has_body(environ: dict[str, Any]) -> bool:
    if not environ.get("CONTENT_LENGTH") and "HTTP_TRANSFER_ENCODING" not in environ:
        return False
    return not _is_marked("body_unscanned")


def _is_marked(mark: str) -> bool:
    return getattr(current_app.view_functions.get(request.endpoint or ""), mark, False)


class _Body(NamedTuple):
    """The parts of a body to scan; ``unread`` is a body without fields, whose secrets cannot be told apart by name."""

    form: Sequence[tuple[str, str]] = ()
    strings: Sequence[str] = ()
    unread: str = ""


def _body(limit: int) -> _Body:
    """Form pairs and JSON strings; parsed once, since the request caches them for its view.

    Raises RequestEntityTooLarge for a form of very many fields: werkzeug bounds the parts of a multipart body only.
    """
    if request.mimetype == _FORM and request.get_data(cache=True).count(b"&") >= _FIELDS:
        raise RequestEntityTooLarge
    if request.form or request.files:
        return _Body(form=list(_bounded_pairs(limit)))
    if request.is_json:
        return _json_body(limit)
    if request.mimetype.startswith(_TEXTUAL):
        raw = _raw(limit)
        return _Body(form=[("", raw)], unread=raw)
    return _Body()


def _raw(limit: int) -> str:
    return request.get_data(cache=True)[:limit].decode("utf-8", "replace")


def _bounded_pairs(limit: int) -> Iterator[tuple[str, str]]:
    for name, value in request.form.items(multi=True):
        if limit <= 0:
            return
        yield name[:limit], value[: max(limit - len(name), 0)]
        limit -= len(name) + len(value)
    for field, file in request.files.items(multi=True):
        yield field, file.filename or ""


def _json_body(limit: int) -> _Body:
    request.get_data(cache=True)
    try:
        parsed = request.get_json(silent=True, cache=True)
    except RecursionError:
        raise TooDeepError from None
    if parsed is None:
        raw = _raw(limit)
        return _Body(strings=[raw], unread=raw)
    return _Body(strings=list(_bounded_strings(parsed, limit)))


def _bounded_strings(parsed: Any, limit: int) -> Iterator[str]:
    for string in scan_text.strings_of(parsed):
        if limit <= 0:
            return
        yield string[:limit]
        limit -= len(string)


def scan(body_limit: int, report: Report) -> bool:
    """Call ``report`` with each finding; returns whether there were any. If the scan fails, the request passes."""
    try:
        suspicious = find_attacks(body_limit)
    except (TooDeepError, OSError):
        raise
    except Exception as error:
        if raise_in_tests.on or hasattr(error, "get_response"):  # a 400, 408 or 413 while reading the body
            raise
        definitions.telemetry_errors.labels("scan").inc()
        return False
    for finding in suspicious:
        report(finding)
    return bool(suspicious)


def refuse_attacks() -> None:
    """Scan the current request and record what looks like an attack; refuse it if ``CHURCH_THREATS`` is ``block``.

    It runs before CSRF checks and rate limits, so that requests they refuse are seen too. Raises Forbidden, BadRequest.
    """
    settings: Settings = current_app.config["CHURCH"]
    try:
        suspicious = scan(settings.threats_body, lambda f: verbs.track_suspicious(f.activity_type, f.source, f.excerpt))
    except TooDeepError:
        raise BadRequest from None
    if suspicious and settings.threats == "block":
        verbs.track_security_event("request_blocked", "high")
        raise Forbidden
