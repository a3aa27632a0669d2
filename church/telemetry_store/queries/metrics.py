"""Metrics over time: rates, increases, quantiles and values of the samples, by labels.

A sample of ``ts`` tells of the time before it, so a step has the samples after its begin and up to its end.
"""

from __future__ import annotations

import re
import time
from typing import Any

from church.telemetry_store.metrics import own
from church.telemetry_store.metrics.points import FUNCTIONS, MOST_GROUPS, Group, Part, Question, find_points
from church.telemetry_store.metrics.thinning import coarsest_since
from church.telemetry_store.queries.arguments import LATEST, Arguments, bad_request
from church.telemetry_store.queries.query import Args, Batches, Plan, Query
from church.telemetry_store.queries.reader import Reader, within
from church.telemetry_store.queries.sql import Condition, both, either, equals, is_one_of, json_text
from church.telemetry_store.query_error import QueryError

MOST_POINTS = 2_000
MOST_RANGES = 24
_MOST_LABELS = 5
_MOST_VALUES = 100
_MOST_PARTS = 200_000
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]{0,63}")
_SECOND = 1_000_000


# -- arguments --------------------------------------------------------------------------------------------------------


def _parse_range(arguments: Arguments) -> Plan:
    args = _range(arguments)
    return Plan(args, {"samples": _span(args)})


def _parse_many(arguments: Arguments) -> Plan:
    given = arguments.raw("ranges")
    arguments.finish()
    if not isinstance(given, list) or not 1 <= len(given) <= MOST_RANGES:
        raise bad_request(f"ranges must be a list of 1 to {MOST_RANGES} ranges.")
    ranges = [_range(Arguments(one, f"ranges[{index}]")) for index, one in enumerate(given)]
    spans = [_span(args) for args in ranges]
    return Plan({"ranges": ranges}, {"samples": (min(span[0] for span in spans), max(span[1] for span in spans))})


def _range(arguments: Arguments) -> Args:
    name = arguments.required_text("name")
    fn = arguments.choice("fn", FUNCTIONS, "rate")
    begin, end = arguments.span()
    step = _step(arguments, begin, end)
    args = {
        "name": name,
        "fn": fn,
        "q": _share(arguments.raw("q")) if fn == "quantile" else 0.0,
        "by": _labels(arguments.raw("by")),
        "where": _conditions(arguments.raw("where")),
        "begin": begin,
        "end": end,
        "width": step * _SECOND,
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
    yield _find(reader, args)


def _answer_many(reader: Reader, args: Args) -> Batches:
    for index, one in enumerate(args["ranges"]):
        yield [{"index": index, **row} for row in _find(reader, one)]


def _find(reader: Reader, args: Args) -> list[dict[str, Any]]:
    width = args["width"]
    first, last = args["begin"] // width, (args["end"] - 1) // width
    question = Question(args["name"], args["fn"], args["q"], tuple(args["by"]), first, last, width)
    parts = _read_parts(reader, args)
    _check_kind(question, parts.get(question.name, []))
    buckets = _read_buckets(reader, args) if args["fn"] == "quantile" else {}
    rows = find_points(question, parts, buckets)
    if len(rows) > MOST_GROUPS:
        reader.more = True
    return rows[:MOST_GROUPS]


def _check_kind(question: Question, parts: list[Part]) -> None:
    if parts and parts[0].kind not in FUNCTIONS[question.fn]:
        fitting = ", ".join(fn for fn, kinds in FUNCTIONS.items() if parts[0].kind in kinds)
        raise QueryError("bad_request", f"{question.name} is a {parts[0].kind}: ask for {fitting}.")


def _read_parts(reader: Reader, args: Args) -> dict[str, list[Part]]:
    """The sums of the metric, and of the store's own samples, which tell when it was scraped."""
    rows = reader.read(
        "SELECT name, kind, source, host, "  # noqa: S608 - numbers, and names of labels that were checked
        f"{_columns(args)}, sum(value) AS value, sum(total) AS total, "
        "sum(value * resolution) AS area, sum(resolution) AS seconds, max(coalesce(total, value)) AS highest "
        f"FROM {{rows}} GROUP BY ALL LIMIT {_MOST_PARTS + 1}",
        "samples",
        both(within(_span(args)), either(_wanted(args), is_one_of("name", (own.UP, own.COVERED)))),
    )
    if len(rows) > _MOST_PARTS:
        raise QueryError("too_large", "The range has too many points. Ask for fewer labels or a larger step.")
    parts: dict[str, list[Part]] = {}
    for row in rows:
        row["total"] = row["total"] or 0.0
        group = tuple(row.pop("labels") or ())
        parts.setdefault(row.pop("name"), []).append(Part(group=group, **row))
    return parts


def _read_buckets(reader: Reader, args: Args) -> dict[tuple[int, str, Group], dict[float, float]]:
    """The counts of each step, host and group by upper bound."""
    apart = (
        f"SELECT host, {_columns(args)}, unnest(buckets) AS count, "  # noqa: S608 - as above
        "unnest(list_append(bounds, CAST('inf' AS DOUBLE))) AS bound FROM {rows} WHERE buckets IS NOT NULL"
    )
    rows = reader.read(
        f"SELECT host, labels, step, bound, sum(count) AS count FROM ({apart}) GROUP BY ALL",  # noqa: S608 - as above
        "samples",
        both(within(_span(args)), _wanted(args)),
    )
    found: dict[tuple[int, str, Group], dict[float, float]] = {}
    for row in rows:
        found.setdefault((row["step"], row["host"], tuple(row["labels"] or ())), {})[row["bound"]] = row["count"]
    return found


def _columns(args: Args) -> str:
    labels = ", ".join(f"coalesce({json_text('labels', label)}, '')" for label in args["by"])
    return f"{f'[{labels}]' if labels else 'NULL'} AS labels, (ts - 1) // {int(args['width'])} AS step"


def _wanted(args: Args) -> Condition:
    """Return what holds for the samples of the metric with the labels that were asked for."""
    labels = [
        is_one_of(f"coalesce({json_text('labels', label)}, '')", tuple(values))
        for label, values in args["where"].items()
    ]
    return both(equals("name", args["name"]), *labels)


QUERIES = {
    "metrics.range": Query(_parse_range, _answer_range),
    "metrics.many": Query(_parse_many, _answer_many),
}
