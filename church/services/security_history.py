"""What the telemetry store knows of attacks: events and failed sign-ins over time, addresses, and the newest events."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from church.config import Settings
from church.services import telemetry_queries

SLICES = 60
"""Parts of the time in which events are counted."""
_EVENTS_SHOWN = 30
_ADDRESSES_SHOWN = 12
_LOGGER = "church.security"


@dataclass(frozen=True)
class Counted:
    """How many events of a kind there were in a part of the time, which begins ``at`` so many microseconds."""

    at: int
    kind: str
    count: int


@dataclass(frozen=True)
class EventType:
    """A type of events, with their number."""

    name: str
    severity: str
    count: int


@dataclass(frozen=True)
class Address:
    """An address, what came from it, and when last."""

    ip: str
    events: int
    failed_sign_ins: int
    types: tuple[str, ...]
    last: datetime


@dataclass(frozen=True)
class Event:
    """A security event. Of a finding: what matched (``activity``), where (``source``) and an excerpt."""

    at: datetime
    name: str
    severity: str
    ip: str
    method: str
    request_id: str
    activity: str
    source: str
    excerpt: str
    count: int


@dataclass(frozen=True)
class SecurityHistory:
    """All of it, for a span of time."""

    events: tuple[Counted, ...]
    """By type."""
    sign_ins: tuple[Counted, ...]
    """Failed ones, by outcome."""
    types: tuple[EventType, ...]
    """Most frequent first."""
    addresses: tuple[Address, ...]
    newest: tuple[Event, ...]
    has_more: bool


def load_history(settings: Settings, from_us: int, to_us: int, event: str | None = None) -> SecurityHistory:
    """Load what happened from ``from_us`` until ``to_us``; the newest events may be of one type.

    Raises TelemetryStoreDownError and TelemetryQueryError: the store may not run, be busy or take too long.
    """
    span = {"from": from_us, "to": to_us}
    counts = telemetry_queries.ask(settings, "security.counts", **span, buckets=SLICES).rows
    sign_ins = telemetry_queries.ask(settings, "security.sign_ins", **span, buckets=SLICES).rows
    addresses = telemetry_queries.ask(settings, "security.addresses", **span, top=_ADDRESSES_SHOWN).rows
    filters = {"logger": _LOGGER} | ({"event": f"security.{event}"} if event else {})
    found = telemetry_queries.ask(settings, "logs.search", **span, filters=filters, limit=_EVENTS_SHOWN)
    return SecurityHistory(
        events=tuple(Counted(row["at"], row["type"] or "other", row["count"]) for row in counts),
        sign_ins=tuple(Counted(row["at"], row["outcome"], row["count"]) for row in sign_ins),
        types=_sum_types(counts),
        addresses=tuple(_address(row) for row in addresses),
        newest=tuple(_event(row) for row in found.rows),
        has_more=found.has_more,
    )


def _sum_types(counts: list[dict[str, Any]]) -> tuple[EventType, ...]:
    sums: dict[tuple[str, str], int] = {}
    for row in counts:
        key = (row["type"] or "other", row["severity"] or "")
        sums[key] = sums.get(key, 0) + row["count"]
    return tuple(
        EventType(name, severity, count)
        for (name, severity), count in sorted(sums.items(), key=lambda one: (-one[1], one[0]))
    )


def _address(row: dict[str, Any]) -> Address:
    return Address(row["ip"], row["events"], row["failed_sign_ins"], tuple(row["types"]), _moment(row["last"]))


def _event(row: dict[str, Any]) -> Event:
    facts = _facts(row["extra"])
    return Event(
        at=_moment(row["ts"]),
        name=str(row["event"] or "").removeprefix("security."),
        severity=str(facts.get("severity", "")),
        ip=row["ip"] or "",
        method=row["method"] or "",
        request_id=row["request_id"] or "",
        activity=str(facts.get("activity_type", "")),
        source=str(facts.get("source", "")),
        excerpt=str(facts.get("excerpt", "")),
        count=next((facts[name] for name in ("count", "withheld") if isinstance(facts.get(name), int)), 1),
    )


def _facts(extra: str | None) -> dict[str, Any]:
    try:
        found = json.loads(extra or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _moment(at_us: int) -> datetime:
    return datetime.fromtimestamp(at_us / 1e6, UTC)
