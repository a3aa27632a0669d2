"""Metrics over time: rates, increases, quantiles and values of the samples, by labels.

A sample of ``ts`` tells of the time before it, so a step has the samples after its begin and up to its end.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from math import inf
from typing import Any

from church.telemetry_store.metrics import own
from church.telemetry_store.metrics.points import FUNCTIONS, MOST_GROUPS, Part, Question, Scrapes, find_points
from church.telemetry_store.metrics.thinning import coarsest_since
from church.telemetry_store.queries.arguments import LATEST, Arguments, bad_request
from church.telemetry_store.queries.log_filters import not_admin
from church.telemetry_store.queries.query import Args, Batches, Plan, Query
from church.telemetry_store.queries.reader import Reader, within
from church.telemetry_store.queries.sql import Condition, both, equals, is_one_of, json_text
from church.telemetry_store.query_error import QueryError
from church.telemetry_store.tables import TABLES

MOST_POINTS = 2_000
MOST_RANGES = 24
_MOST_LABELS = 5
_MOST_VALUES = 100
_MOST_PARTS = 200_000
_MOST_BUCKETS = 64
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]{0,63}")
_SECOND = 1_000_000
_WHOLE = 1 << 62
"""The width of the one step that a range is if it is asked for as a whole."""
_TABLE = TABLES["samples"]
_NAME = _TABLE.place("name")


# -- arguments --------------------------------------------------------------------------------------------------------


def _parse_range(arguments: Arguments) -> Plan:
    args = _range(arguments)
    return _plan(args, [args])


def _parse_many(arguments: Arguments) -> Plan:
    given = arguments.raw("ranges")
    arguments.finish()
    if not isinstance(given, list) or not 1 <= len(given) <= MOST_RANGES:
        raise bad_request(f"ranges must be a list of 1 to {MOST_RANGES} ranges.")
    ranges = [_range(Arguments(one, f"ranges[{index}]")) for index, one in enumerate(given)]
    return _plan({"ranges": ranges}, ranges)


def _plan(args: Args, ranges: list[Args]) -> Plan:
    spans = [_span(one) for one in ranges]
    names = _names(ranges)
    span = min(begin for begin, _ in spans), max(end for _, end in spans)
    return Plan(args, {_TABLE.name: span}, wanted=lambda row: row[_NAME] in names)


def _names(ranges: list[Args]) -> tuple[str, ...]:
    """The metrics that the ranges need: theirs, and the store's own."""
    return tuple(dict.fromkeys((own.UP, own.COVERED, *(one["name"] for one in ranges))))


def _range(arguments: Arguments) -> Args:
    name = arguments.required_text("name")
    fn = arguments.choice("fn", FUNCTIONS, "rate")
    begin, end = arguments.span()
    is_whole = arguments.boolean("whole")
    width = _WHOLE if is_whole else _step(arguments, begin, end) * _SECOND
    args = {
        "name": name,
        "fn": fn,
        "q": _share(arguments.raw("q")) if fn == "quantile" else 0.0,
        "by": _labels(arguments.raw("by")),
        "where": _conditions(arguments.raw("where")),
        "exclude_admin": arguments.boolean("exclude_admin"),
        "begin": begin,
        "end": end,
        "width": width,
    }
    arguments.finish()
    return args


