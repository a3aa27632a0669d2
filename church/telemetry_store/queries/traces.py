"""Queries of the kept traces: lists, one trace with its spans, and figures by route."""

from __future__ import annotations

from itertools import chain

from church.telemetry_store.queries.arguments import MOST_ROWS, Arguments, Cursor
from church.telemetry_store.queries.query import ALL_TIME, Args, Batches, Plan, Query
from church.telemetry_store.queries.reader import Reader, within
from church.telemetry_store.queries.sql import both, equal_if_given, equals, quantiles
from church.telemetry_store.tables import TABLES

_COLUMNS = TABLES["traces"].names
_LISTED = tuple(name for name in _COLUMNS if name not in {"spans", "events", "links", "dropped"})
_FILTERS = ("route", "name", "kept", "root")
_ORDERS = ("newest", "slowest", "failed", "typical")
_MOST_PARTS = 50  # of one trace: a process each
_MOST_ROUTES = 500


def _parse_list(arguments: Arguments) -> Plan:
    span, before = arguments.span(), arguments.cursor("before")
    args = {
        "span": span,
        "order": arguments.choice("order", _ORDERS, "newest"),
        "limit": arguments.integer("limit", 1, MOST_ROWS, 50),
        "before": before,
        **{name: arguments.text(name) for name in _FILTERS},
    }
    arguments.finish()
    return Plan(args, {"traces": span})


def _list(reader: Reader, args: Args) -> Batches:
    before = None if args["before"] is None else Cursor(*args["before"])
    conditions = [within(args["span"], before), *equal_if_given(args, _FILTERS)]
    if args["order"] == "failed":
        conditions.append(equals("outcome", "failed"))
    if args["order"] == "typical":
        conditions.append(equals("kept", "typical"))
    where, limit = both(*conditions), args["limit"]
    if args["order"] != "slowest":
        yield from reader.search("traces", _LISTED, where, limit)
        return
    order = "duration_ms DESC, ts DESC, seq DESC"
    statement = f"SELECT {', '.join(_LISTED)} FROM {{rows}} ORDER BY {order} LIMIT {limit + 1}"  # noqa: S608 - names of ours
    found = reader.read(statement, "traces", where)
    reader.more = len(found) > limit
    yield found[:limit]


def _parse_get(arguments: Arguments) -> Plan:
    args = {"trace_id": arguments.required_text("trace_id")}
    arguments.finish()
    return Plan(args, {"traces": ALL_TIME})


def _get(reader: Reader, args: Args) -> Batches:
    """Return a trace's parts, one a process or job, oldest first."""
    parts = chain.from_iterable(reader.search("traces", _COLUMNS, equals("trace_id", args["trace_id"]), _MOST_PARTS))
    yield sorted(parts, key=lambda row: (row["ts"], row["seq"]))


def _parse_routes(arguments: Arguments) -> Plan:
    span = arguments.span()
    arguments.finish()
    return Plan({"span": span}, {"traces": span})


def _routes(reader: Reader, args: Args) -> Batches:
    """Return the routes and jobs that have traces, the most frequent first."""
    figures = quantiles("duration_ms", reader.count_rows("traces"))
    yield reader.read(
        "SELECT name, root, count(*) AS count, count(*) FILTER (WHERE outcome = 'failed') AS failed, "  # noqa: S608
        f"count(*) FILTER (WHERE kept = 'slow') AS slow, {figures} "
        f"FROM {{rows}} GROUP BY name, root ORDER BY count DESC, name LIMIT {_MOST_ROUTES}",
        "traces",
        within(args["span"]),
    )


QUERIES = {
    "traces.list": Query(_parse_list, _list),
    "traces.get": Query(_parse_get, _get),
    "traces.routes": Query(_parse_routes, _routes),
}
