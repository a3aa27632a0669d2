"""Quantiles of histograms are those of Prometheus."""

from __future__ import annotations

from math import inf

import pytest

from church.telemetry_store.metrics.quantile import find_quantile


@pytest.mark.parametrize(
    ("q", "counts", "expected"),
    [
        (0.5, {0.1: 10, 0.2: 10, inf: 0}, 0.1),
        (0.75, {0.1: 10, 0.2: 10, inf: 0}, 0.15),
        (0.99, {0.1: 10, 0.2: 0, 0.4: 90, inf: 0}, 0.2 + 0.2 * 89 / 90),
        (0.25, {0.1: 8, 0.2: 0, inf: 0}, 0.025),  # the first bucket begins at 0
        (0.9, {0.1: 1, 0.2: 1, inf: 8}, 0.2),  # above all bounds
        (0.0, {0.1: 0, 0.2: 5, inf: 0}, 0.1),
        (1.0, {0.1: 3, 0.2: 5, inf: 0}, 0.2),
        (0.5, {-1.0: 4, 2.0: 1, inf: 0}, -1.0),
        (0.5, {0.1: 0, inf: 0}, None),
        (0.5, {inf: 3}, None),
        (0.5, {}, None),
    ],
)
def test_find_quantile(q: float, counts: dict[float, float], expected: float | None) -> None:
    assert find_quantile(q, counts) == (None if expected is None else pytest.approx(expected))