def _step(arguments: Arguments, begin: int, end: int) -> int:
    """The seconds of a step, at least as many as the oldest samples of the range stand for."""
    finest = coarsest_since(begin, time.time_ns() // 1000)
    given = arguments.integer("step", 1, 400 * 86_400)
    step = max(1, -(-given // finest)) * finest
    if (end - begin) // (step * _SECOND) > MOST_POINTS:
        raise bad_request(f"A range has {MOST_POINTS} steps at most: make step larger.")
    return step


def _share(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise bad_request("q must be a number from 0 to 1.")
    return float(value)


def _labels(value: Any) -> list[str]:
    names = [] if value is None else value
    if not isinstance(names, list) or len(names) > _MOST_LABELS or not all(map(_is_label, names)):
        raise bad_request(f"by must be a list of at most {_MOST_LABELS} names of labels.")
    return list(dict.fromkeys(names))


def _conditions(value: Any) -> dict[str, list[str]]:
    wanted = {} if value is None else value
    if not isinstance(wanted, dict) or len(wanted) > _MOST_LABELS or not all(map(_is_label, wanted)):
        raise bad_request(f"where must be an object of at most {_MOST_LABELS} labels.")
    found = {}
    for label, given in wanted.items():
        values = given if isinstance(given, list) else [given]
        if len(values) > _MOST_VALUES or not all(isinstance(one, str) for one in values):
            raise bad_request(f"where.{label} must be a text or a list of at most {_MOST_VALUES}.")
        found[label] = values
    return found


def _is_label(name: Any) -> bool:
    return isinstance(name, str) and _LABEL.fullmatch(name) is not None


def _span(args: Args) -> tuple[int, int]:
    """The samples of a range: those after its begin, up to its end."""
    return args["begin"] + 1, min(args["end"] + 1, LATEST)


# -- answers ----------------------------------------------------------------------------------------------------------


def _answer_range(reader: Reader, args: Args) -> Batches:
    yield from _find(reader, [args])


def _answer_many(reader: Reader, args: Args) -> Batches:
    """Answer ranges of the same steps by one look at the samples."""
    same: dict[tuple[int, int, int], list[int]] = {}
    for index, one in enumerate(args["ranges"]):
        same.setdefault((one["begin"], one["end"], one["width"]), []).append(index)
    for indexes in same.values():
        answers = _find(reader, [args["ranges"][index] for index in indexes])
        for index, rows in zip(indexes, answers, strict=True):
            yield [{"index": index, **row} for row in rows]


def _find(reader: Reader, ranges: list[Args]) -> Iterator[list[dict[str, Any]]]:
    """The rows of each range; all have the same steps."""
    parts = _read_parts(reader, ranges)
    scrapes = Scrapes(parts.get(_UP, []), parts.get(_COVERED, []))
    width = ranges[0]["width"]
    first, last = ranges[0]["begin"] // width, (ranges[0]["end"] - 1) // width
    for index, args in enumerate(ranges):
        question = Question(args["name"], args["fn"], args["q"], tuple(args["by"]), first, last, width)
        found = parts.get(index, [])
        _check_kind(question, found)
        rows = find_points(question, found, scrapes)
        if len(rows) > MOST_GROUPS:
            reader.more = True
        yield [_begin_at(args["begin"], row) for row in rows[:MOST_GROUPS]] if width == _WHOLE else rows[:MOST_GROUPS]


def _begin_at(begin: int, row: dict[str, Any]) -> dict[str, Any]:
    """Give the one point of a whole range the begin of that range."""
    return {**row, "points": [(begin, value) for _, value in row["points"]]}


def _check_kind(question: Question, parts: list[Part]) -> None:
    if parts and parts[0].kind not in FUNCTIONS[question.fn]:
        fitting = ", ".join(fn for fn, kinds in FUNCTIONS.items() if parts[0].kind in kinds)
        raise QueryError("bad_request", f"{question.name} is a {parts[0].kind}: ask for {fitting}.")


# -- SQL --------------------------------------------------------------------------------------------------------------

_UP, _COVERED = -1, -2
"""What the parts of the store's own samples are of, in place of the index of a range."""


def _read_parts(reader: Reader, ranges: list[Args]) -> dict[int, list[Part]]:
    """The sums for each range by its index, and of the store's own samples, which tell when there were scrapes.

    First each series is added up by step, in one look at the samples of all ranges, and then the series of each range.
    """
    where = both(within(_span(ranges[0])), is_one_of("name", _names(ranges)))
    buckets = _count_buckets(reader, ranges)
    selects = [
        _add_up(_UP, [], equals("name", own.UP), 0),
        _add_up(_COVERED, [], equals("name", own.COVERED), 0),
        *(_add_up(index, args["by"], _wanted(args), buckets) for index, args in enumerate(ranges)),
    ]
    statement = (
        f"WITH series AS MATERIALIZED ({_series(ranges[0]['width'], buckets)}) "
        f"{' UNION ALL '.join(select.sql for select in selects)} LIMIT {_MOST_PARTS + 1}"
    )
    rows = reader.read(statement, _TABLE.name, where, tuple(value for select in selects for value in select.values))
    if len(rows) > _MOST_PARTS:
        raise QueryError("too_large", "The range has too many points. Ask for fewer labels or a larger step.")
    parts: dict[int, list[Part]] = {}
    for row in rows:
        parts.setdefault(row.pop("question"), []).append(_part(row))
    return parts


def _count_buckets(reader: Reader, ranges: list[Args]) -> int:
    """The most buckets that a histogram has of which a quantile is asked for."""
    names = tuple(args["name"] for args in ranges if args["fn"] == "quantile")
    if not names:
        return 0
    where = both(within(_span(ranges[0])), is_one_of("name", names))
    (row,) = reader.read("SELECT max(len(buckets)) AS most FROM {rows}", _TABLE.name, where)
    return min(row["most"] or 0, _MOST_BUCKETS)


def _series(width: int, buckets: int) -> str:
    """Return the SQL that adds up each series by step."""
    counts = "".join(f", sum(buckets[{place}]) AS bucket_{place}" for place in range(1, buckets + 1))
    bounds = "bounds" if buckets else "NULL"
    return (
        f"SELECT name, kind, source, host, labels, {bounds} AS bounds, (ts - 1) // {int(width)} AS step, "  # noqa: S608
        "sum(value) AS value, sum(total) AS total, sum(value * resolution) AS area, sum(resolution) AS seconds, "
        f"max(coalesce(total, value)) AS highest{counts} FROM {{rows}} GROUP BY ALL"
    )


def _add_up(index: int, by: list[str], where: Condition, buckets: int) -> Condition:
    """Return the SQL that adds up the series of a range by the labels to keep apart."""
    labels = ", ".join(_label(label) for label in by)
    counts = ", ".join(f"sum(bucket_{place})" for place in range(1, buckets + 1))
    return Condition(
        f"SELECT {int(index)} AS question, kind, source, host, step, {f'[{labels}]' if by else '[]'} AS labels, "  # noqa: S608
        "sum(value) AS value, sum(total) AS total, sum(area) AS area, sum(seconds) AS seconds, "
        f"max(highest) AS highest, {f'[{counts}]' if buckets else 'NULL'} AS buckets, bounds "
        f"FROM series WHERE {where.sql} GROUP BY ALL",
        where.values,
    )


def _wanted(args: Args) -> Condition:
    """Return what holds for the series of the metric with the labels that were asked for."""
    labels = [is_one_of(_label(label), tuple(values)) for label, values in args["where"].items()]
    if args["exclude_admin"]:
        labels.append(not_admin(_label("route")))
    return both(equals("name", args["name"]), *labels)


def _label(name: str) -> str:
    return f"coalesce({json_text('labels', name)}, '')"


def _part(row: dict[str, Any]) -> Part:
    counts, bounds = row.pop("buckets"), row.pop("bounds")
    group, total = tuple(row.pop("labels")), row.pop("total")
    by_bound = dict(zip([*bounds, inf], counts, strict=False)) if counts and bounds is not None else {}
    return Part(group=group, total=total or 0.0, buckets=by_bound, **row)


QUERIES = {
    "metrics.range": Query(_parse_range, _answer_range),
    "metrics.many": Query(_parse_many, _answer_many),
}
