"""The door: answers strangers with kept bytes, after gunicorn's parser and before an environ is made.

It answers only what is usual: a GET or HEAD without a body, without the cookie of a session and without a header that
changes the answer, of a target that ``church.web.answer_cache`` keeps. Such a request is checked, limited, counted and
logged by the functions that the hooks of the app call. Everything else goes to the app, which counts it: until the
limit is counted, the last step before the answer, the door changes nothing.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from church import telemetry
from church.server.whole_answers import send_at_once, write_begin
from church.web import answer_cache, maintenance, rate_limits
from church.web.answer_cache import Answer, Kept, Key
from church.web.compression import MIN_BYTES, choose_coding
from church.web.proxies import ProxyList

if TYPE_CHECKING:
    from flask import Flask

    from church.config import Settings

log = logging.getLogger("church.answers")

# Fields by which the app may answer something else, or by which a request has a body.
_UNUSUAL: Final = frozenset(
    {
        *("AUTHORIZATION", "PROXY-AUTHORIZATION", "RANGE", "IF-RANGE", "IF-MATCH", "IF-UNMODIFIED-SINCE", "UPGRADE"),
        *("EXPECT", "CONTENT-TYPE", "CONTENT-LENGTH", "CONTENT-ENCODING", "TRANSFER-ENCODING", "SCRIPT_NAME"),
    }
)
_METHODS: Final = frozenset({"GET", "HEAD"})
_PROTOCOLS: Final = {(1, 0): "HTTP/1.0", (1, 1): "HTTP/1.1"}


class _Head(NamedTuple):
    """What the header fields of a request say. ``is_usual``: the app would answer anybody else the same."""

    protocol: str
    fields: dict[str, str]
    is_usual: bool
    coding: str
    is_suspicious: bool


class _Visit(NamedTuple):
    """A usual request: gunicorn's, its head, the client's address, and whether a trusted proxy sent it."""

    request: Any
    head: _Head
    client: str
    is_trusted: bool


class Reply(NamedTuple):
    """An answer that has to be sent, since its request is counted already."""

    protocol: str
    answer: Answer
    body: bytes
    sends_body: bool
    observation: Any

    def send(self, sock: Any, closes: bool) -> None:
        """Send the answer, then count and log the request. ``closes`` says whether the connection ends with it."""
        observation = self.observation
        try:
            begin = write_begin(self.protocol.encode(), self.answer.status, closes)
            fields = {b"length": len(self.body), b"id": observation.request_id.encode() if observation else b""}
            end = b"\r\n" + self.body if self.sends_body else b"\r\n"
            send_at_once(sock, begin + self.answer.head % fields + end)
        finally:
            if observation is not None:
                observation.finish()


class Door:
    """The door of a worker."""

    def __init__(self, app: Flask, settings: Settings) -> None:
        self._app = app
        self._answers = answer_cache.answers_of(app)
        self._has_telemetry = settings.telemetry
        self._proxies = ProxyList(settings.trusted_proxies)
        cookie = re.escape(app.config["SESSION_COOKIE_NAME"])
        self._has_session = re.compile(rf"(?:^|;)[ \t]*{cookie}[ \t]*(?:=|;|$)").search

    def find(self, request: Any, peer: Any) -> Reply | None:
        """Return the answer to send; None if the app has to answer. Then ``handed_on`` is what its environ gets."""
        try:
            visit = self._read(request, peer)
            return self._find_reply(visit) if visit is not None else None
        except Exception:
            log.exception("answer not found", extra={"event": "answers.failed"})  # the app answers
            return None

    def _read(self, request: Any, peer: Any) -> _Visit | None:
        """Read a usual request; None for any other."""
        target: str = request.uri
        if request.method not in _METHODS or target[:1] != "/" or target[:2] == "//" or request.proxy_protocol_info:
            return None
        head = request.head.findings
        protocol = _PROTOCOLS.get(request.version)
        if head is None or head.protocol != protocol:
            head = request.head.findings = self._examine(request.head.fields, protocol or "")
        client = peer[0] if isinstance(peer, tuple) else peer
        if not head.is_usual or not isinstance(client, str):
            return None
        if self._proxies.trusts(client):
            return _Visit(
                request, head, self._proxies.find_client(client, head.fields.get("X-FORWARDED-FOR", "")), True
            )
        return _Visit(request, head, client, False)

    def _examine(self, given: tuple[tuple[str, str], ...], protocol: str) -> _Head:
        """Find out what there is to know of a head; once for all requests that have the same."""
        fields = dict(given)
        is_usual = (
            bool(protocol)
            and len(fields) == len(given)  # no field comes twice
            and _UNUSUAL.isdisjoint(fields)
            and ("IF-MODIFIED-SINCE" not in fields or "IF-NONE-MATCH" in fields)
            and not self._has_session(fields.get("COOKIE", ""))
            and maintenance.is_host(fields.get("HOST"), protocol)
        )
        is_suspicious = is_usual and self._has_telemetry and telemetry.is_suspicious("/", "", given)
        return _Head(protocol, fields, is_usual, choose_coding(fields.get("ACCEPT-ENCODING", "")), is_suspicious)

    def _find_reply(self, visit: _Visit) -> Reply | None:
        request = visit.request
        key = Key(request.uri, visit.head.coding)
        kept = self._answers.find(key)
        answer = _choose_answer(kept, visit.head.fields) if kept is not None else None
        if kept is None or answer is None:
            if request.method == "GET":
                request.handed_on = {answer_cache.DRAFT: self._answers.begin(key)}
            return None
        body = _make_body(kept, answer, visit)
        if body is None or not self._is_allowed(visit, kept):
            return None
        self._answers.use(kept)
        sends_body = request.method == "GET" and answer.code != 304
        observation = self._observe(visit, kept, answer, len(body) if sends_body else 0)
        return Reply(visit.head.protocol, answer, body, sends_body, observation)

    def _is_allowed(self, visit: _Visit, kept: Kept) -> bool:
        """Whether the app would answer, too: the site is open, nothing is suspicious, and no limit is reached."""
        request, head, terms = visit.request, visit.head, kept.terms
        if not terms.in_maintenance and maintenance.find_state(self._app).shown is not None:
            return False
        if self._has_telemetry and (head.is_suspicious or telemetry.is_suspicious(request.uri, request.query, ())):
            return False
        return terms.limit is None or rate_limits.count_client(self._app, terms.limit, visit.client) is None

    def _observe(self, visit: _Visit, kept: Kept, answer: Answer, sent: int) -> Any:
        """Begin to observe the request, and count what its view counts."""
        if not self._has_telemetry:
            return None
        fields = visit.head.fields
        observation = telemetry.begin_request(
            {
                "church.started": visit.request.unreader.started,
                "church.trusted": visit.is_trusted,
                "REQUEST_METHOD": visit.request.method,
                "REMOTE_ADDR": visit.client,
                "PATH_INFO": kept.terms.path,
                "HTTP_HOST": fields.get("HOST"),
                "HTTP_TRACEPARENT": fields.get("TRACEPARENT"),
                "HTTP_X_REQUEST_ID": fields.get("X-REQUEST-ID"),
                "HTTP_USER_AGENT": fields.get("USER-AGENT"),
                "HTTP_REFERER": fields.get("REFERER"),
                "HTTP_COOKIE": fields.get("COOKIE"),
            }
        )
        observation.route, observation.status, observation.sent = kept.terms.route, answer.code, sent
        for repeat in kept.terms.repeats:
            repeat()
        return observation


def _choose_answer(kept: Kept, fields: dict[str, str]) -> Answer | None:
    """The whole answer, or the 304 for a client that has this very version; None if the app has to compare."""
    condition = fields.get("IF-NONE-MATCH")
    if condition is None:
        return kept.answer
    return kept.unchanged if condition == kept.etag else None


def _make_body(kept: Kept, answer: Answer, visit: _Visit) -> bytes | None:
    """The body of an answer; None if it is one that the app would compress."""
    if kept.terms.make is None:
        return answer.body
    body = kept.terms.make(visit.client, visit.head.fields)
    return body if len(body) < MIN_BYTES else None
