"""Write many rows fast: ``executemany`` on SQLite, COPY on PostgreSQL; indexes and foreign keys are made afterwards.

Columns and their defaults come from the models' tables. All is one transaction: a fill that fails leaves nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from itertools import chain, islice
from operator import itemgetter
from typing import Any

from sqlalchemy import JSON, Column, Engine, Executable, Table
from sqlalchemy.types import TypeEngine

from church.config import Settings
from church.database.engines import make_upkeep_engine
from church.models.base import Base, UtcDateTime

Row = dict[str, Any]
Convert = Callable[[Any], Any]
_BLOCK = 2000  # rows that are sent to PostgreSQL at once


class MissingValueError(Exception):
    """A table has a column that needs a value which the seed does not give."""


class Loader:
    """Adds rows within one transaction; ``open_loader`` gives one."""

    def __init__(self, engine: Engine, connection: Any) -> None:
        self.counts: dict[str, int] = {}
        self._dialect = engine.dialect
        self._connection = connection

    def add(self, model: type[Base], rows: Iterable[Row]) -> int:
        """Add rows that all have the same keys. Columns without a key get their default. Returns how many.

        Raises MissingValueError for a column without key and default.
        """
        table: Table = model.__table__  # type: ignore[assignment]
        rows = iter(rows)
        first = next(rows, None)
        if first is None:
            return 0
        columns, defaults = list(first), _defaults(table, first)
        converts = [self._converter(table.c[name].type) for name in (*columns, *defaults)]
        fixed = tuple(
            convert(value) if convert and value is not None else value
            for convert, value in zip(converts[len(columns) :], defaults.values(), strict=True)
        )
        values = _values(chain([first], rows), columns, converts[: len(columns)], fixed)
        count = self._insert(table, [table.c[name] for name in (*columns, *defaults)], values)
        self.counts[table.name] = self.counts.get(table.name, 0) + count
        return count

    def run(self, statement: Executable) -> list[Any]:
        """Run one statement in the transaction, with its values written into the text, and return its rows."""
        compiled = statement.compile(dialect=self._dialect, compile_kwargs={"literal_binds": True})  # type: ignore[attr-defined]
        return self.sql(str(compiled))

    def sql(self, text: str) -> list[Any]:
        """Run one statement in the transaction and return its rows."""
        with closing(self._connection.cursor()) as cursor:
            cursor.execute(text)
            return cursor.fetchall() if cursor.description else []

    def quote(self, name: str) -> str:
        """A name as the database reads it."""
        return self._dialect.identifier_preparer.quote(name)

    def begin(self, tables: list[Table]) -> None:
        """Begin the transaction, and put the indexes of ``tables`` aside."""
        raise NotImplementedError

    def end(self) -> None:
        """Make the indexes, check the foreign keys and commit."""
        raise NotImplementedError

    def _converter(self, kind: TypeEngine[Any]) -> Convert | None:
        raise NotImplementedError

    def _insert(self, table: Table, columns: list[Column[Any]], values: Iterator[tuple[Any, ...]]) -> int:
        raise NotImplementedError


@contextmanager
def open_loader(settings: Settings, models: Iterable[type[Base]]) -> Iterator[Loader]:
    """Load the tables of ``models``, in one transaction. Their triggers run."""
    engine = make_upkeep_engine(settings)
    raw = engine.raw_connection()
    try:
        kind = _SqliteLoader if engine.dialect.name == "sqlite" else _PostgresqlLoader
        loader = kind(engine, raw.driver_connection)
        loader.begin([model.__table__ for model in models])  # type: ignore[misc]
        try:
            yield loader
        except BaseException:
            loader.sql("ROLLBACK")
            raise
        loader.end()
    finally:
        raw.close()
        engine.dispose()


def _defaults(table: Table, given: Row) -> Row:
    """Values of the columns that ``given`` does not have, from the model."""
    found: Row = {}
    for column in table.columns:
        if column.name in given or column.server_default is not None or column is table.autoincrement_column:
            continue
        default: Any = column.default
        if default is not None:
            found[column.name] = default.arg(None) if default.is_callable else default.arg
        elif not column.nullable:
            raise MissingValueError(f"{table.name}.{column.name} has no default: give it a value in ops/seed")
    return found


def _values(
    rows: Iterable[Row], names: list[str], converts: list[Convert | None], fixed: tuple[Any, ...]
) -> Iterator[tuple[Any, ...]]:
    take = itemgetter(*names) if len(names) > 1 else lambda row: (row[names[0]],)
    for row in rows:
        found = [
            value if convert is None or value is None else convert(value)
            for convert, value in zip(converts, take(row), strict=True)
        ]
        yield (*found, *fixed)


def _to_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


# -- SQLite -----------------------------------------------------------------------------------------------------------

_PRAGMAS = ("journal_mode=MEMORY", "synchronous=OFF", "foreign_keys=OFF", "cache_size=-800000", "temp_store=MEMORY")


class _SqliteLoader(Loader):
    def begin(self, tables: list[Table]) -> None:
        for pragma in _PRAGMAS:
            self.sql(f"PRAGMA {pragma}")
        self.sql("BEGIN IMMEDIATE")
        names = ", ".join(f"'{table.name}'" for table in tables)
        made = "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL"
        self._indexes = self.sql(f"{made} AND tbl_name IN ({names})")
        for name, _ in self._indexes:
            self.sql(f"DROP INDEX {self.quote(name)}")

    def end(self) -> None:
        for _, statement in self._indexes:
            self.sql(statement)
        if broken := self.sql("PRAGMA foreign_key_check"):
            self.sql("ROLLBACK")
            raise ValueError(f"foreign keys lead nowhere: {broken[:3]}")
        self.sql("COMMIT")
        self.sql("PRAGMA journal_mode=WAL")

    def _converter(self, kind: TypeEngine[Any]) -> Convert | None:
        if isinstance(kind, UtcDateTime):
            return _to_sqlite_time
        return _to_json if isinstance(kind, JSON) else None

    def _insert(self, table: Table, columns: list[Column[Any]], values: Iterator[tuple[Any, ...]]) -> int:
        names, marks = ", ".join(self.quote(column.name) for column in columns), ", ".join("?" * len(columns))
        with closing(self._connection.cursor()) as cursor:
            cursor.executemany(f"INSERT INTO {self.quote(table.name)} ({names}) VALUES ({marks})", values)
            return int(cursor.rowcount)


def _to_sqlite_time(value: datetime) -> str:
    """The text that UtcDateTime makes of a time in UTC."""
    return value.isoformat(" ", "microseconds")[:26]


# -- PostgreSQL -------------------------------------------------------------------------------------------------------

_FOREIGN_KEYS = """
    SELECT conrelid::regclass::text, quote_ident(conname), pg_get_constraintdef(oid) FROM pg_constraint
    WHERE contype = 'f' AND conrelid = ANY (ARRAY[{tables}]::regclass[])
