"""Reads PromQL as far as one must to hold it against what the site exports: which series, within which functions."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from church import documents
from church.observability.metrics import definitions

OPS = documents.ROOT / "ops"
AGGREGATIONS = frozenset(
    {"sum", "min", "max", "avg", "count", "group", "stddev", "stdvar", "topk", "bottomk", "quantile", "count_values"}
)
GROUPING = frozenset({"by", "without", "on", "ignoring", "group_left", "group_right"})
WORDS = frozenset({"and", "or", "unless", "bool", "offset", "atan2", "inf", "nan", "start", "end"})
OF_PROMETHEUS = {"up": frozenset[str](), "scrape_duration_seconds": frozenset[str]()}
OF_THE_SCRAPE = frozenset({"job", "instance"})
FILLED = {"$__rate_interval": "5m", "$__range": "1h", "$__interval": "1m"}
SUFFIXES = {"histogram": ("_bucket", "_count", "_sum")}
_TOKEN = re.compile(
    r"""(?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(?P<range>\[[^\]]*\])|(?P<number>\d[\w.]*|\$\w+)"""
    r"""|(?P<name>[A-Za-z_:][\w:]*)|(?P<sign>=~|!~|!=|[{}(),=])|(?P<rest>\S)"""
)


@dataclass
class Selector:
    """Series that an expression names: its matchers as (label, operator, value), and what stands around it."""

    metric: str
    matchers: list[tuple[str, str, str]] = field(default_factory=list)
    range: str = ""
    within: tuple[str, ...] = ()


@dataclass
class Reading:
    """What an expression names."""

    selectors: list[Selector] = field(default_factory=list)
    grouped: set[str] = field(default_factory=set)
    """Labels behind by, on and their like."""


def read(expression: str) -> Reading:
    """Take ``expression`` apart. It is for expressions that Prometheus itself takes: this knows no syntax errors."""
    tokens = [(m.lastgroup or "", m.group()) for m in _TOKEN.finditer(expression)]
    found, around, pending, at = Reading(), [""], "", 0
    while at < len(tokens):
        kind, text = tokens[at]
        after = tokens[at + 1][1] if at + 1 < len(tokens) else ""
        if kind == "name" and text in GROUPING and after != "(":
            pass  # group_left may stand alone
        elif kind == "name" and text in GROUPING:
            end = next(i for i in range(at, len(tokens)) if tokens[i][1] == ")")
            found.grouped |= {word for sort, word in tokens[at + 1 : end] if sort == "name"}
            at = end
        elif kind == "name" and (text in AGGREGATIONS or after == "("):
            pending = text
        elif kind == "name" and text not in WORDS:
            found.selectors.append(Selector(text, within=tuple(filter(None, around))))
        elif text == "{":
            end = next(i for i in range(at, len(tokens)) if tokens[i][1] == "}")
            found.selectors[-1].matchers += list(_matchers(tokens[at + 1 : end]))
            at = end
        elif kind == "range" and found.selectors:
            found.selectors[-1].range = text.strip("[]")
        elif text == "(":
            around.append(pending)
            pending = ""
        elif text == ")":
            around.pop()
        at += 1
    return found


def _matchers(tokens: list[tuple[str, str]]) -> Iterator[tuple[str, str, str]]:
    words = [text for _, text in tokens if text != ","]
    for label, operator, value in zip(words[::3], words[1::3], words[2::3], strict=True):
        yield label, operator, value[1:-1].replace("\\\\", "\\")


@cache
def exported() -> dict[str, frozenset[str]]:
    """Every sample that the site can show, with its own labels, those that Prometheus adds apart."""
    found = {}
    for row in documents.catalogue():
        for suffix in SUFFIXES.get(row.kind, ("",)):
            found[row.name + suffix] = frozenset(row.labels) | ({"le"} if suffix == "_bucket" else set())
    return found


@cache
def stated() -> frozenset[str]:
    """Samples that come from the database: on every host the same."""
    rows = (row for row in documents.catalogue() if row.source == "database")
    return frozenset(row.name + suffix for row in rows for suffix in SUFFIXES.get(row.kind, ("",)))


@cache
def recorded() -> dict[str, frozenset[str]]:
    """Series that the shipped rules make, and the alerts' own."""
    found: dict[str, frozenset[str]] = dict(OF_PROMETHEUS)
    alerts = {"alertname", "alertstate"}
    for rule in rules():
        if "record" in rule:
            found[rule["record"]] = found.get(rule["record"], frozenset()) | frozenset(rule.get("labels", ()))
        else:
            alerts |= rule.get("labels", {}).keys()
    slo_labels = frozenset().union(*(labels for name, labels in found.items() if name.startswith("slo:")))
    return found | {"ALERTS": frozenset(alerts) | slo_labels}


