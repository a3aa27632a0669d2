"""From a JSON line of combined.log or traces.log, in either scheme of field names, to the rows of a table."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from math import isfinite
from sys import intern
from typing import Any, NamedTuple

from church.lib.log_fields import to_otel, to_plain
from church.telemetry_store.tables import TABLES, Column, Row

_MOST_TEXT = 16_384
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_LARGEST = {"BIGINT": 2**63 - 1, "SMALLINT": 2**15 - 1}
_LEFT_OUT = ("timestamp", "service", "kind", "host")
"""Fields that need no place: time and host are in the head of a row, and the service is always the site."""
_UNSAFE_ESCAPES = (b"\\u0000", b"\\ud", b"\\uD")
"""What a line with NUL or surrogates has, and few other lines."""
_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
_FEW_VALUES = frozenset({
    "host", "level", "logger", "event", "method", "route", "user_agent", "error_type", "job_kind", "version",
    "environment", "root", "name", "outcome", "kept", "process", "kind", "source",
})  # fmt: skip
"""Columns with few distinct values: rows share their text."""
_TABLE_OF_KIND = {"trace": "traces", "error": "errors", "profile": "profiles"}


class BadLineError(ValueError):
    """The line is no record: not a JSON object, or without a time."""


class Rows(NamedTuple):
    """The rows that a line has become, and their table."""

    table: str
    rows: list[Row]


def normalise(line: bytes, host: str, seq: int) -> Rows:
    """Turn a line into rows, most often one. The first gets the number ``seq``, and further ones those that follow.

    ``host`` is the name of this host, for lines that name none. Raises BadLineError.
    """
    fields = _read(line)
    moment = _microseconds(fields.get("timestamp"))
    table = TABLES[_table_of(fields)]
    head = (moment, seq, _text(fields.get("host")) or host)
    if table.name == "logs":
        return Rows("logs", [_log_row(fields, head)])
    if table.name == "profiles":
        return Rows("profiles", list(_profile_rows(fields, head)))
    if table.name == "traces":
        spans = fields.get("spans")
        fields["span_count"] = len(spans) if isinstance(spans, list) else 0
    return Rows(table.name, [head + tuple(_values(table.columns[3:], fields))])


def parse_time(text: object) -> int | None:
    """Microseconds since 1970 of a time as RFC 3339 writes it, None if it is none."""
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return (moment - _EPOCH) // _MICROSECOND
    except (ValueError, OverflowError):
        return None


def _read(line: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(line.decode())
        if len(line) > _MOST_TEXT or any(escape in line for escape in _UNSAFE_ESCAPES):
            fields = _clean(fields)
    except (ValueError, RecursionError):
        raise BadLineError("not JSON") from None
    if not isinstance(fields, dict):
        raise BadLineError("not a JSON object")
    return fields


def _clean(value: Any) -> Any:
    """The value with texts that every engine stores: without lone surrogates and NUL, and not longer than the bound."""
    if isinstance(value, str):
        text = value.encode("utf-8", "replace").decode().replace("\0", "\ufffd")
        return text if len(text) <= _MOST_TEXT else text[:_MOST_TEXT] + "…"
    if isinstance(value, list):
        return [_clean(one) for one in value]
    if isinstance(value, dict):
        return {_clean(name): _clean(one) for name, one in value.items()}
    return value


def _microseconds(timestamp: object) -> int:
    moment = parse_time(timestamp)
    if moment is None:
        raise BadLineError("without a time")
    return moment


def _table_of(fields: dict[str, Any]) -> str:
    """The table of a line: those of traces.log say their kind, and have no logger."""
    if "logger" in fields:
        return "logs"
    kind = fields.get("kind")
    return _TABLE_OF_KIND.get(kind, "logs") if isinstance(kind, str) else "logs"


def _log_row(fields: dict[str, Any], head: Row) -> Row:
    values: list[Any] = [*head, *_NO_VALUES]
    rest = {}
    for name, value in fields.items():
        place, read = _LOG_FIELDS.get(name, _OTHER)
        if value is None or place < 0:
            continue
        made = read(value) if place else None
        if made is None:
            rest[to_plain(name)] = value
        else:
            values[place] = made
    if rest:
        values[-1] = _json(rest)
    return tuple(values)


def _profile_rows(fields: dict[str, Any], head: Row) -> Iterator[Row]:
    columns = {column.name: column for column in TABLES["profiles"].columns}
    shared = list(_values([columns["process"], columns["seconds"], columns["rate"]], fields))
    samples = fields.get("samples")
    moment, seq, host = head
    for number, sample in enumerate(samples if isinstance(samples, list) else ()):
        if isinstance(sample, list) and len(sample) == 3:
            route, stack, count = sample
            yield (moment, seq + number, host, *shared, _shared(route), _text(stack), _whole(count, "BIGINT"))


def _values(columns: Iterable[Column], fields: dict[str, Any]) -> Iterator[Any]:
    for column in columns:
        value = fields.get(column.name)
        yield None if value is None else _READERS[column.name](value)


def _text(value: object) -> str | None:
    if isinstance(value, str):
        return value
    return None if value is None else _json(value)


def _shared(value: object) -> str | None:
    text = _text(value)
    return None if text is None else intern(text)


def _json(value: object) -> str:
    return _encode(value)


def _whole(value: object, kind: str) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not isfinite(value) or value != int(value) or abs(value) > _LARGEST[kind]:
        return None
    return int(value)


def _real(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if isfinite(value) else None
    except OverflowError:
        return None


def _flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _reals(value: object) -> list[float] | None:
    return [float(one) for one in value] if isinstance(value, list | tuple) else None


def _reader(column: Column) -> Callable[[Any], Any]:
    """The function that turns a field's value into the value of its column, None if it does not fit."""
    if column.is_json:
        return _json
    readers: dict[str, Callable[[Any], Any]] = {
        "VARCHAR": _shared if column.name in _FEW_VALUES else _text,
        "BIGINT": lambda value: _whole(value, "BIGINT"),
        "SMALLINT": lambda value: _whole(value, "SMALLINT"),
        "DOUBLE": _real,
        "BOOLEAN": _flag,
        "DOUBLE[]": _reals,
    }
    return readers[column.type]


_READERS = {column.name: _reader(column) for table in TABLES.values() for column in table.columns}
_OTHER = (0, _json)  # no place: it goes to extra
_NO_VALUES = (None,) * (len(TABLES["logs"].columns) - 3)


def _log_fields() -> dict[str, tuple[int, Callable[[Any], Any]]]:
    """Each field of a log record, by both its names: its place in a row, -1 for none, and what reads it."""
    columns = TABLES["logs"].columns[:-1]
    fields = {column.name: (place, _READERS[column.name]) for place, column in enumerate(columns) if place >= 3}
    fields |= dict.fromkeys(_LEFT_OUT, (-1, _no_value))
    return {written: found for name, found in fields.items() for written in (name, to_otel(name))}


def _no_value(_value: object) -> None:
    """Read nothing."""


_LOG_FIELDS = _log_fields()
