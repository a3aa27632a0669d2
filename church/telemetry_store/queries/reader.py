"""Reads tables in the engine's child: segments and the rows that are not sealed yet, as one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from church.telemetry_store.queries.arguments import LATEST, Cursor
from church.telemetry_store.queries.sql import Condition, both
from church.telemetry_store.query_error import QueryError
from church.telemetry_store.tables import TABLES
from church.telemetry_store.task import Task, UnreadableError

_MOST_FILES = 32  # a statement reads
_SORTED = {True: "ts DESC, seq DESC", False: "ts, seq"}


class Piece(NamedTuple):
    """A segment, or the rows that are not sealed yet (no path); ``first`` and ``last`` ts in it, both inclusive."""

    path: str
    first: int
    last: int
    rows: int


class Reader:
    """Reads what the parent named in a task.

    ``complete``: no segment was missing, and no search was cut short. ``more``: there are rows beyond the limit.
    ``damaged``: names of the segments that can't be read.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self._pieces = {table: [Piece(*piece) for piece in pieces] for table, pieces in task.args["pieces"].items()}
        self.complete = True
        self.more = False
        self.damaged: list[str] = []

    def count_rows(self, table: str) -> int:
        """Return about how many rows a read of ``table`` takes: those of whole segments."""
        return sum(piece.rows for piece in self._pieces[table])

    def read(self, statement: str, table: str, where: Condition, values: tuple[Any, ...] = ()) -> list[dict[str, Any]]:
        """Run a statement on the rows where ``where`` holds: ``{rows}`` in it stands for these.

        ``values``: of the parameters that come after ``{rows}``.
        """
        inner = f"(SELECT * FROM {{source}} WHERE {where.sql})"  # noqa: S608 - values are parameters
        return self._fetch(table, self._pieces[table], statement.format(rows=inner), (*where.values, *values))

    def search(
        self,
        table: str,
        columns: Sequence[str],
        where: Condition,
        limit: int,
        *,
        newest_first: bool = True,
        span: tuple[int, int] = (0, LATEST),
    ) -> Iterator[list[dict[str, Any]]]:
        """Yield at most ``limit`` rows in the order of time, as soon as no older segment can have an earlier one.

        ``span``: leaves out segments without a row in it; ``where`` must ask for the same. Sets ``more`` if there are
        other rows. Ends early, not complete, when its time is over.
        """
        held: list[dict[str, Any]] = []
        left = limit
        for index, (batch, bound) in enumerate(self._batches(table, newest_first, span)):
            try:
                held += self._find(table, batch, columns, where, left + 1, newest_first)
            except QueryError as error:
                if error.code != "timeout" or index == 0:
                    raise
                self.complete, self.more = False, True
                return
            held.sort(key=lambda row: (row["ts"], row["seq"]), reverse=newest_first)
            sure = [row for row in held if bound is None or (row["ts"] > bound if newest_first else row["ts"] < bound)]
            held = held[len(sure) :]
            yield sure[:left]
            if len(sure) >= left:
                self.more = len(sure) > left or bound is not None
                return
            left -= len(sure)

    def _batches(
        self, table: str, newest_first: bool, span: tuple[int, int]
    ) -> Iterator[tuple[list[Piece], int | None]]:
        """Group the pieces in the order of time, few at first, each group with the nearest ts of the next ones."""
        pieces = [piece for piece in self._pieces[table] if piece.first < span[1] and piece.last >= span[0]]
        pieces.sort(key=lambda piece: -piece.last if newest_first else piece.first)
        begin, size = 0, 2
        while begin < len(pieces):
            end = min(begin + size, len(pieces))
            rest = pieces[end] if end < len(pieces) else None
            yield pieces[begin:end], None if rest is None else rest.last if newest_first else rest.first
            begin, size = end, min(size * 2, _MOST_FILES)

    def _find(
        self, table: str, pieces: list[Piece], columns: Sequence[str], where: Condition, limit: int, newest_first: bool
    ) -> list[dict[str, Any]]:
        statement = (
            f"SELECT {', '.join(columns)} FROM {{source}} WHERE {where.sql} "  # noqa: S608 - values are parameters
            f"ORDER BY {_SORTED[newest_first]} LIMIT {int(limit)}"
        )
        return self._fetch(table, pieces, statement, where.values)

    def _fetch(self, table: str, pieces: list[Piece], statement: str, values: tuple[Any, ...]) -> list[dict[str, Any]]:
        """Run a statement with ``{source}``; once more without the segments that can't be read, if there are such."""
        source = _source(table, pieces)
        try:
            return self._task.fetch(statement.format(source=source.sql), [*source.values, *values])
        except UnreadableError:
            readable = [piece for piece in pieces if not piece.path or self._can_read(table, piece)]
            if len(readable) == len(pieces):
                raise
        self.complete = False
        return self._fetch(table, readable, statement, values)

    def _can_read(self, table: str, piece: Piece) -> bool:
        """Whether a segment is there and whole. Reads all of it."""
        columns = ", ".join(f"count({column})" for column in TABLES[table].names)
        try:
            self._task.fetch(f"SELECT {columns} FROM read_parquet(?)", [piece.path])  # noqa: S608 - names of ours
        except UnreadableError:
            if Path(piece.path).exists():  # else it was merged or too old in the meantime
                self.damaged.append(Path(piece.path).name)
            return False
        return True


def _source(table: str, pieces: list[Piece]) -> Condition:
    """Return what a statement reads ``pieces`` from. Columns that an old segment has not are NULL."""
    files = [piece.path for piece in pieces if piece.path]
    recent = f"recent_{table}"
    if not files:
        return Condition(recent)
    nothing = " LIMIT 0" if len(files) == len(pieces) else ""
    return Condition(
        f"((SELECT * FROM {recent}{nothing}) UNION ALL BY NAME "  # noqa: S608 - names of ours
        "SELECT * FROM read_parquet(?, union_by_name = true))",
        (files,),
    )


def within(span: tuple[int, int], before: Cursor | None = None) -> Condition:
    """Return what holds for rows from ``begin`` until ``end``, before a row that was seen."""
    (begin, end), conditions = span, []
    if begin > 0:
        conditions.append(Condition("ts >= ?", (begin,)))
    if end < LATEST:
        conditions.append(Condition("ts < ?", (end,)))
    if before is not None:
        conditions.append(Condition("ts <= ?", (before.ts,)))
        conditions.append(Condition("(ts < ? OR seq < ?)", (before.ts, before.seq)))
    return both(*conditions)
