"""Record the statements of a database: its driver is called through a dialect, and the dialect through here."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from time import perf_counter
from typing import Any

from church.observability.fingerprints import name_type
from church.observability.traces.recorder import STATEMENT, current_flight

_MAX_TEXT = 4_000
_SYSTEMS = {"sqlite": "sqlite", "postgresql": "postgresql"}
_OPERATION = re.compile(r"[A-Za-z]+")
_TABLE = re.compile(r"\b(?:FROM|INTO|UPDATE|JOIN)\s+(?:ONLY\s+)?[\"`\[]?([A-Za-z_][\w.]{0,62})", re.IGNORECASE)
_COMMIT = "COMMIT"


def record_statements(dialect: Any) -> None:
    """Record what ``dialect`` executes as spans of the flights that it is executed for."""
    system = {"db.system.name": _SYSTEMS.get(dialect.name, "other_sql")}
    dialect.do_execute = _recorded(dialect.do_execute, system)
    dialect.do_executemany = _recorded(dialect.do_executemany, system)
    commit = dialect.do_commit

    def do_commit(connection: Any) -> None:
        flight = current_flight()
        if flight is None:
            commit(connection)
            return
        began, error = perf_counter(), None
        try:
            commit(connection)
        except BaseException as raised:
            error = name_type(type(raised))
            raise
        finally:
            flight.add(STATEMENT, _COMMIT, began, system, error)

    dialect.do_commit = do_commit


def _recorded(execute: Callable[..., Any], system: dict[str, str]) -> Callable[..., Any]:
    def recorded(cursor: Any, statement: str, parameters: Any, context: Any = None) -> None:
        flight = current_flight()
        if flight is None:
            execute(cursor, statement, parameters, context)
            return
        began, error = perf_counter(), None
        try:
            execute(cursor, statement, parameters, context)
        except BaseException as raised:
            error = name_type(type(raised))
            raise
        finally:
            flight.add(STATEMENT, statement, began, system, error)

    return recorded


@lru_cache(maxsize=1024)
def describe(text: str) -> tuple[str, dict[str, str]]:
    """The name of a statement, such as ``SELECT accounts``, and its attributes (OpenTelemetry's for databases)."""
    operation = _OPERATION.search(text)
    table = _TABLE.search(text)
    attributes = {"db.query.text": text if len(text) <= _MAX_TEXT else text[:_MAX_TEXT] + "…"}
    parts = []
    if operation is not None:
        attributes["db.operation.name"] = operation[0].upper()
        parts.append(operation[0].upper())
    if table is not None:
        attributes["db.collection.name"] = table[1]
        parts.append(table[1])
    return " ".join(parts) or "statement", attributes
