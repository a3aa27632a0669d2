"""Queries of the log records: search, tail, counts over time, facets, and the records around one."""

from __future__ import annotations

import time
from itertools import chain
from typing import Any

from church.telemetry_store.queries.arguments import LATEST, MOST_ROWS, Arguments, Cursor
from church.telemetry_store.queries.log_filters import parse_filters, to_condition
from church.telemetry_store.queries.query import ALL_TIME, Args, Batches, Plan, Query, stream_seconds
from church.telemetry_store.queries.reader import Reader, within
from church.telemetry_store.queries.sql import Condition, both, bucket, equals
from church.telemetry_store.tables import TABLES

FACETS = ("level", "event", "logger", "route", "status", "method", "host")
_COLUMNS = TABLES["logs"].names
_TAIL_SECONDS = 86_400  # how far back a tail looks for the first records
_MOST_BUCKETS = 200
_MOST_VALUES = 20
_MOST_AROUND = 200
_FACET_ROWS = 4096  # of all facets: a logger or route of its own a request would otherwise be listed in full


def _parse_search(arguments: Arguments) -> Plan:
    begin, end = arguments.span()
    before = arguments.cursor("before")
    args = {
        "span": (begin, end),
        "filters": parse_filters(arguments.part("filters")),
        "limit": arguments.integer("limit", 1, MOST_ROWS, 100),
        "before": before,
    }
    arguments.finish()
    end = end if before is None else min(end, before.ts + 1)
    seconds = stream_seconds((begin, end)) if args["filters"] else 5.0
    return Plan(args, {"logs": (begin, max(end, begin + 1))}, seconds)


def _search(reader: Reader, args: Args) -> Batches:
    before = None if args["before"] is None else Cursor(*args["before"])
    where = both(within(args["span"], before), to_condition(args["filters"]))
    return reader.search("logs", _COLUMNS, where, args["limit"])


def _parse_tail(arguments: Arguments) -> Plan:
    after = arguments.cursor("after")
    args = {
        "after": None if after is None else after.seq,
        "filters": parse_filters(arguments.part("filters")),
        "limit": arguments.integer("limit", 1, MOST_ROWS, 100),
    }
    arguments.finish()
    since = int(time.time() - _TAIL_SECONDS) * 1_000_000 if after is None else 0
    return Plan(args, {"logs": (since, LATEST)}, after_seq=0 if after is None else after.seq)


def _tail(reader: Reader, args: Args) -> Batches:
    """Return the newest records, and only those after a record: by ``seq``, as a late one has an earlier time."""
    after = [] if args["after"] is None else [Condition("seq > ?", (args["after"],))]
    newest = chain.from_iterable(
        reader.search("logs", _COLUMNS, both(to_condition(args["filters"]), *after), args["limit"])
    )
    yield sorted(newest, key=lambda row: (row["ts"], row["seq"]))


def _parse_counts(arguments: Arguments) -> Plan:
    span = arguments.span()
    args = {
        "span": span,
        "filters": parse_filters(arguments.part("filters")),
        "buckets": arguments.integer("buckets", 1, _MOST_BUCKETS, 60),
    }
    arguments.finish()
    return Plan(args, {"logs": span})


def _counts(reader: Reader, args: Args) -> Batches:
    begin, end = args["span"]
    width = bucket_width(begin, end, args["buckets"])
    where = both(within((begin, end)), to_condition(args["filters"]))
    yield reader.read(
        f"SELECT {bucket(begin, width)} AS at, level, count(*) AS count FROM {{rows}} GROUP BY 1, 2 ORDER BY 1, 2",  # noqa: S608 - numbers of ours
        "logs",
        where,
    )


def bucket_width(begin: int, end: int, buckets: int) -> int:
    """Return the microseconds of each of so many slices of a span."""
    return -(-(end - begin) // buckets)


def _parse_facets(arguments: Arguments) -> Plan:
    span = arguments.span()
    args = {
        "span": span,
        "filters": parse_filters(arguments.part("filters")),
        "top": arguments.integer("top", 1, _MOST_VALUES, 10),
    }
    arguments.finish()
    return Plan(args, {"logs": span})


def _facets(reader: Reader, args: Args) -> Batches:
    """Return the most frequent values of each facet, in one reading of the records."""
    sets = ", ".join(f"({facet})" for facet in FACETS)
    places = ", ".join(f"GROUPING({facet})" for facet in FACETS)
    found = reader.read(
        f"SELECT [{places}] AS places, {', '.join(FACETS)}, count(*) AS count FROM {{rows}} "  # noqa: S608 - names of ours
        f"GROUP BY GROUPING SETS ({sets}) ORDER BY count DESC LIMIT {_FACET_ROWS}",
        "logs",
        both(within(args["span"]), to_condition(args["filters"])),
    )
    values: dict[str, list[dict[str, Any]]] = {facet: [] for facet in FACETS}
    for row in found:
        facet = FACETS[row["places"].index(0)]
        if row[facet] is not None and len(values[facet]) < args["top"]:
            values[facet].append({"facet": facet, "value": row[facet], "count": row["count"]})
    yield list(chain.from_iterable(values.values()))


def _parse_around(arguments: Arguments) -> Plan:
    args = {
        "ts": arguments.integer("ts", 0, LATEST),
        "seq": arguments.integer("seq", 0, LATEST),
        "host": arguments.text("host"),
        "count": arguments.integer("count", 1, _MOST_AROUND, 20),
    }
    arguments.finish()
    return Plan(args, {"logs": ALL_TIME})


def _around(reader: Reader, args: Args) -> Batches:
    """Return the record, and so many before and after it, oldest first."""
    ts, seq = args["ts"], args["seq"]
    host = [] if args["host"] is None else [equals("host", args["host"])]
    until = both(Condition("ts <= ?", (ts,)), Condition("(ts < ? OR seq <= ?)", (ts, seq)), *host)
    after = both(Condition("ts >= ?", (ts,)), Condition("(ts > ? OR seq > ?)", (ts, seq)), *host)
    before = chain.from_iterable(reader.search("logs", _COLUMNS, until, args["count"] + 1, span=(0, ts + 1)))
    yield sorted(before, key=lambda row: (row["ts"], row["seq"]))
    later = reader.search("logs", _COLUMNS, after, args["count"], newest_first=False, span=(ts, LATEST))
    yield list(chain.from_iterable(later))


QUERIES = {
    "logs.search": Query(_parse_search, _search),
    "logs.tail": Query(_parse_tail, _tail),
    "logs.counts": Query(_parse_counts, _counts),
    "logs.facets": Query(_parse_facets, _facets),
    "logs.around": Query(_parse_around, _around),
}
