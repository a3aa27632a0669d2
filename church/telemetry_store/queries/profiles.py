"""Stacks of the sampling profiler, added up for a flame graph."""

from __future__ import annotations

from church.telemetry_store.queries.arguments import Arguments
from church.telemetry_store.queries.query import Args, Batches, Plan, Query
from church.telemetry_store.queries.reader import Reader, within
from church.telemetry_store.queries.sql import both, equal_if_given

_MOST_STACKS = 5000
_FILTERS = ("route", "process")


def _parse(arguments: Arguments) -> Plan:
    span = arguments.span()
    args = {"span": span, **{name: arguments.text(name) for name in _FILTERS}}
    arguments.finish()
    return Plan(args, {"profiles": span})


def _stacks(reader: Reader, args: Args) -> Batches:
    """Return the most frequent stacks by route; ``more`` says that rare ones were left out."""
    where = both(within(args["span"]), *equal_if_given(args, _FILTERS))
    found = reader.read(
        "SELECT route, stack, CAST(sum(count) AS BIGINT) AS count FROM {rows} "  # noqa: S608 - a number of ours
        f"GROUP BY route, stack ORDER BY count DESC, stack LIMIT {_MOST_STACKS + 1}",
        "profiles",
        where,
    )
    reader.more = len(found) > _MOST_STACKS
    yield found[:_MOST_STACKS]


QUERIES = {"profiles.stacks": Query(_parse, _stacks)}
