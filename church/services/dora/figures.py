"""The DORA figures of an environment and a window of time: read the rows, compute each figure and its band.

Definitions and bands: https://dora.dev/guides/dora-metrics/ and the reports' tables of clusters. The bands are written
as the highest value (of frequency, the lowest) that is still in them. Where a report has the same value for two
clusters, or a worse one for the better, as 2024 has for the change failure rate of "high" and "medium", only the
better band exists here. Figures without clusters in the report (time to restore, rework) have no band.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from statistics import median
from typing import Any

from sqlalchemy import ColumnElement, and_, func, select
from sqlalchemy.orm import Session

from church import telemetry
from church.config import current_settings
from church.errors import FieldErrors
from church.extensions import db
from church.models import DeliveredCommit, Deployment, Incident
from church.models.dora import BY_LEAD_TIME, DeploymentKind, DeploymentStatus
from church.services.dora.schemas import EARLIEST, parse_time

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
"""Every figure by its name, with its unit."""

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
_INCLUSIVE = frozenset({"change_failure_rate"})  # the reports write "5%" here, but "less than" for times


@dataclass(frozen=True)
class Sample:
    """The median of ``n`` values; None without any."""

    median: float | None = None
    n: int = 0

    @classmethod
    def of(cls, values: Sequence[float]) -> Sample:
        return cls(float(median(values)), len(values)) if values else cls()


@dataclass(frozen=True)
class Facts:
    """What the figures of one environment and window are computed from."""

    ever: bool = False
    """Whether the environment had any deployment before the window's end."""
    successes: int = 0
    hotfixes: int = 0
    """Successes that were not planned."""
    broken: int = 0
    """Successes that caused at least one incident."""
    leads: Sample = field(default_factory=Sample)
    """Seconds from commit to first delivery, of the commits."""
    repairs: Sample = field(default_factory=Sample)
    """Seconds from opened to resolved, of the resolved incidents."""
    recoveries: Sample = field(default_factory=Sample)
    """Seconds from a deployment's finish to resolved, of the resolved incidents that a deployment caused."""


@dataclass(frozen=True)
class Figure:
    """One figure; ``value`` is None without data, ``n`` is how many things it was computed from."""

    value: float | None
    n: int
    unit: str
    band: str | None
    edition: str


def read_figures(window: Window) -> dict[str, Figure]:
    """Read the figures of a window. Raises DatabaseDownError, DatabaseBusyError."""
    with telemetry.span("delivery.figures"), db.read() as session:
        facts = read_facts(session, window)
    return compute_figures(facts, window.days, current_settings().dora_edition)


def compute_figures(facts: Facts, days: float, edition: int) -> dict[str, Figure]:
    """Compute all figures, by name. ``edition`` is the year of the report whose bands are used."""
    year = choose_bands(edition)
    values: dict[str, tuple[float | None, int]] = {
        "deployment_frequency": (facts.successes / days if facts.ever else None, facts.successes),
        "lead_time_seconds": (facts.leads.median, facts.leads.n),
        "change_failure_rate": _share(facts.broken, facts.successes),
        "mttr_seconds": (facts.repairs.median, facts.repairs.n),
        "failed_deployment_recovery_seconds": (facts.recoveries.median, facts.recoveries.n),
        "deployment_rework_rate": _share(facts.hotfixes, facts.successes),
    }
    return {
        name: Figure(value, n, UNITS[name], _band(name, value, year), str(year)) for name, (value, n) in values.items()
    }


def choose_bands(edition: int) -> int:
    """Return the year of the newest known report that is not newer than ``edition``, else of the oldest."""
    return max((year for year in _BANDS if year <= edition), default=min(_BANDS))


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
    """Return the band: several a day (on demand), at least once a week, at least once a month, or less."""
    if per_day > 1:
        return "elite"
    return "high" if per_day >= DAY / _WEEK else "medium" if per_day >= DAY / _MONTH else "low"


# -- rows -------------------------------------------------------------------------------------------------------------

SUCCESSFUL = Deployment.status == DeploymentStatus.SUCCESS.value
HOTFIX = Deployment.kind == DeploymentKind.HOTFIX.value
BROKEN = select(Incident.id).where(Incident.deployment_id == Deployment.id).exists()
"""Whether a deployment caused any incident."""


def finished_in(window: Window) -> ColumnElement[bool]:
    """Return the condition for deployments of the window."""
    return _within(Deployment.environment, Deployment.finished_at, window)


def opened_in(window: Window) -> ColumnElement[bool]:
    """Return the condition for incidents of the window."""
    return _within(Incident.environment, Incident.opened_at, window)


def delivered_in(window: Window) -> ColumnElement[bool]:
    """Return the condition for commits of the window."""
    return _within(DeliveredCommit.environment, DeliveredCommit.delivered_at, window)


