"""A quantile of a histogram, interpolated as Prometheus's ``histogram_quantile`` does."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf


def find_quantile(q: float, counts: Mapping[float, float]) -> float | None:
    """The quantile ``q`` of a histogram: ``counts`` has the count in each bucket by its upper bound, +Inf the last.

    None without a count. Inside a bucket the values are taken to be spread evenly; the first one begins at 0. What is
    above all bounds is taken to be at the last one.
    """
    bounds = sorted(counts)
    rank = q * sum(counts.values())
    if not bounds or sum(counts.values()) <= 0:
        return None
    below, begin = 0.0, 0.0
    for bound in bounds:
        count = counts[bound]
        if below + count >= rank and (count > 0 or bound == bounds[-1]):
            break
        below += count
        begin = bound
    if bound == inf:
        return begin if len(bounds) > 1 else None
    if bound == bounds[0] and bound <= 0:
        return bound
    return begin + (bound - begin) * (rank - below) / count
