"""All that is kept of one member by their ref: log records, traces and errors, page by page, for their export."""

from __future__ import annotations

from church.telemetry_store.queries.arguments import LATEST, MOST_ROWS, Arguments, Cursor
from church.telemetry_store.queries.query import ALL_TIME, Args, Batches, Plan, Query
from church.telemetry_store.queries.reader import Reader, within
from church.telemetry_store.queries.sql import both, equals
from church.telemetry_store.tables import TABLES

_TABLES = ("logs", "traces", "errors")


def _parse(arguments: Arguments) -> Plan:
    before = arguments.cursor("before")
    args = {
        "user_ref": arguments.required_text("user_ref"),
        "table": arguments.choice("table", _TABLES, _TABLES[0]),
        "limit": arguments.integer("limit", 1, MOST_ROWS, 100),
        "before": before,
    }
    arguments.finish()
    span = ALL_TIME if before is None else (0, before.ts + 1)
    return Plan(args, {str(args["table"]): span})


def _records(reader: Reader, args: Args) -> Batches:
    """Return the rows of one table, newest first."""
    before = None if args["before"] is None else Cursor(*args["before"])
    where = both(within((0, LATEST), before), equals("user_ref", args["user_ref"]))
    return reader.search(args["table"], TABLES[args["table"]].names, where, args["limit"])


QUERIES = {"members.records": Query(_parse, _records)}