"""
_INDEXES = """
    SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index
    WHERE NOT indisprimary AND indrelid = ANY (ARRAY[{tables}]::regclass[])
    AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)
"""
_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"})


class _PostgresqlLoader(Loader):
    def begin(self, tables: list[Table]) -> None:
        self._tables = tables
        self.sql("BEGIN")
        self.sql("SET LOCAL maintenance_work_mem = '512MB'")
        self.sql("SET LOCAL synchronous_commit = off")
        names = ", ".join(f"'{table.name}'" for table in tables)
        self._keys = self.sql(_FOREIGN_KEYS.format(tables=names))
        self._indexes = self.sql(_INDEXES.format(tables=names))
        for table, name, _ in self._keys:
            self.sql(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
        for name, _ in self._indexes:
            self.sql(f"DROP INDEX {name}")

    def end(self) -> None:
        for _, statement in self._indexes:
            self.sql(statement)
        for table, name, definition in self._keys:
            self.sql(f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}")
        for table in self._tables:
            self._continue_numbers(table)
        self.sql("COMMIT")
        self.sql("ANALYZE")

    def _continue_numbers(self, table: Table) -> None:
        """Let the next row get the number after the last one."""
        column = table.autoincrement_column
        if column is not None:
            name, number = self.quote(table.name), self.quote(column.name)
            sequence = f"pg_get_serial_sequence('{table.name}', '{column.name}')"
            self.sql(f"SELECT setval({sequence}, max({number})) FROM {name} HAVING max({number}) IS NOT NULL")

    def _converter(self, kind: TypeEngine[Any]) -> Convert | None:
        if isinstance(kind, UtcDateTime):
            return datetime.isoformat
        return _to_json if isinstance(kind, JSON) else None

    def _insert(self, table: Table, columns: list[Column[Any]], values: Iterator[tuple[Any, ...]]) -> int:
        names = ", ".join(self.quote(column.name) for column in columns)
        count = 0
        with (
            closing(self._connection.cursor()) as cursor,
            cursor.copy(f"COPY {self.quote(table.name)} ({names}) FROM STDIN") as copy,
        ):
            while block := ["\t".join(map(_to_copy_text, row)) for row in islice(values, _BLOCK)]:
                copy.write("\n".join([*block, ""]))
                count += len(block)
        return count


def _to_copy_text(value: Any) -> str:
    """A value in COPY's text format (https://www.postgresql.org/docs/current/sql-copy.html)."""
    if value is None:
        return "\\N"
    if type(value) is str:
        return value.translate(_ESCAPES) if "\\" in value or "\n" in value or "\t" in value or "\r" in value else value
    if type(value) is bool:
        return "t" if value else "f"
    return str(value)
