"""Record what a request, job or live message does, as plain tuples; at its end ``keeping`` decides about them.

Each has a ``Flight``. Until it is over, the hooks of the site add spans to it: a span costs about a microsecond, and
nothing is named, formatted or looked up before the flight is kept.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from contextvars import ContextVar
from time import perf_counter
from types import TracebackType
from typing import Any, Final, NamedTuple

from church.observability.fingerprints import name_type

MAX_SPANS: Final = 500
"""Most spans of a flight; further ones are counted by name."""
MAX_EVENTS: Final = 100
_MAX_NAMES = 50  # of spans that are counted only
_OTHER = "other"

INTERNAL: Final = "INTERNAL"
CLIENT: Final = "CLIENT"
STATEMENT: Final = "STATEMENT"
"""A CLIENT span whose ``what`` is the text of a statement; its name is made when the flight is kept."""

_LOW_64 = (1 << 64) - 1
_SAMPLED = 1
_NO_ATTRIBUTES: Final[Mapping[str, Any]] = {}
_PARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")

Span = tuple[int, str, str, float, float, Mapping[str, Any], str | None]
"""Place of the parent (-1: the root), kind, name, begin, end, attributes, and the error's class if it failed."""
Ids = tuple[str, str]
"""The trace and the span, in hexadecimal digits."""


class Parent(NamedTuple):
    """The span, elsewhere, that a flight continues."""

    trace_id: int
    span_id: str
    sampled: bool


class Rules(NamedTuple):
    """Which flights are asked for before they have begun."""

    paths: tuple[str, ...] = ()
    """Those of requests whose path begins with one of these."""
    rate: float = 0.0
    """This share of all."""
    parent_first: bool = True
    """A trusted parent decides, and the share is of those without one."""


rules = Rules()


def prepare(new: Rules) -> None:
    """Ask for flights by these rules from now on."""
    global rules  # noqa: PLW0603 - one for the process, as logging is
    rules = new


class Flight:
    """The spans of one request, job or live message."""

    __slots__ = (
        "_root",
        "_trace",
        "asked",
        "began",
        "dropped",
        "error_type",
        "events",
        "link",
        "open",
        "over",
        "parent_id",
        "spans",
    )

    def __init__(self, began: float, parent: Parent | None = None, link: Ids | None = None) -> None:
        self.began = began
        self.spans: list[Span | None] = []
        self.events: list[tuple[float, str, Mapping[str, Any]]] = []
        self.dropped: dict[tuple[str, str], int] = {}
        self.open = -1
        """The place of the span that is open now."""
        self.over = False
        self.error_type: str | None = None
        self.link = link
        self._root = 0
        if parent is None:
            self.parent_id: str | None = None
            self._trace = 0
            self.asked = rules.rate > 0 and self._is_drawn()
        else:
            self._trace, self.parent_id = parent.trace_id, parent.span_id
            self.asked = parent.sampled if rules.parent_first else self._is_drawn()

    def _is_drawn(self) -> bool:
        """Whether the flight is of the share that is kept, by its trace id, so that all parts of a trace agree."""
        return self._number & _LOW_64 < round(rules.rate * (1 << 64))

    @property
    def _number(self) -> int:
        if not self._trace:
            self._trace = random.getrandbits(128) or 1
        return self._trace

    @property
    def ids(self) -> Ids:
        """The trace and its root span here; made at the first use."""
        return f"{self._number:032x}", self.id_of(-1)

    @property
    def known_ids(self) -> Ids | None:
        """The ids, if something has asked for them."""
        return self.ids if self._root else None

    def id_of(self, place: int) -> str:
        """The id of the span at ``place``; -1 is the root."""
        if not self._root:
            self._root = random.getrandbits(64) or 1
        return f"{(self._root + place + 1) & _LOW_64 or 1:016x}"

    def add(
        self,
        kind: str,
        what: str,
        began: float,
        attributes: Mapping[str, Any] = _NO_ATTRIBUTES,
        error: str | None = None,
    ) -> None:
        """Record a span without spans below it, which ends now."""
        spans = self.spans
        if len(spans) < MAX_SPANS:
            spans.append((self.open, kind, what, began, perf_counter(), attributes, error))
        else:
            self.drop(kind, what)

    def add_wait(self, queue: str, began: float) -> None:
        """Record that something waited for its turn, until now; ``queue`` names what for."""
        self.add(INTERNAL, "queue.wait", began, {"church.queue": queue})

    def drop(self, kind: str, what: str) -> None:
        """Count a span that is one too many."""
        key = (kind, what)
        if key not in self.dropped and len(self.dropped) >= _MAX_NAMES:
            key = (INTERNAL, _OTHER)
        self.dropped[key] = self.dropped.get(key, 0) + 1

    def note(self, name: str, facts: Mapping[str, Any]) -> None:
        """Record an event."""
        if len(self.events) < MAX_EVENTS:
            self.events.append((perf_counter(), name, facts))

    def traceparent(self) -> str:
        """What a queued job needs to continue this trace (W3C Trace Context).

        Whether the trace is kept shows at its end alone: its parts are asked for where it was itself.
        """
        return f"00-{self._number:032x}-{self.id_of(self.open)}-{int(self.asked):02x}"


