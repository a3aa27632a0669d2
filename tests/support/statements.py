"""The statements that a block sends to the database of the current app."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, event

from church.lib.app_context import app_state


@contextmanager
def note_statements() -> Iterator[list[str]]:
    """Note the statements of a block."""
    engines: set[Engine] = app_state()["database"]().open().distinct
    found: list[str] = []

    def note(*given: Any) -> None:
        found.append(given[2])

    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        for engine in engines:
            event.remove(engine, "before_cursor_execute", note)
