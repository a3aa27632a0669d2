"""Compare PromQL expressions with the metrics of the site and of the shipped rules."""

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
def site_samples() -> dict[str, frozenset[str]]:
    """Return every sample of the site with its labels, except those that Prometheus adds."""
    samples = {}
    for row in documents.list_metrics():
        for suffix in SUFFIXES.get(row.kind, ("",)):
            samples[row.name + suffix] = frozenset(row.labels) | ({"le"} if suffix == "_bucket" else set())
    return samples


@cache
def database_samples() -> frozenset[str]:
    """List the samples that come from the database, which are the same on every host."""
    rows = (row for row in documents.list_metrics() if row.source == "database")
    return frozenset(row.name + suffix for row in rows for suffix in SUFFIXES.get(row.kind, ("",)))


@cache
def rule_series() -> dict[str, frozenset[str]]:
    """Return the series that the shipped rules record, and those of alerts, with their labels."""
    series: dict[str, frozenset[str]] = dict(OF_PROMETHEUS)
    alerts = {"alertname", "alertstate"}
    for rule in rules():
        if "record" in rule:
            series[rule["record"]] = series.get(rule["record"], frozenset()) | frozenset(rule.get("labels", ()))
        else:
            alerts |= rule.get("labels", {}).keys()
    slo_labels = frozenset().union(*(labels for name, labels in series.items() if name.startswith("slo:")))
    return series | {"ALERTS": frozenset(alerts) | slo_labels}


def rules(folder: Path = OPS / "prometheus" / "rules") -> Iterator[dict[str, Any]]:
    """Yield every rule of every file in ``folder``."""
    for path in sorted(folder.glob("*.yml")):
        for group in yaml.safe_load(path.read_text())["groups"]:
            yield from group["rules"]


# Taken when the tests are collected: those that run before this module's add values, such as the pages they open.
_SAMPLES_FROM_THE_START = [sample for family in definitions.CATALOGUE.collect() for sample in family.samples]


@cache
def known_label_values() -> dict[tuple[str, str], frozenset[str]]:
    """Return the values of each (sample, label) that exist from the start: queries may name only these."""
    by_label: dict[tuple[str, str], set[str]] = {}
    for sample in _SAMPLES_FROM_THE_START:
        for label, value in sample.labels.items():
            by_label.setdefault((sample.name, label), set()).add(value)
    fixed = documents.label_values()
    by_label["dora_sample_size", "metric"] = set(fixed["dora_sample_size", "metric"])
    by_label["stripe_subscriptions_active", "status"] = set(fixed["stripe_subscriptions_active", "status"])
    return {key: frozenset(names) for key, names in by_label.items()}


def find_unknown_names(expression: str, routes: Iterable[str] = ()) -> list[str]:
    """List the metrics, labels and label values of ``expression`` that neither the site nor the rules have."""
    reading, complaints = promql.read(expression), []
    known_labels: set[str] = set(OF_THE_SCRAPE)
    routes = frozenset(routes)
    for selector in reading.selectors:
        labels = site_samples().get(selector.metric, rule_series().get(selector.metric))
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
    """Whether every alternative of a matcher matches an existing value. Variables match anything."""
    known = known_label_values().get((metric, label), frozenset())
    if label == "route":
        known = routes
    if value.startswith("$") or label in {"status_code", "status_class", "method"} or not known:
        return True
    if operator in {"=", "!="}:
        return value in known
    return all(any(re.fullmatch(part, name) for name in known) for part in _alternatives(value))


def _alternatives(pattern: str) -> list[str]:
    """Split a pattern at its outermost bars: a|b(c|d) gives a and b(c|d)."""
    return re.findall(r"(?:[^|(]|\([^)]*\))+", pattern)


def replace_variables(expression: str, **variables: str) -> str:
    """Replace variables as Grafana would: usual windows, and every variable at All unless given."""
    for name, window in FILLED.items():
        expression = expression.replace(name, window)
    return re.sub(r"\$(\w+)", lambda match: variables.get(match[1], ".+"), expression)
