"""The deployments and incidents that the charts of the admin area mark."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy.exc import SQLAlchemyError

from church.errors import UnavailableError
from church.services import dora
from church.services.dora import DeploymentMark, IncidentMark, Timeline
from church.web.charts import Mark, Span


def list_marks(span: Span) -> list[Mark]:
    """List what happened in the time of a chart, oldest first; nothing while the database is down."""
    timeline = find_timeline(span)
    return mark_timeline(timeline, span) if timeline is not None else []


def find_timeline(span: Span) -> Timeline | None:
    """Read what happened in a time; None while the database is down."""
    try:
        return dora.read_timeline(span.start, span.end)
    except (UnavailableError, SQLAlchemyError):
        return None


def mark_timeline(timeline: Timeline, span: Span) -> list[Mark]:
    """The marks for a chart, oldest first."""
    marks = [(mark.at, _mark_incident(mark, span)) for mark in timeline.incidents]
    marks += [(mark.at, _mark_deployment(mark, span)) for mark in timeline.deployments]
    return [mark for _, mark in sorted(marks, key=lambda one: one[0])]


def _mark_deployment(deployment: DeploymentMark, span: Span) -> Mark:
    words = f"Deployment {deployment.version or deployment.ref}, {_say(deployment.at)}"
    if deployment.status != "success":
        words += f": {deployment.status}"
    return Mark("deployment", span.x(_micros(deployment.at)), 0.0, words)


def _mark_incident(incident: IncidentMark, span: Span) -> Mark:
    begin = max(_micros(incident.at), span.from_us)
    end = min(_micros(incident.until), span.to_us) if incident.until else span.to_us
    until = f"to {_say(incident.until)}" if incident.until else "still open"
    words = f"Incident: {incident.title}, {_say(incident.at)} {until}"
    left = span.x(begin)
    return Mark("incident", left, round(span.x(end) - left, 2), words)


def _say(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M}"


def _micros(at: datetime) -> int:
    return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1_000_000)
