"""The DORA figures, computed from what was counted: no rows, no clock.

Definitions and bands: https://dora.dev/guides/dora-metrics/ and the reports' tables of clusters, which are re-stated
here as the most that a value may be (of frequency, the least) to be in a band. Where a report gives two clusters the
same value, or a better cluster the worse one, as 2024 does for the change failure rate of "high" and "medium", only
the better band is given. What a report has no clusters for (time to restore, rework) has no band.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

DAY = 86400.0  # seconds
_WEEK, _MONTH, _HOUR = 7 * DAY, 30 * DAY, 3600.0
UNITS = {
    "deployment_frequency": "per day",
    "lead_time_seconds": "seconds",
    "change_failure_rate": "ratio",
    "mttr_seconds": "seconds",
    "failed_deployment_recovery_seconds": "seconds",
    "deployment_rework_rate": "ratio",
}
"""Every figure by its name, and what it is counted in."""

_LEAD = (("elite", DAY), ("high", _WEEK), ("medium", _MONTH))
_BANDS: dict[int, dict[str, tuple[tuple[str, float], ...]]] = {
    2023: {
        "lead_time_seconds": _LEAD,
        "change_failure_rate": (("elite", 0.05), ("high", 0.10), ("medium", 0.15)),
        "failed_deployment_recovery_seconds": (("elite", _HOUR), ("high", DAY), ("medium", _WEEK)),
    },
    2024: {
        "lead_time_seconds": _LEAD,
        "change_failure_rate": (("elite", 0.05), ("high", 0.20)),
        "failed_deployment_recovery_seconds": (("elite", _HOUR), ("high", DAY)),
    },
}
_INCLUSIVE = frozenset({"change_failure_rate"})  # "5%"; of times the reports say "less than"


@dataclass(frozen=True)
class Facts:
    """What was counted of one environment in one window."""

    ever: bool = False
    """Whether the environment had any deployment before the window's end."""
    successes: int = 0
    hotfixes: int = 0
    """Of the successes, those that were not planned."""
    broken: int = 0
    """Of the successes, those that at least one incident is the doing of."""
    leads: Sequence[float] = field(default_factory=tuple)
    """Seconds from commit to delivery, of each commit delivered for the first time."""
    repairs: Sequence[float] = field(default_factory=tuple)
    """Seconds from opened to resolved, of each resolved incident."""
    recoveries: Sequence[float] = field(default_factory=tuple)
    """Seconds from a deployment's finish to resolved, of each resolved incident that is its doing."""


@dataclass(frozen=True)
class Figure:
    """One figure; ``value`` is None where there is no data, ``n`` how many things it is made of."""

    value: float | None
    n: int
    unit: str
    band: str | None
    edition: str


def compute_figures(facts: Facts, days: float, edition: int) -> dict[str, Figure]:
    """All of them by name; ``days`` is the window's length, ``edition`` the year of the report whose bands are used."""
    year = bands_of(edition)
    values: dict[str, tuple[float | None, int]] = {
        "deployment_frequency": (facts.successes / days if facts.ever else None, facts.successes),
        "lead_time_seconds": _median(facts.leads),
        "change_failure_rate": _share(facts.broken, facts.successes),
        "mttr_seconds": _median(facts.repairs),
        "failed_deployment_recovery_seconds": _median(facts.recoveries),
        "deployment_rework_rate": _share(facts.hotfixes, facts.successes),
    }
    return {
        name: Figure(value, n, UNITS[name], _band(name, value, year), str(year)) for name, (value, n) in values.items()
    }


def bands_of(edition: int) -> int:
    """The newest report known here that is not newer than ``edition``; else the oldest."""
    return max((year for year in _BANDS if year <= edition), default=min(_BANDS))


def _median(values: Sequence[float]) -> tuple[float | None, int]:
    return (float(median(values)) if values else None, len(values))


def _share(part: int, whole: int) -> tuple[float | None, int]:
    return (part / whole if whole else None, whole)


def _band(name: str, value: float | None, year: int) -> str | None:
    if value is None:
        return None
    if name == "deployment_frequency":
        return _frequency_band(value)
    limits = _BANDS[year].get(name)
    if limits is None:
        return None
    inside = (band for band, most in limits if value < most or (value == most and name in _INCLUSIVE))
    return next(inside, "low")


def _frequency_band(per_day: float) -> str:
    """On demand is several a day; then at least once a week, at least once a month."""
    if per_day > 1:
        return "elite"
    return "high" if per_day >= DAY / _WEEK else "medium" if per_day >= DAY / _MONTH else "low"