current: ContextVar[Flight | None] = ContextVar("church_flight", default=None)


def current_flight() -> Flight | None:
    """The flight that records now, if there is one."""
    flight = current.get()
    return flight if flight is not None and not flight.over else None


def begin_request(environ: Mapping[str, Any], began: float) -> Flight:
    """Begin the flight of a request, which continues the trace of a trusted proxy."""
    given = environ.get("HTTP_TRACEPARENT")
    parent = parse_traceparent(given) if given is not None and environ.get("church.trusted", False) else None
    flight = Flight(began, parent)
    if rules.paths and environ.get("PATH_INFO", "").startswith(rules.paths):
        flight.asked = True
    current.set(flight)
    return flight


def parse_traceparent(text: str) -> Parent | None:
    """Read a ``traceparent`` header; None if it is not valid."""
    match = _PARENT.fullmatch(text.strip())
    if match is None:
        return None
    version, trace_id, span_id, flags, rest = match.groups()
    if version == "ff" or (version == "00" and rest) or not int(trace_id, 16) or not int(span_id, 16):
        return None
    return Parent(int(trace_id, 16), span_id, bool(int(flags, 16) & _SAMPLED))


def note(name: str, facts: Mapping[str, Any]) -> None:
    """Add an event to the current flight."""
    flight = current_flight()
    if flight is not None:
        flight.note(name, facts)


def name_failure(error: BaseException) -> str | None:
    """The class of an error by which a span has failed; None for one that says that the caller was wrong."""
    for given in (getattr(error, "status", None), getattr(error, "code", None)):
        if isinstance(given, int) and given < 500:
            return None
    return name_type(type(error))


class OpenSpan:
    """A piece of work, as a context manager; spans that begin within it are below it."""

    __slots__ = ("_attributes", "_began", "_flight", "_kind", "_name", "_outer", "_place")

    def __init__(self, name: str, attributes: Mapping[str, Any] = _NO_ATTRIBUTES, kind: str = INTERNAL) -> None:
        self._name, self._attributes, self._kind = name, attributes, kind
        self._flight: Flight | None = None

    def __enter__(self) -> None:
        self._flight = flight = current_flight()
        if flight is None:
            return
        if len(flight.spans) >= MAX_SPANS:
            flight.drop(self._kind, self._name)
            self._flight = None
            return
        self._outer, self._place = flight.open, len(flight.spans)
        flight.open = self._place
        flight.spans.append(None)
        self._began = perf_counter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        flight = self._flight
        if flight is None:
            return
        failure = None if error is None else name_failure(error)
        flight.spans[self._place] = (
            self._outer,
            self._kind,
            self._name,
            self._began,
            perf_counter(),
            self._attributes,
            failure,
        )
        flight.open = self._outer
