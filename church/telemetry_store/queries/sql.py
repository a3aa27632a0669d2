"""What the engines' SQL says in different words, and conditions with their values.

All statements of the queries are plain SQL besides; values are always parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple


class Condition(NamedTuple):
    """An SQL expression, and the values of its parameters."""

    sql: str
    values: tuple[Any, ...] = ()


_SPECIAL = frozenset("%_\\")  # of LIKE
ALWAYS = Condition("TRUE")
NEVER = Condition("FALSE")


def both(*conditions: Condition) -> Condition:
    """Return what holds if all conditions hold."""
    if not conditions:
        return ALWAYS
    return Condition(
        " AND ".join(f"({condition.sql})" for condition in conditions),
        tuple(value for condition in conditions for value in condition.values),
    )


def equals(column: str, value: Any) -> Condition:
    """Return what holds where ``column`` has ``value``."""
    return Condition(f"{column} = ?", (value,))


def equal_if_given(args: dict[str, Any], names: Sequence[str]) -> list[Condition]:
    """Return a condition for each column of ``names`` that ``args`` has a value for."""
    return [equals(name, args[name]) for name in names if args.get(name) is not None]


def contains_any(columns: Sequence[str], text: str) -> Condition:
    """Return what holds where one of ``columns`` contains ``text``, in either case. ILIKE takes less time."""
    if not _SPECIAL & set(text):
        return Condition(" OR ".join(f"{column} ILIKE ?" for column in columns), (f"%{text}%",) * len(columns))
    wanted = text.lower()
    return Condition(" OR ".join(f"contains(lower({column}), ?)" for column in columns), (wanted,) * len(columns))


def bucket(begin: int, width: int) -> str:
    """Return the begin of the time slice of ``width`` microseconds that a row is in; both are numbers of ours."""
    return f"(ts - {int(begin)}) // {int(width)} * {int(width)} + {int(begin)}"


def quantiles(column: str, rows: int) -> str:
    """Return p50, p95 and p99 of ``column`` as three columns: exact, but for so many rows that memory would not do.

    The three are the same expression but for its index, which the engine computes once.
    """
    function = "quantile_cont" if rows <= _MOST_EXACT else "approx_quantile"
    all_three = f"{function}({column}, [0.5, 0.95, 0.99])"
    return ", ".join(f"{all_three}[{place}] AS p{share}" for place, share in enumerate((50, 95, 99), 1))


_MOST_EXACT = 12_000_000  # 8 bytes each, of 256 MB


def count_distinct(expression: str, rows: int) -> str:
    """Return how many values ``expression`` has: exact, but for so many rows that it would take too long."""
    function = "count(DISTINCT" if rows <= _MOST_COUNTED else "approx_count_distinct("
    return f"{function} {expression})"


_MOST_COUNTED = 500_000


def latest(column: str) -> str:
    """Return the value that ``column`` has in the newest row of a group."""
    return f"arg_max({column}, ts)"


def distinct_values(column: str) -> str:
    """Return the values of ``column`` in a group as a list."""
    return f"list(DISTINCT {column}) FILTER (WHERE {column} IS NOT NULL)"


def is_one_of(expression: str, values: Sequence[Any]) -> Condition:
    """Return what holds where ``expression`` has one of ``values``."""
    return Condition(f"{expression} IN ({', '.join('?' * len(values))})", tuple(values)) if values else NEVER


def json_text(column: str, key: str) -> str:
    """Return the text at ``key`` of the JSON in ``column``, NULL without one. The key is letters and underscores."""
    return f"json_extract_string({column}, '$.{key}')"


def json_number(column: str, name: str) -> str:
    """Return the whole number that the JSON object in ``column`` has under ``name``; NULL if it has none."""
    return f"TRY_CAST({json_text(column, name)} AS BIGINT)"
