"""PromQL for the panels. Every selector is limited to the job and instances that the dashboard selects."""

from __future__ import annotations

from dataclasses import dataclass

SITE = 'job=~"$job", instance=~"$instance"'
"""Matchers for the selected job and instances. Values from the database are the same on every instance."""


@dataclass(frozen=True)
class Query:
    """An expression and the legend of its series."""

    expr: str
    legend: str = ""
    exemplar: bool = False


def site(name: str, *matchers: str) -> str:
    """Select the series of ``name`` on the selected instances."""
    return f"{name}{{{', '.join((SITE, *matchers))}}}"


def rate(name: str, *matchers: str) -> str:
    """Rate per second; Grafana chooses the window by scrape interval and panel width."""
    return f"rate({site(name, *matchers)}[$__rate_interval])"


def increase(name: str, *matchers: str, over: str = "$__range") -> str:
    """Increase of a counter, by default over the selected time."""
    return f"increase({site(name, *matchers)}[{over}])"


def total(series: str, *by: str) -> str:
    """Sum of a value that each instance counts on its own."""
    return f"sum by ({', '.join(by)}) ({series})" if by else f"sum({series})"


def one(series: str, *by: str) -> str:
    """Value from the database, taken once because it is the same on every instance."""
    return f"max by ({', '.join(by)}) ({series})" if by else f"max({series})"


def share(part: str, whole: str) -> str:
    """Share of ``part`` in ``whole``, 0 to 1; no value instead of NaN if ``whole`` is 0."""
    return f"({part} or vector(0)) / ({whole} > 0)"


def quantile(q: float, name: str, *matchers: str, by: str = "") -> str:
    """Quantile of a histogram, from the buckets of all instances."""
    labels = ("le", by) if by else ("le",)
    return quantile_of(q, total(rate(f"{name}_bucket", *matchers), *labels))


def quantile_of(q: float, buckets: str) -> str:
    """Quantile of given buckets; no value if they are empty, because a comparison drops NaN."""
    return f"histogram_quantile({q}, {buckets}) >= 0"


def most(expr: str) -> str:
    """Ten largest series, because more lines are hard to tell apart."""
    return f"topk(10, {expr})"


# -- queries of many panels -------------------------------------------------------------------------------------------


def each(label: str, name: str, *matchers: str) -> Query:
    """Rate per second, one line for each value of ``label``."""
    return Query(total(rate(name, *matchers), label), f"{{{{{label}}}}}")


def busiest(label: str, name: str, *matchers: str) -> Query:
    """Rate per second of the ten most frequent values of ``label``."""
    return Query(most(total(rate(name, *matchers), label)), f"{{{{{label}}}}}")


def spread(name: str, *matchers: str) -> tuple[Query, Query]:
    """Median and 95th percentile."""
    return (
        Query(quantile(0.5, name, *matchers), "half"),
        Query(quantile(0.95, name, *matchers), "95 of 100"),
    )
