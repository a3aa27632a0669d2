"""Find out what an id, address or name is, among all that the store knows."""

from __future__ import annotations

import re
from collections.abc import Iterator

from church.telemetry_store.queries.arguments import Arguments
from church.telemetry_store.queries.query import ALL_TIME, Args, Batches, Plan, Query
from church.telemetry_store.queries.reader import Reader
from church.telemetry_store.queries.requests import span_of_id
from church.telemetry_store.queries.sql import equals

_PLACES = (  # kind, table, column, what such a value looks like
    ("request", "logs", "request_id", re.compile(r"[\w.:=/+-]{8,128}")),
    ("trace", "traces", "trace_id", re.compile(r"[0-9a-f]{32}")),
    ("error", "errors", "fingerprint", re.compile(r"[0-9a-f]{16}")),
    ("user_ref", "logs", "user_ref", re.compile(r"[0-9a-f]{8,64}")),
    ("ip", "logs", "ip", re.compile(r"[0-9a-fA-F.:/]{3,45}")),
    ("event", "logs", "event", re.compile(r"[a-z][\w.]{2,99}")),
    ("metric", "samples", "name", re.compile(r"[a-zA-Z_:][\w:]{2,199}")),
)


def _parse(arguments: Arguments) -> Plan:
    value = arguments.required_text("id").strip()
    arguments.finish()
    kinds = [kind for kind, _, _, pattern in _PLACES if pattern.fullmatch(value)]
    tables = {table for kind, table, _, _ in _PLACES if kind in kinds}
    span = span_of_id(value) if kinds[:1] == ["request"] else ALL_TIME
    return Plan({"id": value, "kinds": kinds}, dict.fromkeys(sorted(tables), span))


def _resolve(reader: Reader, args: Args) -> Batches:
    """Return each kind of thing that has this value."""
    for kind, table, column, _ in _PLACES:
        if kind in args["kinds"] and _is_there(reader.search(table, ("ts", "seq"), equals(column, args["id"]), 1)):
            yield [{"kind": kind, "value": args["id"]}]
    reader.more = False


def _is_there(batches: Iterator[list[dict[str, int]]]) -> bool:
    return any(batch for batch in batches)


QUERIES = {"ids.resolve": Query(_parse, _resolve)}
