"""The tables of the telemetry store: each column's name and type, in the order of a row."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

Type = Literal["VARCHAR", "BIGINT", "SMALLINT", "DOUBLE", "BOOLEAN", "DOUBLE[]"]
Row = tuple[Any, ...]
"""The values of a row in the order of its table's columns; None for what it has not."""


class Column(NamedTuple):
    """A column; ``is_json``: its text is JSON."""

    name: str
    type: Type
    is_json: bool = False


class Table(NamedTuple):
    """A table. The first three columns are the same in all: ts, seq, host.

    ``order``: that of the rows in a segment. A search in time needs that of time. Samples are asked for by name, and a
    metric's rows side by side are a quarter of the bytes.
    """

    name: str
    columns: tuple[Column, ...]
    order: str = "ts, seq"

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(column.name for column in self.columns)

    def place(self, name: str) -> int:
        """Where the column ``name`` is in a row. Raises ValueError if there is none."""
        return self.names.index(name)

    def to_dict(self, row: Row) -> dict[str, Any]:
        """A row with the names of its columns."""
        return dict(zip(self.names, row, strict=True))


TS, SEQ, HOST = 0, 1, 2
"""Places of the columns that every row begins with: microseconds since 1970 (UTC), a number that rises with each row
the store takes, and the host's name."""


def _table(name: str, columns: str, order: str = "ts, seq") -> Table:
    """Make a table of ``name type, name type, …``; the type is VARCHAR if it is left out, and json is text, too."""
    made = [Column("ts", "BIGINT"), Column("seq", "BIGINT"), Column("host", "VARCHAR")]
    for column in columns.split(","):
        column_name, _, kind = column.strip().partition(" ")
        is_json = kind == "json"
        made.append(Column(column_name, "VARCHAR" if is_json else _TYPES[kind], is_json))
    return Table(name, tuple(made), order)


_TYPES: dict[str, Type] = {
    "": "VARCHAR",
    "int": "BIGINT",
    "small": "SMALLINT",
    "real": "DOUBLE",
    "bool": "BOOLEAN",
    "reals": "DOUBLE[]",
}

TABLES = {
    table.name: table
    for table in (
        _table(
            "logs",
            "level, logger, message, event, request_id, trace_id, span_id, user_ref, method, route, status small,"
            "duration_ms real, cpu_ms real, bytes int, path, ip, user_agent, referrer_host, error_type, fingerprint,"
            "job_id, job_kind, version, environment, exception, extra json",
        ),
        _table(
            "traces",
            "trace_id, span_id, parent_span_id, request_id, root, name, method, route, status small, job_id, job_kind,"
            "outcome, kept, duration_ms real, cpu_ms real, user_ref, error_type, version, environment, process,"
            "span_count int, spans json, events json, links json, dropped json",
        ),
        _table(
            "errors",
            "fingerprint, error_type, message, place, frames json, request_id, trace_id, span_id, method, route,"
            "status small, job_id, job_kind, user_ref, handled bool, level, event, version, environment, process",
        ),
        _table("profiles", "process, seconds real, rate real, route, stack, count int"),
        _table(
            "samples",
            "resolution int, name, kind, source, labels json, value real, total real, buckets reals, bounds reals",
            "name, labels, ts, seq",
        ),
    )
}
"""Every table by its name."""
