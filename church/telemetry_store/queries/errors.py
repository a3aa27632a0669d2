"""Queries of the errors: groups by fingerprint, and the occurrences of one group."""

from __future__ import annotations

from typing import Any

from church.telemetry_store.queries.arguments import MOST_ROWS, Arguments
from church.telemetry_store.queries.logs import bucket_width
from church.telemetry_store.queries.query import Args, Batches, Plan, Query
from church.telemetry_store.queries.reader import Reader, within
from church.telemetry_store.queries.sql import both, bucket, distinct_values, equals, latest
from church.telemetry_store.tables import TABLES

_COLUMNS = TABLES["errors"].names
_BUCKETS = 30  # of a group's counts over time
_MOST_GROUPS = 200


def _parse_groups(arguments: Arguments) -> Plan:
    span = arguments.span()
    args = {"span": span, "limit": arguments.integer("limit", 1, _MOST_GROUPS, 100)}
    arguments.finish()
    return Plan(args, {"errors": span})


def _groups(reader: Reader, args: Args) -> Batches:
    """Return the groups, the one that came last first, with counts over time from ``from`` to ``to``."""
    where, limit = within(args["span"]), args["limit"]
    newest = ", ".join(f"{latest(name)} AS {name}" for name in ("error_type", "place", "message"))
    groups = reader.read(
        f"SELECT fingerprint, {newest}, min(ts) AS first, max(ts) AS last, count(*) AS count, "  # noqa: S608
        f"count(DISTINCT user_ref) AS members, {distinct_values('version')} AS versions "
        f"FROM {{rows}} GROUP BY fingerprint ORDER BY last DESC LIMIT {limit + 1}",
        "errors",
        where,
    )
    reader.more = len(groups) > limit
    counts = _count_over_time(reader, args)
    yield [
        {**group, "versions": sorted(group["versions"] or []), "counts": counts[group["fingerprint"]]}
        for group in groups[:limit]
    ]


def _count_over_time(reader: Reader, args: Args) -> dict[str, list[int]]:
    begin, end = args["span"]
    width = bucket_width(begin, end, _BUCKETS)
    rows: list[dict[str, Any]] = reader.read(
        f"SELECT fingerprint, {bucket(begin, width)} AS at, count(*) AS count FROM {{rows}} GROUP BY 1, 2",  # noqa: S608
        "errors",
        within((begin, end)),
    )
    counts: dict[str, list[int]] = {}
    for row in rows:
        counts.setdefault(row["fingerprint"], [0] * _BUCKETS)[(row["at"] - begin) // width] = row["count"]
    return counts


def _parse_get(arguments: Arguments) -> Plan:
    span = arguments.span()
    args = {
        "span": span,
        "fingerprint": arguments.required_text("fingerprint"),
        "limit": arguments.integer("limit", 1, MOST_ROWS, 20),
    }
    arguments.finish()
    return Plan(args, {"errors": span})


def _get(reader: Reader, args: Args) -> Batches:
    where = both(within(args["span"]), equals("fingerprint", args["fingerprint"]))
    return reader.search("errors", _COLUMNS, where, args["limit"])


QUERIES = {
    "errors.groups": Query(_parse_groups, _groups),
    "errors.get": Query(_parse_get, _get),
}
