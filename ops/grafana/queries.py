"""PromQL as the panels use it: every selector bound to the dashboard's job and instance, every counter to a rate."""

from __future__ import annotations

from dataclasses import dataclass

SITE = 'job=~"$job", instance=~"$instance"'
"""What the variables choose; the rows that a database gives are the same on every instance."""


@dataclass(frozen=True)
class Query:
    """One expression, and how its series are called in a legend."""

    expr: str
    legend: str = ""
    exemplar: bool = False


def site(name: str, *matchers: str) -> str:
    """The series of ``name`` on the chosen instances."""
    return f"{name}{{{', '.join((SITE, *matchers))}}}"


def rate(name: str, *matchers: str) -> str:
    """A second, over a window that Grafana fits to the scrape interval and the width of the panel."""
    return f"rate({site(name, *matchers)}[$__rate_interval])"


def increase(name: str, *matchers: str, over: str = "$__range") -> str:
    """How much was added, by default over all of the time that is shown."""
    return f"increase({site(name, *matchers)}[{over}])"


def total(counted: str, *by: str) -> str:
    """What is counted on each instance, summed."""
    return f"sum by ({', '.join(by)}) ({counted})" if by else f"sum({counted})"


def one(stated: str, *by: str) -> str:
    """What comes from the database is on every instance the same: once, not summed."""
    return f"max by ({', '.join(by)}) ({stated})" if by else f"max({stated})"


def share(part: str, whole: str) -> str:
    """0 to 1 of a ``whole``; nothing, and not NaN, where there is nothing to have a share of."""
    return f"({part} or vector(0)) / ({whole} > 0)"


def quantile(q: float, name: str, *matchers: str, by: str = "") -> str:
    """Below what the given part of the observations stayed, from all instances' buckets."""
    labels = ("le", by) if by else ("le",)
    return quantile_of(q, total(rate(f"{name}_bucket", *matchers), *labels))


def quantile_of(q: float, buckets: str) -> str:
    """The same of given buckets; where they are empty it is nothing: a comparison leaves NaN out."""
    return f"histogram_quantile({q}, {buckets}) >= 0"


def most(expr: str) -> str:
    """The ten largest: more lines than that nobody tells apart."""
    return f"topk(10, {expr})"


# -- what many panels ask ---------------------------------------------------------------------------------------------


def each(label: str, name: str, *matchers: str) -> Query:
    """How often a second, a line for each value of ``label``."""
    return Query(total(rate(name, *matchers), label), f"{{{{{label}}}}}")


def busiest(label: str, name: str, *matchers: str) -> Query:
    """The same of the ten values with most."""
    return Query(most(total(rate(name, *matchers), label)), f"{{{{{label}}}}}")


def spread(name: str, *matchers: str) -> tuple[Query, Query]:
    """Below what half and 95 of 100 of the observations stayed."""
    return (
        Query(quantile(0.5, name, *matchers), "half"),
        Query(quantile(0.95, name, *matchers), "95 of 100"),
    )
