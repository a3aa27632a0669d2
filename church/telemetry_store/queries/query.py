"""What a query is: how its arguments are checked, what it reads, and how it computes its answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from church.telemetry_store.queries.arguments import LATEST, Arguments
from church.telemetry_store.queries.reader import Reader
from church.telemetry_store.tables import Row

SECONDS = 5.0
STREAM_SECONDS = 30.0
_DAY = 86_400_000_000
ALL_TIME = (0, LATEST)

Span = tuple[int, int]
Args = dict[str, Any]
Batches = Iterator[list[dict[str, Any]]]


class Plan(NamedTuple):
    """A query whose arguments are fine: them as plain JSON, and the span of each table that it reads."""

    args: Args
    tables: dict[str, Span]
    seconds: float = SECONDS
    after_seq: int = 0
    """Segments whose rows all have this number or a lower one are left out."""
    wanted: Callable[[Row], bool] | None = None
    """Which rows of those in memory the child needs; all without it. For a table with many more than it reads."""


class Query(NamedTuple):
    """A query: ``parse`` runs in the parent and raises QueryError; ``run`` in the child yields batches of rows."""

    parse: Callable[[Arguments], Plan]
    run: Callable[[Reader, Args], Batches]


def stream_seconds(span: Span) -> float:
    """Return how long a search of this span that streams its rows may take."""
    return STREAM_SECONDS if span[1] - span[0] > _DAY else SECONDS