def _within(environment: Any, at: Any, window: Window) -> ColumnElement[bool]:
    return and_(environment == window.environment, at >= window.start, at < window.end)


_MANY = 2000
"""From so many lead times on, their index is walked up to the median; fewer are sorted."""


def _read_leads(session: Session, window: Window) -> Sample:
    """Read count and median of the lead times, without the others: they can be tens of thousands."""
    n = session.scalar(select(func.count()).select_from(DeliveredCommit).where(delivered_in(window))) or 0
    if not n:
        return Sample()
    in_order = select(DeliveredCommit.lead_seconds).where(delivered_in(window)).order_by(DeliveredCommit.lead_seconds)
    if n >= _MANY:
        in_order = in_order.with_hint(DeliveredCommit, f"INDEXED BY {BY_LEAD_TIME}", "sqlite")
    middle = session.scalars(in_order.offset((n - 1) // 2).limit(2 - n % 2)).all()
    return Sample(float(median(middle)), n)


def read_facts(session: Session, window: Window) -> Facts:
    """Read everything that the figures of ``window`` are computed from."""
    ever = select(Deployment.id).where(
        Deployment.environment == window.environment, Deployment.finished_at < window.end
    )
    counted = select(func.count(), func.count().filter(HOTFIX), func.count().filter(BROKEN))
    successes, hotfixes, broken = session.execute(
        counted.select_from(Deployment).where(finished_in(window), SUCCESSFUL)
    ).one()
    resolved = (
        select(Incident.seconds, Incident.resolved_at, Deployment.finished_at)
        .outerjoin(Deployment, Deployment.id == Incident.deployment_id)
        .where(opened_in(window), Incident.resolved_at.is_not(None))
    )
    incidents = session.execute(resolved).all()
    return Facts(
        ever=session.execute(ever.limit(1)).first() is not None,
        successes=successes,
        hotfixes=hotfixes,
        broken=broken,
        leads=_read_leads(session, window),
        repairs=Sample.of([row.seconds for row in incidents]),
        recoveries=Sample.of(
            [max(0.0, (row.resolved_at - row.finished_at).total_seconds()) for row in incidents if row.finished_at]
        ),
    )


# -- windows ----------------------------------------------------------------------------------------------------------

DEFAULT_LENGTH = timedelta(days=30)
"""Length of a window by default, and of the gauges."""
_LONGEST = timedelta(days=3660)
_MOST_TEXT = 40  # characters


@dataclass(frozen=True)
class Window:
    """An environment and a time from ``start`` up to, but not including, ``end``, both in UTC."""

    environment: str
    start: datetime
    end: datetime

    @property
    def days(self) -> float:
        """Return the length in days of 24 hours, whether or not clocks change."""
        return (self.end - self.start).total_seconds() / DAY

    def weeks(self) -> Iterator[tuple[datetime, datetime]]:
        """Yield start and end of each week, from Monday on; the first and the last may be cut off."""
        start = self.start
        while start < self.end:
            monday = datetime.combine(start.date() - timedelta(days=start.weekday()), time(), UTC)
            end = min(monday + timedelta(days=7), self.end)
            yield start, end
            start = end


def read_window(query: Mapping[str, str], environments: Sequence[str], now: datetime) -> Window:
    """Read the window from ``environment``, ``from`` and ``to``; by default the first environment's last 30 days.

    A date means the beginning of its day in UTC. Raises FieldErrors.
    """
    errors: dict[str, str] = {}
    environment = query.get("environment") or environments[0]
    if environment not in environments:
        errors["environment"] = f"This must be one of: {', '.join(environments)}."
    # One second more, so that reports of this very second are in the window.
    end = _moment(query, "to", errors) or now.astimezone(UTC).replace(microsecond=0) + timedelta(seconds=1)
    start = _moment(query, "from", errors) or end - DEFAULT_LENGTH
    if not errors and start >= end:
        errors["from"] = "This must be before the end of the window."
    if not errors and end - start > _LONGEST:
        errors["from"] = "The window is longer than ten years."
    if errors:
        raise FieldErrors(errors)
    return Window(environment, start, end)


def _moment(query: Mapping[str, str], name: str, errors: dict[str, str]) -> datetime | None:
    value = query.get(name, "").strip()
    if not value:
        return None
    # A plus sign in a query arrives as a space.
    moment = parse_time(f"{value}T00:00:00Z" if len(value) == 10 else value[:_MOST_TEXT].replace(" ", "+"))
    if moment is None or not EARLIEST <= moment <= datetime(2100, 1, 1, tzinfo=UTC):
        errors[name] = "This must be a date such as 2026-03-01, or a time with its zone such as 2026-03-01T12:00:00Z."
        return None
    return moment
