"""The access record: one line for each request, joined without a formatter.

``logs.records.RecordFormatter`` would write the same line in thirty times the time; a test compares the two.
"""

from __future__ import annotations

import json
import re
import time
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from church.lib.log_fields import Scheme, to_scheme
from church.observability.logs import records
from church.observability.metrics import definitions

if TYPE_CHECKING:
    from church.observability.request_observer import Observation

Paths = Literal["failures", "always", "never"]
"""When a member's record has the path; with ``never`` no visitor's has it either."""

Kind = tuple[str, str, int]
"""Method, route and status."""

_CONVERTER = re.compile(r"<[^<>]*:")
_FAILURE = 400
_WITHOUT_ROUTE = frozenset({definitions.UNMATCHED, definitions.OTHER})


class AccessRecords:
    """Writes the access records of a process; ``static`` are the fields that all its records have."""

    def __init__(self, static: dict[str, str], paths: Paths = "failures", scheme: Scheme = "plain") -> None:
        self._paths = paths
        self._scheme = scheme
        key = self._key
        self._begin = "{" + key("timestamp") + '"'
        self._head = f'", {key("level")}"INFO", {key("logger")}"church.access", {key("message")}'
        fixed = "".join(f"{key(name)}{records.quote(value)}, " for name, value in static.items())
        self._static = f', {key("event")}"http.request", {fixed}{key("request_id")}"'
        self._trace_id, self._span_id = key("trace_id"), key("span_id")
        self._user_ref = key("user_ref")
        self._cpu, self._bytes, self._ip = f", {key('cpu_ms')}", f", {key('bytes')}", f', {key("ip")}"'
        self._path, self._agent, self._referrer = (f", {key(name)}" for name in ("path", "user_agent", "referrer_host"))
        self._theirs = f', {key("client_request_id")}"'
        self._known: dict[Kind, tuple[str, str]] = {}

    def describe(self, observation: Observation, duration: float) -> dict[str, Any]:
        """The fields that the record has besides those of ``Observation.context``."""
        visitor = observation.visitor
        fields: dict[str, Any] = {
            "method": observation.method,
            "route": observation.route,
            "status": observation.status,
            "duration_ms": round(duration * 1000, 3),
            "cpu_ms": round(observation.cpu_seconds() * 1000, 3),
            "bytes": observation.sent,
            "ip": observation.client,
            "path": visitor.path if self._shows_path(observation) else None,
            "user_agent": visitor.user_agent,
            "referrer_host": visitor.referrer_host,
            "client_request_id": observation.client_request_id,
        }
        return {name: value for name, value in fields.items() if value is not None}

    def write(self, observation: Observation, kind: Kind, duration: float) -> bytes:
        """The line of a request; its ``kind`` is as it was counted, so that there is a bounded number of them."""
        message, answer = self._known.get(kind) or self._learn(kind)
        return (
            f"{self._begin}{records.timestamp(time.time())}{self._head}{message}{self._static}{observation.request_id}"
            f'", {self._context(observation)}{answer}{round(duration * 1000, 3)}'
            f"{self._cpu}{round(observation.cpu_seconds() * 1000, 3)}{self._bytes}{observation.sent}"
            f'{self._ip}{observation.client}"{self._visitor(observation)}}}\n'
        ).encode()

    def _context(self, observation: Observation) -> str:
        text = ""
        if observation.ids is not None:
            trace_id, span_id = observation.ids
            text = f'{self._trace_id}"{trace_id}", {self._span_id}"{span_id}", '
        if observation.user_ref:
            text += f"{self._user_ref}{records.quote(observation.user_ref)}, "
        return text

    def _visitor(self, observation: Observation) -> str:
        visitor, text = observation.visitor, ""
        if self._shows_path(observation):
            text = f"{self._path}{_quote(visitor.path)}"
        if (agent := visitor.user_agent) is not None:
            text += f"{self._agent}{_quote(agent)}"
        if (referrer := visitor.referrer_host) is not None:
            text += f"{self._referrer}{_quote(referrer)}"
        if observation.client_request_id is not None:
            text += f'{self._theirs}{observation.client_request_id}"'
        return text

    def _learn(self, kind: Kind) -> tuple[str, str]:
        method, route, status = kind
        answer = (
            f"{self._key('method')}{records.quote(method)}, {self._key('route')}{records.quote(route)}, "
            f"{self._key('status')}{status}, {self._key('duration_ms')}"
        )
        return self._known.setdefault(kind, (records.quote(access_message(*kind)), answer))

    def _key(self, name: str) -> str:
        return f"{json.dumps(to_scheme(name, self._scheme))}: "

    def _shows_path(self, observation: Observation) -> bool:
        if self._paths != "failures":
            return self._paths == "always"
        is_member = observation.user_ref is not None or observation.visitor.has_credentials
        return not is_member or observation.status >= _FAILURE


_quote = lru_cache(maxsize=2048)(records.quote)


def access_message(method: str, route: str, status: int) -> str:
    """A request in words, such as ``GET /pages/<slug> 200``: the route without its converters."""
    return f"{method} {_CONVERTER.sub('<', route)} {status}"


@lru_cache(maxsize=1024)
def name_request(method: str, route: str) -> str:
    """The name of a request's trace, such as ``GET /pages/<slug>``; without a route it is the method alone."""
    method = method if method != "_OTHER" else "HTTP"
    return method if route in _WITHOUT_ROUTE else f"{method} {_CONVERTER.sub('<', route)}"
