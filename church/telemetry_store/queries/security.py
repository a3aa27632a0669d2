"""Queries of security events and failed sign-ins: how many over time, and from which addresses.

Events that the budget of records has left out are counted, too: ``security.records_withheld`` has their number.
"""

from __future__ import annotations

from church.telemetry_store.queries.arguments import Arguments
from church.telemetry_store.queries.logs import bucket_width
from church.telemetry_store.queries.query import Args, Batches, Plan, Query
from church.telemetry_store.queries.reader import Reader, within
from church.telemetry_store.queries.sql import Condition, both, bucket, distinct_values, json_number, json_text

_MOST_BUCKETS = 200
_MOST_ADDRESSES = 100
_PREFIX = "security."
_EVENT = f"starts_with(event, '{_PREFIX}')"
_TYPE = (
    f"CASE WHEN event = '{_PREFIX}records_withheld' THEN {json_text('extra', 'event_type')} "
    f"ELSE substr(event, {len(_PREFIX) + 1}) END"
)
_TIMES = f"coalesce({json_number('extra', 'withheld')}, {json_number('extra', 'count')}, 1)"
_OUTCOME = json_text("extra", "outcome")
_FAILED_SIGN_IN = f"event IN ('auth.login', 'auth.token') AND starts_with({_OUTCOME}, 'failed')"
# The record of a failed sign-in has no address; the access record of the same request has it.
_ITS_REQUEST = "event = 'http.request' AND method = 'POST' AND starts_with(route, '/auth/')"


def _parse_buckets(arguments: Arguments) -> Plan:
    span = arguments.span()
    args = {"span": span, "buckets": arguments.integer("buckets", 1, _MOST_BUCKETS, 60)}
    arguments.finish()
    return Plan(args, {"logs": span})


def _slice_of(args: Args) -> str:
    """The begin of the time slice that a row is in."""
    begin, end = args["span"]
    return bucket(begin, bucket_width(begin, end, args["buckets"]))


def _counts(reader: Reader, args: Args) -> Batches:
    yield reader.read(
        f"SELECT {_slice_of(args)} AS at, {_TYPE} AS type, {json_text('extra', 'severity')} AS severity, "  # noqa: S608 - numbers and names of ours
        f"sum({_TIMES})::BIGINT AS count FROM {{rows}} GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
        "logs",
        both(within(args["span"]), Condition(_EVENT)),
    )


def _sign_ins(reader: Reader, args: Args) -> Batches:
    yield reader.read(
        f"SELECT {_slice_of(args)} AS at, {_OUTCOME} AS outcome, count(*) AS count FROM {{rows}} "  # noqa: S608 - as above
        "GROUP BY 1, 2 ORDER BY 1, 2",
        "logs",
        both(within(args["span"]), Condition(_FAILED_SIGN_IN)),
    )


def _parse_addresses(arguments: Arguments) -> Plan:
    span = arguments.span()
    args = {"span": span, "top": arguments.integer("top", 1, _MOST_ADDRESSES, 20)}
    arguments.finish()
    return Plan(args, {"logs": span})


def _addresses(reader: Reader, args: Args) -> Batches:
    """Return the addresses with most events and failed sign-ins, with the types of their events."""
    yield reader.read(
        "WITH found AS (SELECT ts, event, ip, request_id, extra FROM {rows}), "  # noqa: S608 - names of ours
        f"failed AS (SELECT request_id, count(*) AS times FROM found WHERE {_FAILED_SIGN_IN} GROUP BY 1), "
        f"seen AS (SELECT ip, ts, {_TIMES} AS events, 0 AS sign_ins, {_TYPE} AS type FROM found WHERE {_EVENT} "
        "UNION ALL SELECT ip, ts, 0, times, NULL FROM found JOIN failed USING (request_id) "
        "WHERE event = 'http.request') "
        "SELECT ip, sum(events)::BIGINT AS events, sum(sign_ins)::BIGINT AS failed_sign_ins, max(ts) AS last, "
        f"coalesce(list_sort({distinct_values('type')}), []) AS types FROM seen WHERE ip IS NOT NULL "
        f"GROUP BY ip ORDER BY sum(events) + sum(sign_ins) DESC, ip LIMIT {int(args['top'])}",
        "logs",
        both(within(args["span"]), Condition(f"({_EVENT}) OR ({_FAILED_SIGN_IN}) OR ({_ITS_REQUEST})")),
    )


QUERIES = {
    "security.counts": Query(_parse_buckets, _counts),
    "security.sign_ins": Query(_parse_buckets, _sign_ins),
    "security.addresses": Query(_parse_addresses, _addresses),
}
