"""Export what the telemetry store of this host keeps of a member: log records, traces and errors with their ref."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from church.config import Settings
from church.errors import UnavailableError
from church.services import telemetry_queries

_PAGES = {"logs": 1_000, "traces": 100, "errors": 200}
"""Tables of the store, and the rows of each that are asked for at once."""
_MOST = 10_000  # the newest of each table, as of each other list of an export
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NOT_THEIRS = frozenset({"ts", "seq", "host", "frames"})
"""Numbers of the store, and lines of the site's code."""
_NOT_ALL = "Records are missing here: the store that keeps them does not answer now. Export again later."


def stream_export(settings: Settings, ref: str, data: dict[str, Any]) -> Iterator[str]:
    """Yield the JSON text of ``data`` with one more part, ``records``, page by page.

    Its ``note`` says if the store does not run, or gave only a part of them.
    """
    head = json.dumps(data).removesuffix("}")
    yield head + (", " if data else "") + '"records": {'
    note = None
    for table in _PAGES:
        yield f'"{table}": ['
        try:
            yield from _separate(_read_all(settings, table, ref))
        except UnavailableError:
            note = _NOT_ALL
        yield "], "
    yield f'"note": {json.dumps(note)}}}}}\n'


def _separate(rows: Iterator[dict[str, Any]]) -> Iterator[str]:
    for number, row in enumerate(rows):
        yield (", " if number else "") + json.dumps(row)


def _read_all(settings: Settings, table: str, ref: str) -> Iterator[dict[str, Any]]:
    before: dict[str, int] | None = None
    count = 0
    while count < _MOST:
        limit = min(_PAGES[table], _MOST - count)
        args = {"user_ref": ref, "table": table, "limit": limit, "before": before}
        answer = telemetry_queries.ask(settings, "members.records", **args)
        yield from map(_present, answer.rows)
        count += len(answer.rows)
        if not answer.rows or not answer.has_more:
            return
        before = {"ts": answer.rows[-1]["ts"], "seq": answer.rows[-1]["seq"]}


def _present(row: dict[str, Any]) -> dict[str, Any]:
    """A row with its time as text, without what is empty."""
    at = (_EPOCH + timedelta(microseconds=row["ts"])).isoformat(timespec="milliseconds")
    return {"at": at, **{name: value for name, value in row.items() if value is not None and name not in _NOT_THEIRS}}
