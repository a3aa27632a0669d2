"""What a chart of metrics shows, as text in its address: ``p95(web_vitals_lcp_seconds{device="phone"}) by (route)``.

It reads as Prometheus's language does, with one function around one metric.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from church.errors import InvalidError
from church.web.charts import units
from church.web.charts.units import Unit

FUNCTIONS: Mapping[str, Mapping[str, str]] = {
    "counter": {"rate": "per second", "increase": "increase"},
    "histogram": {
        "p50": "median",
        "p90": "p90",
        "p95": "p95",
        "p99": "p99",
        "mean": "mean",
        "rate": "per second",
        "count": "count",
    },
    "gauge": {"value": "value", "average": "average of the series", "highest": "highest of the series"},
}
"""The functions of each kind of metric, the usual one first, and their words."""
_FIRST = {"histogram": "p95"}
_MOST_TEXT = 500
_WHOLE = re.compile(
    r"(?P<fn>[a-z]+|p[0-9]{1,2}(?:\.[0-9]{1,2})?)"
    r"\((?P<name>[a-zA-Z_:][a-zA-Z0-9_:]{0,199})(?:\{(?P<where>.*)\})?\)"
    r"(?: by \((?P<by>[a-zA-Z0-9_, ]*)\))?",
    re.DOTALL,
)
_LABEL = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"\s*(?:,|$)')
_RATIOS = frozenset({"change_failure_rate", "deployment_rework_rate"})


class Expression(NamedTuple):
    """A function of a metric; ``by`` are labels to keep apart, ``where`` the values of labels that are looked at."""

    fn: str
    name: str
    by: tuple[str, ...] = ()
    where: tuple[tuple[str, str], ...] = ()

    @property
    def text(self) -> str:
        """The expression in writing."""
        where = ",".join(f'{label}="{_escape(value)}"' for label, value in self.where)
        by = f" by ({', '.join(self.by)})" if self.by else ""
        return f"{self.fn}({self.name}{f'{{{where}}}' if where else ''}){by}"

    @property
    def unit(self) -> Unit:
        """The unit of the values, by the metric's name."""
        if self.fn == "rate":
            is_size = self.name.endswith("_bytes_total")
            return units.BYTE_RATE if is_size else units.NUMBER if self.name.endswith("_seconds_total") else units.RATE
        if self.fn == "count" or self.name in _RATIOS:
            return units.RATIO if self.name in _RATIOS else units.NUMBER
        name = self.name.removesuffix("_total")
        return units.SECONDS if name.endswith("_seconds") else units.BYTES if name.endswith("_bytes") else units.NUMBER

    def question(self) -> dict[str, Any]:
        """The arguments that the telemetry store takes, without the time."""
        values: dict[str, list[str]] = {}
        for label, value in self.where:
            values.setdefault(label, []).append(value)
        is_quantile = self.fn[1:2].isdigit()
        function = {"fn": "quantile", "q": float(self.fn[1:]) / 100} if is_quantile else {"fn": self.fn}
        return {"name": self.name, **function, "by": list(self.by), "where": values}


def parse_expression(text: str) -> Expression:
    """Parse what ``Expression.text`` writes. Raises InvalidError."""
    found = _WHOLE.fullmatch(text.strip()[:_MOST_TEXT])
    where = None if found is None else _parse_where(found["where"] or "")
    if found is None or where is None or not _is_function(found["fn"]):
        raise InvalidError(
            f'“{text[:80]}” is not such as rate(http_requests_total) or p95(name{{label="value"}}) by (label).'
        )
    by = tuple(dict.fromkeys(label.strip() for label in (found["by"] or "").split(",") if label.strip()))
    return Expression(found["fn"], found["name"], by, where)


def _is_function(name: str) -> bool:
    return name[1:2].isdigit() or any(name in functions for functions in FUNCTIONS.values())


def usual_expression(name: str, kind: str) -> Expression:
    """What to show of a metric when nothing else is asked for."""
    return Expression(_FIRST.get(kind) or next(iter(FUNCTIONS[kind])), name)


def name_series(expressions: Iterable[Expression]) -> list[str]:
    """A short name for each expression in a chart of them: what they do not share, nothing if there is one."""
    shown = list(expressions)
    if len(shown) == 1:
        return [""]
    is_same = len({(one.name, one.where) for one in shown}) == 1
    return [one.fn if is_same else one._replace(by=()).text for one in shown]


def _parse_where(text: str) -> tuple[tuple[str, str], ...] | None:
    """The labels and values inside the braces; None if it is something else."""
    found, at = [], 0
    while at < len(text):
        label = _LABEL.match(text, at)
        if label is None:
            return None
        found.append((label[1], re.sub(r"\\(.)", r"\1", label[2])))
        at = label.end()
    return tuple(dict.fromkeys(found))


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')
