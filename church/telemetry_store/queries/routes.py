"""Figures of each route from the access records: how many requests, errors, how long, and what they cost."""

from __future__ import annotations

from church.telemetry_store.queries.arguments import Arguments
from church.telemetry_store.queries.log_filters import not_admin
from church.telemetry_store.queries.query import Args, Batches, Plan, Query
from church.telemetry_store.queries.reader import Reader, within
from church.telemetry_store.queries.sql import both, equals, quantiles

_MOST_ROUTES = 1000
ACCESS_EVENT = "http.request"


def _parse(arguments: Arguments) -> Plan:
    span = arguments.span()
    args = {"span": span, "exclude_admin": arguments.boolean("exclude_admin")}
    arguments.finish()
    return Plan(args, {"logs": span})


def _summary(reader: Reader, args: Args) -> Batches:
    conditions = [within(args["span"]), equals("event", ACCESS_EVENT)]
    if args["exclude_admin"]:
        conditions.append(not_admin())
    yield reader.read(
        "SELECT route, method, count(*) AS count, "  # noqa: S608 - names and numbers of ours
        "count(*) FILTER (WHERE status BETWEEN 400 AND 499) AS errors_4xx, "
        "count(*) FILTER (WHERE status >= 500) AS errors_5xx, "
        f"{quantiles('duration_ms', reader.count_rows('logs'))}, "
        "sum(duration_ms) AS duration_ms, sum(cpu_ms) AS cpu_ms, CAST(sum(bytes) AS BIGINT) AS bytes "
        f"FROM {{rows}} GROUP BY route, method ORDER BY count DESC, route, method LIMIT {_MOST_ROUTES}",
        "logs",
        both(*conditions),
    )


QUERIES = {"routes.summary": Query(_parse, _summary)}
