"""All that is kept of one request: its log records, its trace, its errors, and those of the jobs that it queued.

Request ids made by the site begin with their milliseconds, in 12 hexadecimal digits, so that no segment from before the
request is opened; ids that came from elsewhere are looked up in all.
"""

from __future__ import annotations

import re
from typing import Any

from church.telemetry_store.queries.arguments import LATEST, MOST_ROWS, Arguments
from church.telemetry_store.queries.query import ALL_TIME, Args, Batches, Plan, Query, Span
from church.telemetry_store.queries.reader import Reader
from church.telemetry_store.queries.sql import equals
from church.telemetry_store.tables import TABLES

_OWN_ID = re.compile(r"[0-9a-f]{24}")
_FIRST_MS, _LAST_MS = 1_577_836_800_000, 4_102_444_800_000  # 2020 and 2100: other times are chance
_EARLY = 60_000_000  # microseconds that the clock of another host may be ahead
_TABLES = ("logs", "traces", "errors")


def span_of_id(request_id: str) -> Span:
    """Return when records of a request may have been written: since its begin, if its id says when that was."""
    if _OWN_ID.fullmatch(request_id) and _FIRST_MS <= (milliseconds := int(request_id[:12], 16)) < _LAST_MS:
        return milliseconds * 1000 - _EARLY, LATEST
    return ALL_TIME


def _parse(arguments: Arguments) -> Plan:
    args = {"request_id": arguments.required_text("request_id")}
    arguments.finish()
    span = span_of_id(args["request_id"])
    return Plan(args, dict.fromkeys(_TABLES, span))


def _find(reader: Reader, args: Args) -> Batches:
    """Return what there is, oldest first, each row with its ``table``."""
    where = equals("request_id", args["request_id"])
    found: list[dict[str, Any]] = []
    more = False
    for table in _TABLES:
        for rows in reader.search(table, TABLES[table].names, where, MOST_ROWS, newest_first=False):
            found += ({"table": table, **row} for row in rows)
        more = more or reader.more
        reader.more = False
    found.sort(key=lambda row: (row["ts"], row["seq"]))
    reader.more = more or len(found) > MOST_ROWS
    yield found[:MOST_ROWS]


QUERIES = {"requests.find": Query(_parse, _find)}