def rules(folder: Path = OPS / "prometheus" / "rules") -> Iterator[dict[str, Any]]:
    """Every rule of every file."""
    for path in sorted(folder.glob("*.yml")):
        for group in yaml.safe_load(path.read_text())["groups"]:
            yield from group["rules"]


@cache
def values() -> dict[tuple[str, str], frozenset[str]]:
    """Of each sample and label the values that exist from the start: those that queries may ask for by name."""
    found: dict[tuple[str, str], set[str]] = {}
    for family in definitions.CATALOGUE.collect():
        for sample in family.samples:
            for label, value in sample.labels.items():
                found.setdefault((sample.name, label), set()).add(value)
    fixed = documents.label_values()
    found["dora_sample_size", "metric"] = set(fixed["metric"])
    found["stripe_subscriptions_active", "status"] = set(fixed["status"])
    return {where: frozenset(known) for where, known in found.items()}


def foreign(expression: str, routes: Iterable[str] = ()) -> list[str]:
    """What of ``expression`` neither the site nor the shipped rules make: metrics, labels, values of labels."""
    reading, complaints = read(expression), []
    known_labels: set[str] = set(OF_THE_SCRAPE)
    routes = frozenset(routes)
    for selector in reading.selectors:
        labels = exported().get(selector.metric, recorded().get(selector.metric))
        if labels is None:
            complaints.append(f"no metric {selector.metric}")
            continue
        known_labels |= labels
        for label, operator, value in selector.matchers:
            if label not in labels | OF_THE_SCRAPE:
                complaints.append(f"{selector.metric} has no label {label}")
            elif not _exists(selector.metric, label, operator, value, routes):
                complaints.append(f"{selector.metric} has no {label} that is {value}")
    complaints += [f"grouped by {label}, which nothing has" for label in sorted(reading.grouped - known_labels)]
    return complaints


def _exists(metric: str, label: str, operator: str, value: str, routes: frozenset[str]) -> bool:
    """Whether every alternative of a matcher is, or fits, a value that there is. Variables fit anything."""
    known = values().get((metric, label), frozenset())
    if label == "route":
        known = routes
    if value.startswith("$") or label in {"status_code", "status_class", "method"} or not known:
        return True
    if operator in {"=", "!="}:
        return value in known
    return all(any(re.fullmatch(part, one) for one in known) for part in _alternatives(value))


def _alternatives(pattern: str) -> list[str]:
    """Those of the outermost level: a|b(c|d) is a and b(c|d)."""
    return re.findall(r"(?:[^|(]|\([^)]*\))+", pattern)


def filled(expression: str, **variables: str) -> str:
    """The expression as Grafana would send it: windows of a usual width, and every variable at All unless given."""
    for name, window in FILLED.items():
        expression = expression.replace(name, window)
    return re.sub(r"\$(\w+)", lambda match: variables.get(match[1], ".+"), expression)


def panels(folder: Path = OPS / "grafana" / "dashboards") -> Iterator[tuple[str, str, str]]:
    """Dashboard, panel and expression, of all panels of all dashboards."""
    for path in sorted(folder.glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel.get("targets", ()):
                yield path.stem, panel["title"], target["expr"]
