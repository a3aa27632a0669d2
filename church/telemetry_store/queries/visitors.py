"""How many visitors came: addresses, each with the browsers that were used there, as no visitor has a number."""

from __future__ import annotations

from church.lib.user_agents import BROWSERS
from church.telemetry_store.queries.arguments import Arguments
from church.telemetry_store.queries.log_filters import not_admin
from church.telemetry_store.queries.query import Args, Batches, Plan, Query
from church.telemetry_store.queries.reader import Reader, within
from church.telemetry_store.queries.routes import ACCESS_EVENT
from church.telemetry_store.queries.sql import both, bucket, count_distinct, equals, is_one_of

_MOST_BUCKETS = 200


def _parse(arguments: Arguments) -> Plan:
    begin, end = arguments.span()
    buckets = arguments.integer("buckets", 1, _MOST_BUCKETS)
    args = {
        "span": (begin, end),
        "width": -(-(end - begin) // buckets),
        "exclude_admin": arguments.boolean("exclude_admin"),
    }
    arguments.finish()
    return Plan(args, {"logs": (begin, end)})


def _counts(reader: Reader, args: Args) -> Batches:
    """A row for each slice of the time in which somebody came, and one without ``at`` for all of it."""
    conditions = [
        within(args["span"]),
        equals("event", ACCESS_EVENT),
        is_one_of("user_agent", BROWSERS),
    ]
    if args["exclude_admin"]:
        conditions.append(not_admin())
    visitors = count_distinct("visitor", reader.count_rows("logs"))
    slice_ = bucket(args["span"][0], args["width"])
    yield reader.read(
        f"SELECT slice AS at, {visitors} AS visitors "  # noqa: S608 - names and numbers of ours
        f"FROM (SELECT {slice_} AS slice, ip || ' ' || user_agent AS visitor FROM {{rows}}) "
        "GROUP BY GROUPING SETS ((slice), ()) ORDER BY slice",
        "logs",
        both(*conditions),
    )


QUERIES = {"visitors.counts": Query(_parse, _counts)}
