"""The record of a kept trace, as ``traces.log`` has it; written by the thread of the log, not by the request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from church.observability.logs.records import timestamp
from church.observability.logs.redaction import redact, redact_text
from church.observability.traces import statements
from church.observability.traces.keeping import Verdict
from church.observability.traces.recorder import CLIENT, STATEMENT, Flight, Span

_STATEMENT_TEXT = "db.query.text"  # without parameters, and unreadable if it were redacted


class Kept(NamedTuple):
    """A flight that is over and kept, and what is known of it."""

    flight: Flight
    verdict: Verdict
    root: str
    """``http``, ``job`` or ``live``."""
    name: str
    outcome: str
    """``ok`` or ``failed``."""
    ended: float
    """Seconds since 1970."""
    seconds: float
    facts: dict[str, Any]
    """Further fields; those that are None are left out."""


def describe(kept: Kept, static: Mapping[str, str]) -> dict[str, Any]:
    """The record of a kept flight; ``static`` are the fields that all records of the process have."""
    flight = kept.flight
    trace_id, span_id = flight.ids
    record: dict[str, Any] = {
        "kind": "trace",
        "timestamp": timestamp(kept.ended - kept.seconds),
        "trace_id": trace_id,
        "span_id": span_id,
        "parent_span_id": flight.parent_id,
        "links": [flight.link] if flight.link is not None else None,
        "root": kept.root,
        "name": redact_text(kept.name),
        "outcome": kept.outcome,
        "kept": kept.verdict,
        "duration_ms": round(kept.seconds * 1000, 3),
        "error_type": flight.error_type,
    }
    record.update(kept.facts)
    record.update(static)
    spans = [_describe_span(flight, place, span) for place, span in enumerate(flight.spans) if span is not None]
    record["spans"] = spans
    record["events"] = [
        [_microseconds(at - flight.began), redact_text(name), _redact(facts)] for at, name, facts in flight.events
    ]
    record["dropped"] = _name_dropped(flight)
    return {name: value for name, value in record.items() if value is not None}


def _describe_span(flight: Flight, place: int, span: Span) -> list[Any]:
    parent, kind, what, began, ended, attributes, error = span
    own = _redact(attributes)
    if kind == STATEMENT:
        what, facts = statements.describe(what)
        kind, own = CLIENT, {**own, **facts}
    if error is not None:
        own["error.type"] = error
    return [
        flight.id_of(place),
        flight.id_of(parent),
        kind,
        redact_text(what),
        _microseconds(began - flight.began),
        _microseconds(ended - began),
        own,
        "ok" if error is None else "error",
    ]


def _name_dropped(flight: Flight) -> dict[str, int]:
    named: dict[str, int] = {}
    for (kind, what), count in flight.dropped.items():
        name = redact_text(statements.describe(what)[0] if kind == STATEMENT else what)
        named[name] = named.get(name, 0) + count
    return named


def _redact(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value if name == _STATEMENT_TEXT else redact(name, value) for name, value in facts.items()}


def _microseconds(seconds: float) -> int:
    return round(seconds * 1_000_000)
