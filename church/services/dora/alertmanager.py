"""Alertmanager's webhook: a critical alert that fires opens an incident, and its end resolves it.

Source of the payload's form: https://prometheus.io/docs/alerting/latest/configuration/#webhook_config (version 4).
An alert is known by its fingerprint and by the time in which it fired, so that what is sent again every few hours,
late, or by each of several Alertmanagers, who may differ by seconds, changes nothing. One that began and ended while
nobody could tell the site, as when the site itself was down, is written down whole when its end is told.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Select, or_, select
from sqlalchemy.orm import Session

from church import telemetry
from church.config import current_settings
from church.extensions import db
from church.models import Incident
from church.models.dora import Severity
from church.services.dora import incidents
from church.services.dora.schemas import Told

MOST_ALERTS = 1000
_LONGEST = 300
_NEVER = ("watchdog", "dora")  # what says that alerts arrive, and what is computed from incidents itself


@dataclass(frozen=True)
class Alert:
    """One alert of a notification."""

    fingerprint: str
    name: str
    title: str
    severity: str
    environment: str
    starts_at: datetime
    ends_at: datetime | None
    """None while it fires."""

    @property
    def ref(self) -> str:
        """The id of its incident."""
        return f"alert-{self.fingerprint}-{self.starts_at.astimezone(UTC):%Y%m%dT%H%M%S}"


@dataclass(frozen=True)
class Heard:
    """What came of an alert: ``outcome`` is opened, resolved, unchanged or ignored, for ``reason``."""

    fingerprint: str
    outcome: str
    reason: str | None = None
    incident: str | None = None


def read_alerts(sent: Any) -> list[Alert]:
    """The alerts of a notification. Raises FieldErrors."""
    told = Told(sent)
    found = [_alert(part) for part in told.parts("alerts", MOST_ALERTS, required=True)]
    told.check()
    return [alert for alert in found if alert is not None]


def _alert(part: Told) -> Alert | None:
    status = part.one_of("status", ("firing", "resolved"), required=True)
    fingerprint = part.text("fingerprint", 100, required=True)
    starts_at = part.moment("startsAt", required=True)
    labels, annotations = part.inner("labels"), part.inner("annotations")
    name = labels.text("alertname", _LONGEST, required=True)
    ends_at = part.moment("endsAt", required=True) if status == "resolved" else None
    if ends_at is not None and starts_at is not None and ends_at < starts_at:
        part.wrong("endsAt", "This is before the alert began.")
    if not (status and fingerprint and starts_at and name):
        return None
    return Alert(
        fingerprint=fingerprint,
        name=name,
        title=annotations.words("summary", _LONGEST) or name,
        severity=labels.text("severity", _LONGEST) or "",
        environment=labels.text("environment", _LONGEST) or current_settings().environments[0],
        starts_at=starts_at,
        ends_at=ends_at,
    )


def hear(alerts: list[Alert]) -> list[Heard]:
    """Open and resolve incidents; what came of each alert, in their order."""
    window = timedelta(seconds=current_settings().incident_window)
    done: list[incidents.Recorded] = []
    heard: list[Heard] = []
    with telemetry.span("delivery.alerts", None, **{"church.alerts": len(alerts)}), db.write() as session:
        for alert in alerts:
            reason = _unwanted(alert)
            recorded = _hear(session, alert, window) if reason is None else None
            if recorded is not None:
                done.append(recorded)
            heard.append(_heard(alert, recorded, reason))
    for one in done:
        incidents.tell(one)
    return heard


def _unwanted(alert: Alert) -> str | None:
    """Why an alert is no incident, if it is none."""
    if alert.name.lower().startswith(_NEVER):
        return f"{alert.name} is never an incident"
    if alert.severity != Severity.CRITICAL:
        return "only critical alerts are incidents"
    if alert.environment not in current_settings().environments:
        return f"{alert.environment} is none of CHURCH_ENVIRONMENTS"
    return None


def _hear(session: Session, alert: Alert, window: timedelta) -> incidents.Recorded:
    open_now = select(Incident).where(Incident.fingerprint == alert.fingerprint, Incident.resolved_at.is_(None))
    row = session.scalar(open_now.with_for_update())
    if row is None:
        known = session.scalar(_of_the_same_time(alert))
        return incidents.as_recorded(session, known, "unchanged") if known else _begin(session, alert, window)
    if alert.ends_at is None or alert.ends_at < row.opened_at:
        return incidents.as_recorded(session, row, "unchanged")
    incidents.apply(row, {"resolved_at": alert.ends_at})
    session.flush()
    return incidents.as_recorded(session, row, "resolved")


def _of_the_same_time(alert: Alert) -> Select[Incident]:
    """What the alert has opened already and is over, where the one told now was meanwhile."""
    return (
        select(Incident)
        .where(
            Incident.fingerprint == alert.fingerprint,
            Incident.opened_at <= (alert.ends_at or alert.starts_at),
            Incident.resolved_at >= alert.starts_at,
        )
        .order_by(Incident.opened_at.desc())
        .limit(1)
    )


def _begin(session: Session, alert: Alert, window: timedelta) -> incidents.Recorded:
    made = incidents.add_incident(
        session,
        {
            "ref": alert.ref,
            "fingerprint": alert.fingerprint,
            "environment": alert.environment,
            "title": alert.title,
            "severity": alert.severity,
            "opened_at": alert.starts_at,
            "resolved_at": alert.ends_at,
            **incidents.guessed_link(session, alert.environment, alert.starts_at, window),
        },
    )
    if made is not None:
        return incidents.as_recorded(session, made, "resolved" if alert.ends_at else "opened")
    # Told before, or by another notification at this moment.
    known = select(Incident).where(or_(Incident.ref == alert.ref, Incident.fingerprint == alert.fingerprint))
    return incidents.as_recorded(
        session, session.scalars(known.order_by(Incident.id.desc()).limit(1)).one(), "unchanged"
    )


def _heard(alert: Alert, recorded: incidents.Recorded | None, reason: str | None) -> Heard:
    if recorded is None:
        return Heard(alert.fingerprint, "ignored", reason)
    return Heard(alert.fingerprint, recorded.outcome, incident=recorded.ref)
