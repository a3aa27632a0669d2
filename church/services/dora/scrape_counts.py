"""Metrics of deliveries that a scrape reads from the database, so they are equal on all hosts and after a restart.

Histograms cover all history. The database adds them up, again only after a row was added or changed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from church.config import current_settings
from church.extensions import db
from church.lib.app_context import app_state
from church.models import DeliveredCommit, Deployment, Incident
from church.models.base import utc_now
from church.services.dora.figures import BROKEN, DAY, DEFAULT_LENGTH, HOTFIX, SUCCESSFUL, UNITS

LEAD_BUCKETS = (300.0, 900.0, 3600.0, 14400.0, 43200.0, DAY, 3 * DAY, 7 * DAY, 14 * DAY, 30 * DAY, 90 * DAY)
REPAIR_BUCKETS = (60.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0, 14400.0, 43200.0, DAY, 3 * DAY, 7 * DAY)
_CACHE = "delivery_numbers"
_FRESH_SECONDS = 2.0
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
    """The numbers by environment. Sums are those of ``revision``; counts those of ``counted`` (monotonic seconds)."""

    revision: tuple[int, ...] = ()
    leads: Mapping[str, Sequence[float]] = field(default_factory=dict)
    repairs: Mapping[str, Sequence[float]] = field(default_factory=dict)
    counted: float = -math.inf
    counts: Mapping[str, _Counts] = field(default_factory=dict)


def read_lead_times() -> Buckets:
    """Read the lead times of each environment: counts up to each bound, count of all, and sum in seconds."""
    return _with_zeros(_numbers().leads, LEAD_BUCKETS)


def read_repair_times() -> Buckets:
    """Read the times from opened to resolved, in the same form as lead times."""
    return _with_zeros(_numbers().repairs, REPAIR_BUCKETS)


def _with_zeros(sums: Mapping[str, Sequence[float]], bounds: Sequence[float]) -> Buckets:
    """Yield every environment of the settings, with zeros if it has no rows. Other environments are left out."""
    for environment in current_settings().environments:
        yield (environment,), sums.get(environment, [0.0] * (len(bounds) + 2))


def _numbers() -> _Numbers:
    """Read the numbers, once for the six metrics of one scrape."""
    numbers: _Numbers = app_state().get(_CACHE) or _Numbers()
    now = time.monotonic()
    with db.read() as session:
        revision = _revision(session)
        if revision == numbers.revision and now - numbers.counted < _FRESH_SECONDS:
            return numbers
        if revision != numbers.revision:
            leads = _sums(session, DeliveredCommit.environment, DeliveredCommit.lead_seconds, LEAD_BUCKETS)
            numbers = _Numbers(revision, leads, _sums(session, Incident.environment, Incident.seconds, REPAIR_BUCKETS))
        numbers = replace(numbers, counted=now, counts=_counts(session))
    app_state()[_CACHE] = numbers
    return numbers


def _revision(session: Session) -> tuple[int, ...]:
    """Return numbers that grow with every row added or changed, in any order of the transactions."""
    deployments = session.scalar(select(func.count()).select_from(Deployment)) or 0
    incidents = session.execute(select(func.count(), func.coalesce(func.sum(Incident.changes), 0))).one()
    return deployments, int(incidents[0]), int(incidents[1])


def _sums(session: Session, environment: Any, seconds: Any, bounds: Sequence[float]) -> dict[str, list[float]]:
    below = [func.sum(case((seconds <= bound, 1), else_=0)) for bound in bounds]
    query = select(environment, *below, func.count(seconds), func.sum(seconds)).where(seconds.is_not(None))
    return {row[0]: [float(number) for number in row[1:]] for row in session.execute(query.group_by(environment))}


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


def _counts(session: Session) -> dict[str, _Counts]:
    since = utc_now() - DEFAULT_LENGTH
    deployed = (
        select(Deployment.environment, func.count(), func.count().filter(HOTFIX), func.count().filter(BROKEN))
        .where(SUCCESSFUL, Deployment.finished_at >= since)
        .group_by(Deployment.environment)
    )
    delivered = select(DeliveredCommit.environment, func.count()).where(DeliveredCommit.delivered_at >= since)
    resolved = select(Incident.environment, func.count(), func.count(Incident.deployment_id)).where(
        Incident.opened_at >= since, Incident.resolved_at.is_not(None)
    )
    ever = set(session.scalars(select(Deployment.environment).distinct()))
    successes = _by_first(session, deployed)
    leads = _by_first(session, delivered.group_by(DeliveredCommit.environment))
    incidents = _by_first(session, resolved.group_by(Incident.environment))
    return {
        name: _Counts(
            name in ever, *successes.get(name, (0, 0, 0)), *leads.get(name, (0,)), *incidents.get(name, (0, 0))
        )
        for name in current_settings().environments
    }


def _by_first(session: Session, query: Any) -> dict[str, tuple[int, ...]]:
    return {row[0]: tuple(map(int, row[1:])) for row in session.execute(query)}
