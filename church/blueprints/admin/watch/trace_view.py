"""A kept trace as a waterfall: its spans in the order of a tree, with their own time, and statements that repeat."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any

from church.blueprints.admin.watch.store_answers import read_json
from church.services.telemetry_queries import Row

MOST_REPEATS = 5
_REPEATED = 3
_THINNEST = 0.3  # percent: so that a short span is seen


@dataclass(frozen=True)
class SpanView:
    """A span; times in ms, ``x`` and ``width`` in percent of the trace, ``own_ms`` without the spans below it."""

    id: str
    kind: str
    name: str
    depth: int
    start_ms: float
    duration_ms: float
    own_ms: float
    x: float
    width: float
    attributes: dict[str, Any]
    is_failed: bool


@dataclass(frozen=True)
class Repeat:
    """A statement or call that occurs several times."""

    name: str
    count: int
    total_ms: float


def open_trace(row: Row) -> Row:
    """The row of a trace with its ``spans`` as views, its ``repeats``, and its ``own_ms``."""
    spans = [span for span in read_json(row.get("spans")) or [] if isinstance(span, list) and len(span) == 8]
    whole = max(float(row.get("duration_ms") or 0) * 1000, 1.0)
    below: dict[str | None, list[list[Any]]] = defaultdict(list)
    ids = {span[0] for span in spans}
    for span in sorted(spans, key=lambda span: span[4]):
        below[span[1] if span[1] in ids else None].append(span)
    return {
        **row,
        "spans": list(_walk(below, None, 1, whole)),
        "events": read_json(row.get("events")) or [],
        "dropped": read_json(row.get("dropped")) or {},
        "repeats": _find_repeats(spans),
        "own_ms": max(0.0, whole - sum(span[5] for span in below[None])) / 1000,
    }


def _walk(below: dict[str | None, list[list[Any]]], parent: str | None, depth: int, whole: float) -> list[SpanView]:
    found: list[SpanView] = []
    for span in below[parent]:
        children = below.get(span[0], [])
        found.append(_view(span, depth, whole, sum(child[5] for child in children)))
        if depth < 50:  # a circle would be a fault of the recorder
            found += _walk(below, span[0], depth + 1, whole)
    return found


def _view(span: list[Any], depth: int, whole: float, inside: float) -> SpanView:
    span_id, _, kind, name, start, duration, attributes, status = span
    x = min(100.0, 100.0 * start / whole)
    return SpanView(
        id=span_id,
        kind=kind,
        name=name,
        depth=min(depth, 8),
        start_ms=start / 1000,
        duration_ms=duration / 1000,
        own_ms=max(0.0, duration - inside) / 1000,
        x=round(x, 2),
        width=round(max(_THINNEST, min(100.0 - x, 100.0 * duration / whole)), 2),
        attributes=attributes or {},
        is_failed=status == "error",
    )


def _find_repeats(spans: list[list[Any]]) -> list[Repeat]:
    """The same statement, or call, at least three times: most often a query in a loop."""
    counts: Counter[tuple[str, str]] = Counter()
    times: dict[tuple[str, str], float] = defaultdict(float)
    for span in spans:
        if span[2] == "CLIENT":
            key = (span[3], str((span[6] or {}).get("db.query.text", "")))
            counts[key] += 1
            times[key] += span[5] / 1000
    repeated = [(key, count) for key, count in counts.most_common() if count >= _REPEATED]
    return [Repeat(key[0], count, times[key]) for key, count in repeated[:MOST_REPEATS]]
