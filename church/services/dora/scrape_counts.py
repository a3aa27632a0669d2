"""Metrics of deliveries that a scrape reads from the database, so they are equal on all hosts and after a restart.

Histograms cover all history: the transaction that changes a row keeps their sums (``church.database.kept_sums``).
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import accumulate
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from church.config import current_settings
from church.database.kept_sums import LEAD_BUCKETS, REPAIR_BUCKETS, SumName, Total, read_all_sums
from church.extensions import db
from church.lib.app_context import app_state
from church.models import DeliveredCommit, Deployment, Incident
from church.models.base import utc_now
from church.services.dora.figures import BROKEN, DEFAULT_LENGTH, HOTFIX, SUCCESSFUL, UNITS

__all__ = [
    "LEAD_BUCKETS",
    "REPAIR_BUCKETS",
    "count_samples",
    "read_failure_rates",
    "read_frequencies",
    "read_lead_times",
    "read_repair_times",
    "read_rework_rates",
]

_CACHE = "delivery_numbers"
_FRESH_SECONDS = 2.0
_MICROSECONDS = 1_000_000
_SUMS = (SumName.LEAD_TIMES, SumName.REPAIR_TIMES, SumName.DEPLOYMENTS, SumName.INCIDENTS)
Series = Iterator[tuple[tuple[str, ...], float]]
Buckets = Iterator[tuple[tuple[str, ...], Sequence[float]]]


@dataclass(frozen=True)
class _Counts:
    """Counts of one environment in the last 30 days."""

    ever: bool = False
    successes: int = 0
    hotfixes: int = 0
    broken: int = 0
    leads: int = 0
    repairs: int = 0
    recoveries: int = 0


@dataclass(frozen=True)
class _Numbers:
    """The numbers by environment, as they were at ``read`` (monotonic seconds) with ``sums``."""

    sums: Mapping[SumName, Mapping[str, Total]] = field(default_factory=dict)
    counts: Mapping[str, _Counts] = field(default_factory=dict)
    read: float = -math.inf


def read_lead_times() -> Buckets:
    """Read the lead times of each environment: counts up to each bound, count of all, and sum in seconds."""
    return _list_buckets(SumName.LEAD_TIMES, LEAD_BUCKETS)


def read_repair_times() -> Buckets:
    """Read the times from opened to resolved, in the same form as lead times."""
    return _list_buckets(SumName.REPAIR_TIMES, REPAIR_BUCKETS)


def _list_buckets(name: SumName, bounds: Sequence[float]) -> Buckets:
    """Yield every environment of the settings, with zeros if it has no rows. Other environments are left out."""
    sums = _numbers().sums[name]
    for environment in current_settings().environments:
        found = [sums.get(f"{number:02}/{environment}", Total(0, 0)) for number in range(len(bounds) + 1)]
        counts = [float(count) for count in accumulate(total.count for total in found)]
        yield (environment,), [*counts, sum(total.amount for total in found) / _MICROSECONDS]


def _numbers() -> _Numbers:
    """Read the numbers, once for the six metrics of one scrape, and again once a report has come."""
    numbers: _Numbers = app_state().get(_CACHE) or _Numbers()
    now = time.monotonic()
    with db.read() as session:
        sums = read_all_sums(session, *_SUMS)
        if sums == numbers.sums and now - numbers.read < _FRESH_SECONDS:
            return numbers
        numbers = _Numbers(sums, _counts(session, sums[SumName.DEPLOYMENTS]), now)
    app_state()[_CACHE] = numbers
    return numbers


def read_frequencies() -> Series:
    """Yield the successful deployments a day of each environment that ever had a deployment."""
    for environment, counts in _numbers().counts.items():
        if counts.ever:
            yield (environment,), counts.successes / (DEFAULT_LENGTH / timedelta(days=1))


def read_failure_rates() -> Series:
    """Yield the share of successful deployments that caused an incident, by environment."""
    for environment, counts in _numbers().counts.items():
        if counts.successes:
            yield (environment,), counts.broken / counts.successes


def read_rework_rates() -> Series:
    """Yield the share of successful deployments that were hotfixes, by environment."""
    for environment, counts in _numbers().counts.items():
        if counts.successes:
            yield (environment,), counts.hotfixes / counts.successes


def count_samples() -> Series:
    """Yield how many things each figure of the last 30 days is computed from."""
    for environment, counts in _numbers().counts.items():
        of_incidents = {"mttr_seconds": counts.repairs, "failed_deployment_recovery_seconds": counts.recoveries}
        n = {"lead_time_seconds": counts.leads, **of_incidents}
        for name in UNITS:
            yield (name, environment), float(n.get(name, counts.successes))


def _counts(session: Session, deployments: Mapping[str, Total]) -> dict[str, _Counts]:
    """Count the last 30 days. The environments are named, because the indexes begin with them."""
    since, environments = utc_now() - DEFAULT_LENGTH, current_settings().environments
    deployed = (
        select(Deployment.environment, func.count(), func.count().filter(HOTFIX), func.count().filter(BROKEN))
        .where(Deployment.environment.in_(environments), Deployment.finished_at >= since, SUCCESSFUL)
        .group_by(Deployment.environment)
    )
    delivered = select(DeliveredCommit.environment, func.count()).where(
        DeliveredCommit.environment.in_(environments), DeliveredCommit.delivered_at >= since
    )
    resolved = select(Incident.environment, func.count(), func.count(Incident.deployment_id)).where(
        Incident.environment.in_(environments), Incident.opened_at >= since, Incident.resolved_at.is_not(None)
    )
    successes = _by_first(session, deployed)
    leads = _by_first(session, delivered.group_by(DeliveredCommit.environment))
    incidents = _by_first(session, resolved.group_by(Incident.environment))
    return {
        name: _Counts(
            name in deployments, *successes.get(name, (0, 0, 0)), *leads.get(name, (0,)), *incidents.get(name, (0, 0))
        )
        for name in environments
    }


def _by_first(session: Session, query: Any) -> dict[str, tuple[int, ...]]:
    return {row[0]: tuple(map(int, row[1:])) for row in session.execute(query)}
