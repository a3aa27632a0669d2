"""PromQL as the panels use it: every selector bound to the dashboard's job and instance, every counter to a rate."""

from __future__ import annotations

from dataclasses import dataclass

SITE = 'job=~"$job", instance=~"$instance"'
"""Selects the job and instances of the dashboard; values from the database are the same on every instance."""


@dataclass(frozen=True)
class Query:
    """One expression, and the legend of its series."""

    expr: str
    legend: str = ""
    exemplar: bool = False


def site(name: str, *matchers: str) -> str:
    """The series of ``name`` on the selected instances."""
    return f"{name}{{{', '.join((SITE, *matchers))}}}"


def rate(name: str, *matchers: str) -> str:
    """Rate per second, over a window that Grafana fits to the scrape interval and the width of the panel."""
    return f"rate({site(name, *matchers)}[$__rate_interval])"


def increase(name: str, *matchers: str, over: str = "$__range") -> str:
    """Increase, by default over the selected time."""
    return f"increase({site(name, *matchers)}[{over}])"


def total(counted: str, *by: str) -> str:
    """Sum of a value that each instance counts."""
    return f"sum by ({', '.join(by)}) ({counted})" if by else f"sum({counted})"


def one(stated: str, *by: str) -> str:
    """A value from the database, taken once, because it is the same on every instance."""
    return f"max by ({', '.join(by)}) ({stated})" if by else f"max({stated})"


def share(part: str, whole: str) -> str:
    """Share from 0 to 1 of ``whole``; no value instead of NaN if ``whole`` is 0."""
    return f"({part} or vector(0)) / ({whole} > 0)"


def quantile(q: float, name: str, *matchers: str, by: str = "") -> str:
    """Quantile of a histogram, from the buckets of all instances."""
    labels = ("le", by) if by else ("le",)
    return quantile_of(q, total(rate(f"{name}_bucket", *matchers), *labels))


def quantile_of(q: float, buckets: str) -> str:
    """Quantile of given buckets; no value if they are empty, because a comparison drops NaN."""
    return f"histogram_quantile({q}, {buckets}) >= 0"


def most(expr: str) -> str:
    """The ten largest, because more lines are hard to tell apart."""
    return f"topk(10, {expr})"


# -- what many panels ask ---------------------------------------------------------------------------------------------


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
