"""Compares PromQL expressions with what the site and the shipped rules export."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from church.observability.metrics import definitions
from ops import documents
from tests.support import promql

OPS = documents.ROOT / "ops"
OF_PROMETHEUS = {"up": frozenset[str](), "scrape_duration_seconds": frozenset[str]()}
OF_THE_SCRAPE = frozenset({"job", "instance"})
FILLED = {"$__rate_interval": "5m", "$__range": "1h", "$__interval": "1m"}
SUFFIXES = {"histogram": ("_bucket", "_count", "_sum")}


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
    reading, complaints = promql.read(expression), []
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
