"""Run statements that the site runs all the time, without what SQLAlchemy does around each.

Its own way to run a statement costs four times what SQLite takes for a short one. Where something listens to
the statements of an engine, they are run in its own way. Nothing of the site does: spans are made by the dialect.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection, Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.base import Executable
from sqlalchemy.sql.selectable import ReturnsRows

_Convert = Callable[[Any], Any]


class Ran(NamedTuple):
    """The rows that a statement returned, and how many it wrote."""

    rows: list[tuple[Any, ...]]
    written: int


class DirectStatement:
    """A statement that is compiled once for each kind of database. Each of its parameters has to be named.

    Lists of any length (``expanding``) are not possible.
    """

    def __init__(self, statement: Executable) -> None:
        self.statement = statement
        self._compiled: dict[str, _Compiled] = {}

    def run(self, connection: Connection, values: Mapping[str, Any]) -> Ran:
        """Run the statement. Raises what SQLAlchemy raises."""
        if connection.engine.dispatch.before_cursor_execute:
            result = connection.execute(self.statement, values, execution_options={"preserve_rowcount": True})
            return Ran([tuple(row) for row in result] if result.returns_rows else [], result.rowcount)
        dialect = connection.dialect
        compiled = self._compiled.get(dialect.name)
        if compiled is None:
            compiled = self._compiled[dialect.name] = _Compiled(self.statement, dialect)
        return compiled.run(connection, values)


class _Compiled:
    def __init__(self, statement: Executable, dialect: Dialect) -> None:
        compiled: Any = statement.compile(dialect=dialect)  # type: ignore[attr-defined]  # not typed as a clause
        self._text = str(compiled)
        binds: dict[str, Any] = {name: bind for bind, name in compiled.bind_names.items()}
        self._constants = {name: compiled.params[name] for name, bind in binds.items() if not bind.required}
        self._order: list[str] | None = compiled.positiontup
        self._to_database = {
            name: convert
            for name, bind in binds.items()
            if (convert := bind.type.dialect_impl(dialect).bind_processor(dialect)) is not None
        }
        self._from_database = list(_result_converters(statement, dialect))

    def run(self, connection: Connection, values: Mapping[str, Any]) -> Ran:
        sent = {**self._constants, **values}
        for name, convert in self._to_database.items():
            sent[name] = convert(sent[name])
        cursor = None
        try:
            cursor = connection.connection.cursor()
            ordered: Any = sent if self._order is None else [sent[name] for name in self._order]
            connection.dialect.do_execute(cursor, self._text, ordered)
            rows = cursor.fetchall() if cursor.description is not None else []
            written = cursor.rowcount
            cursor.close()
        except connection.dialect.loaded_dbapi.Error as error:
            raise _translate(connection, cursor, self._text, error) from error
        return Ran([self._convert(row) for row in rows], written)

    def _convert(self, row: tuple[Any, ...]) -> tuple[Any, ...]:
        values = list(row)
        for place, convert in self._from_database:
            values[place] = convert(values[place])
        return tuple(values)


def _result_converters(statement: Executable, dialect: Dialect) -> list[tuple[int, _Convert]]:
    if not isinstance(statement, ReturnsRows):
        return []
    found = []
    for place, column in enumerate(statement.exported_columns):
        convert = column.type.dialect_impl(dialect).result_processor(dialect, None)
        if convert is not None:
            found.append((place, convert))
    return found


def _translate(connection: Connection, cursor: Any, statement: str, error: Any) -> BaseException:
    """Turn an error of the driver into SQLAlchemy's, and give up a connection that is lost."""
    dialect = connection.dialect
    is_lost = dialect.is_disconnect(error, connection.connection, cursor)
    if is_lost:
        connection.invalidate(error)
    found: BaseException = DBAPIError.instance(
        statement, None, error, dialect.loaded_dbapi.Error,
        hide_parameters=True, connection_invalidated=is_lost, dialect=dialect,
    )  # fmt: skip
    return found
