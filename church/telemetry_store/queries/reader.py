"""Reads tables in the engine's child: segments and the rows that are not sealed yet, as one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from church.telemetry_store.queries.arguments import LATEST, Cursor
from church.telemetry_store.queries.sql import Condition, both
from church.telemetry_store.queries.windows import Piece, Window, list_windows
from church.telemetry_store.query_error import QueryError
from church.telemetry_store.segments import ROW_GROUP
from church.telemetry_store.tables import TABLES
from church.telemetry_store.task import Task, UnreadableError

_FIRST_ROWS = 16  # rows that a search reads at first, for each that it may return
_SORTED = {True: "ts DESC, seq DESC", False: "ts, seq"}


class Reader:
    """Reads what the parent named in a task.

    ``complete``: no segment was missing, and no search was cut short. ``more``: there are rows beyond the limit.
    ``damaged``: names of the segments that can't be read.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self._pieces = {table: list(self._measure(table, pieces)) for table, pieces in task.args["pieces"].items()}
        self.complete = True
        self.more = False
        self.damaged: list[str] = []

    def _measure(self, table: str, pieces: list[list[Any]]) -> Iterator[Piece]:
        """Yield the pieces; the rows that are not sealed yet only if there are any, with their times."""
        for piece in (Piece(*values) for values in pieces):
            if piece.path:
                yield piece
                continue
            statement = f"SELECT min(ts) AS first, max(ts) AS last, count(*) AS rows FROM recent_{table}"  # noqa: S608
            (recent,) = self._task.fetch(statement, [])
            if recent["rows"]:
                yield Piece("", **recent)

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
        """Yield at most ``limit`` rows in the order of time, as they are found.

        ``span``: leaves out segments without a row in it; ``where`` must ask for the same. Sets ``more`` if there are
        other rows, or may be. Ends early, not complete, when its time is over.
        """
        left, first_rows = limit, max(ROW_GROUP, limit * _FIRST_ROWS)
        windows = list(list_windows(self._pieces[table], span, first_rows, newest_first=newest_first))
        for index, window in enumerate(windows):
            try:
                narrow = self._narrow(table, window, where, left + 1, newest_first) if index else window
                found = [] if narrow is None else self._find(table, narrow, columns, where, left + 1, newest_first)
            except QueryError as error:
                if error.code != "timeout" or index == 0:
                    raise
                self.complete, self.more = False, True
                return
            yield found[:left]
            if len(found) >= left:
                self.more = len(found) > left or index + 1 < len(windows)
                return
            left -= len(found)

    def _narrow(self, table: str, window: Window, where: Condition, limit: int, newest_first: bool) -> Window | None:
        """Return the part of a window that has the rows, None if it has none.

        To read all columns of a window takes twice as long as those that the condition needs.
        """
        times = [row["ts"] for row in self._find(table, window, ("ts", "seq"), where, limit, newest_first)]
        return window._replace(begin=min(times), end=max(times) + 1) if times else None

    def _find(
        self, table: str, window: Window, columns: Sequence[str], where: Condition, limit: int, newest_first: bool
    ) -> list[dict[str, Any]]:
        condition = both(Condition("ts >= ? AND ts < ?", (window.begin, window.end)), where)
        statement = (
            f"SELECT {', '.join(columns)} FROM {{source}} WHERE {condition.sql} "  # noqa: S608 - values are parameters
            f"ORDER BY {_SORTED[newest_first]} LIMIT {int(limit)}"
        )
        return self._fetch(table, window.pieces, statement, condition.values)

    def _fetch(self, table: str, pieces: list[Piece], statement: str, values: tuple[Any, ...]) -> list[dict[str, Any]]:
        """Run a statement with ``{source}``; once more if a segment is older than a column, or can't be read."""
        try:
            return self._run(_source(table, pieces), statement, values)
        except UnreadableError:
            readable = [piece for piece in pieces if not piece.path or self._can_read(piece)]
        self.complete = self.complete and len(readable) == len(pieces)
        return self._run(_source_by_name(table, readable), statement, values)

    def _run(self, source: Condition, statement: str, values: tuple[Any, ...]) -> list[dict[str, Any]]:
        return self._task.fetch(statement.format(source=source.sql), [*source.values, *values])

    def _can_read(self, piece: Piece) -> bool:
        """Whether a segment is there and whole. Reads all of it."""
        try:
            self._task.fetch("SELECT count(COLUMNS(*)) FROM read_parquet(?)", [piece.path])
        except UnreadableError:
            if Path(piece.path).exists():  # else it was merged or too old in the meantime
                self.damaged.append(Path(piece.path).name)
            return False
        return True


def _source(table: str, pieces: list[Piece]) -> Condition:
    """Return what a statement reads ``pieces`` from."""
    files = [piece.path for piece in pieces if piece.path]
    recent, columns = f"recent_{table}", ", ".join(TABLES[table].names)
    if not files:
        return Condition(recent)
    if len(files) == len(pieces):
        return Condition("read_parquet(?)", (files,))
    both_of = f"(SELECT {columns} FROM {recent} UNION ALL SELECT {columns} FROM read_parquet(?))"  # noqa: S608
    return Condition(both_of, (files,))


def _source_by_name(table: str, pieces: list[Piece]) -> Condition:
    """Return what a statement reads ``pieces`` from. Columns that an old segment has not are NULL."""
    files = [piece.path for piece in pieces if piece.path]
    recent = f"recent_{table}"
    if not files:
        return Condition(recent)
    nothing = " LIMIT 0" if len(files) == len(pieces) else ""
    older = "SELECT * FROM read_parquet(?, union_by_name = true)"
    return Condition(f"((SELECT * FROM {recent}{nothing}) UNION ALL BY NAME {older})", (files,))  # noqa: S608


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
