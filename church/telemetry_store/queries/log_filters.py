"""The filters of log records: checked, as SQL for segments, and as a function for rows in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from church.telemetry_store.queries.arguments import Arguments, bad_request
from church.telemetry_store.queries.sql import ALWAYS, Condition, both, contains_any, equal_if_given
from church.telemetry_store.tables import TABLES, Row

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
TEXT_COLUMNS = ("message", "path", "event", "route", "exception", "extra")
"""Columns that a text is searched in."""
EXACT = (
    "event",
    "logger",
    "route",
    "method",
    "user_ref",
    "request_id",
    "trace_id",
    "job_kind",
    "ip",
    "host",
    "fingerprint",
)
ADMIN_PREFIXES = ("/admin", "/metrics", "/health", "/ready", "/api/telemetry")
"""Routes of those who run the site, and of their programs: left out by ``exclude_admin``."""

_LOGS = TABLES["logs"]
_CLASSES = {f"{digit}xx": (digit * 100, digit * 100 + 99) for digit in range(1, 6)}


def parse_filters(arguments: Arguments) -> dict[str, Any]:
    """Check the filters and return those that are set."""
    filters: dict[str, Any] = {name: arguments.text(name) for name in EXACT}
    filters["text"] = arguments.text("text")
    filters["level"] = arguments.choice("level", LEVELS, LEVELS[0])
    filters["status"] = _parse_status(arguments.raw("status"))
    filters["exclude_admin"] = arguments.boolean("exclude_admin")
    arguments.finish()
    if filters["level"] == LEVELS[0]:
        del filters["level"]
    return {name: value for name, value in filters.items() if value is not None and value is not False}


def _parse_status(value: Any) -> list[int] | None:
    """Return the lowest and the highest status of a number or a class such as ``4xx``."""
    if value is None or value == "":
        return None
    if str(value).lower() in _CLASSES:
        return list(_CLASSES[str(value).lower()])
    try:
        status = int(value) if not isinstance(value, bool) else 0
    except (ValueError, TypeError):
        status = 0
    if not 100 <= status <= 599:
        raise bad_request("filters.status must be a number from 100 to 599, or a class such as 4xx.")
    return [status, status]


def not_admin(route: str = "route") -> Condition:
    """Return what holds where ``route``, an expression, is none of the admin area, probes or scrapes."""
    one = f"{route} = ? OR starts_with({route}, ?)"
    values = tuple(value for prefix in ADMIN_PREFIXES for value in (prefix, f"{prefix}/"))
    return Condition(f"{route} IS NULL OR NOT ({' OR '.join([one] * len(ADMIN_PREFIXES))})", values)


def to_condition(filters: dict[str, Any]) -> Condition:
    """Return the filters as SQL."""
    conditions = equal_if_given(filters, EXACT)
    if "level" in filters:
        levels = LEVELS[LEVELS.index(filters["level"]) :]
        conditions.append(Condition(f"level IN ({', '.join('?' * len(levels))})", levels))
    if "status" in filters:
        conditions.append(Condition("status BETWEEN ? AND ?", tuple(filters["status"])))
    if filters.get("exclude_admin"):
        conditions.append(not_admin())
    if "text" in filters:
        conditions.append(contains_any(TEXT_COLUMNS, filters["text"]))
    return both(*conditions) if conditions else ALWAYS


def to_function(filters: dict[str, Any]) -> Callable[[Row], bool]:
    """Return the filters as a function of a row. It says the same as ``to_condition``."""
    checks: list[Callable[[Row], bool]] = [_equals(name, filters[name]) for name in EXACT if name in filters]
    if "level" in filters:
        levels, level_place = LEVELS[LEVELS.index(filters["level"]) :], _LOGS.place("level")
        checks.append(lambda row: row[level_place] in levels)
    if "status" in filters:
        (low, high), status_place = filters["status"], _LOGS.place("status")
        checks.append(lambda row: low <= (row[status_place] or 0) <= high)
    if filters.get("exclude_admin"):
        route_place = _LOGS.place("route")
        checks.append(lambda row: not is_admin_route(row[route_place]))
    if "text" in filters:
        places, text = [_LOGS.place(name) for name in TEXT_COLUMNS], filters["text"].lower()
        checks.append(lambda row: any(text in (row[place] or "").lower() for place in places))
    return lambda row: all(check(row) for check in checks)


def _equals(name: str, value: Any) -> Callable[[Row], bool]:
    place = _LOGS.place(name)
    return lambda row: bool(row[place] == value)


def is_admin_route(route: str | None) -> bool:
    """Whether a route is of those who run the site, or of their programs."""
    return route is not None and any(route == prefix or route.startswith(f"{prefix}/") for prefix in ADMIN_PREFIXES)
