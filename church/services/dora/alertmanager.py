"""Alertmanager's webhook: a critical alert that fires opens an incident, and its end resolves it.

Payload: https://prometheus.io/docs/alerting/latest/configuration/#webhook_config (version 4).
An alert is identified by its fingerprint and the time in which it fired. Notifications that arrive again every few
hours, late, or from several Alertmanagers, whose times may differ by seconds, change nothing. If only the end of an
alert arrives, as after the site was down, the whole incident is recorded then.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator
from sqlalchemy import Select, or_, select
from sqlalchemy.orm import Session

from church import telemetry
from church.config import current_settings
from church.extensions import db
from church.lib.text import one_line
from church.models import Incident
from church.models.dora import Severity
from church.services.dora import incidents
from church.services.dora.schemas import Body, Items, Time, line_of_text, one_of, validate_body, validate_each

_LONGEST = 300
_LONGEST_FINGERPRINT = 100
_BATCH = 100  # alerts in one transaction, so that other writers do not wait long
_NEVER = ("watchdog", "dora")  # the alert that tests the delivery, and alerts computed from incidents themselves


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
        """Return the id of its incident."""
        return f"alert-{self.fingerprint}-{self.starts_at.astimezone(UTC):%Y%m%dT%H%M%S}"


@dataclass(frozen=True)
class AlertOutcome:
    """Outcome of an alert: opened, resolved, unchanged, or ignored for ``reason``."""

    fingerprint: str | None
    """None if it has none that can be shown."""
    outcome: str
    reason: str | None = None
    incident: str | None = None


@dataclass(frozen=True)
class Notification:
    """A notification: its alerts, each with its place in what was sent, and those that can't be used."""

    alerts: list[tuple[int, Alert]]
    unusable: list[tuple[int, AlertOutcome]]


def read_notification(sent: Any) -> Notification:
    """Read the alerts of a notification. Raises FieldErrors for what is no notification.

    Bad alerts are named, and refuse nothing: Alertmanager does not send a refused group again.
    """
    items = validate_body(_NotificationBody, sent).alerts
    good, ignored = validate_each(_AlertBody, items, "alerts", needs_a_good_one=False)
    unusable = [
        (item.place, AlertOutcome(_fingerprint_of(items[item.place]), "ignored", item.reason)) for item in ignored
    ]
    return Notification([(place, _alert_of(body)) for place, body in good], unusable)


def _alert_of(body: _AlertBody) -> Alert:
    return Alert(
        fingerprint=body.fingerprint,
        name=body.labels.alertname,
        title=body.annotations.summary or body.labels.alertname,
        severity=body.labels.severity or "",
        environment=body.labels.environment or current_settings().environments[0],
        starts_at=body.startsAt,
        ends_at=body.endsAt,
    )


def _fingerprint_of(item: Any) -> str | None:
    found = item.get("fingerprint") if isinstance(item, dict) else None
    return one_line(found)[:_LONGEST_FINGERPRINT] if isinstance(found, str) else None


class _Labels(Body):
    alertname: Annotated[str, line_of_text(_LONGEST)]
    severity: Annotated[str, line_of_text(_LONGEST)] | None = None
    environment: Annotated[str, line_of_text(_LONGEST)] | None = None


class _Annotations(Body):
    summary: str | None = None

    @field_validator("summary", mode="before")
    @classmethod
    def _shorten(cls, value: Any) -> str | None:
        """Make one line of any text: Alertmanager sends an alert once, and nobody would see that it was refused."""
        if not isinstance(value, str):
            return None
        text = one_line(value)
        return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1].rstrip()}…"


class _AlertBody(Body):
    keeps_empty = frozenset({"labels", "annotations"})

    status: Annotated[Literal["firing", "resolved"], one_of("firing", "resolved"), line_of_text(100)]
    fingerprint: Annotated[str, line_of_text(_LONGEST_FINGERPRINT)]
    startsAt: Time  # noqa: N815 - Alertmanager's name
    labels: Annotated[_Labels, Field(default_factory=dict, validate_default=True)]
    annotations: _Annotations = _Annotations()
    endsAt: Time | None = Field(default=None, validate_default=True)  # noqa: N815 - Alertmanager's name

    @field_validator("endsAt", mode="before")
    @classmethod
    def _is_missing_only_while_firing(cls, value: Any, info: ValidationInfo) -> Any:
        if info.data.get("status") != "resolved":
            return None  # while it fires, Alertmanager sends a time that means nothing
        if value is None:
            raise ValueError("This is missing.")
        return value

    @field_validator("endsAt")
    @classmethod
    def _is_after_the_start(cls, value: datetime | None, info: ValidationInfo) -> datetime | None:
        starts_at = info.data.get("startsAt")
        if value is not None and starts_at is not None and value < starts_at:
            raise ValueError("This is before the alert began.")
        return value


class _NotificationBody(Body):
    keeps_empty = frozenset({"alerts"})

    alerts: Items = Field(default=None, validate_default=True)


def record_notification(notification: Notification) -> list[AlertOutcome]:
    """Open and resolve the incidents of a notification. Returns the outcome of each alert, in their order."""
    outcomes = dict(notification.unusable)
    for first in range(0, len(notification.alerts), _BATCH):
        batch = notification.alerts[first : first + _BATCH]
        recorded = _record_alerts([alert for _, alert in batch])
        outcomes.update(zip((place for place, _ in batch), recorded, strict=True))
    if notification.unusable:
        reasons = [f"{outcome.fingerprint}: {outcome.reason}" for _, outcome in notification.unusable]
        telemetry.track_delivery_items_ignored("alert", reasons)
    return [outcomes[place] for place in sorted(outcomes)]


def _record_alerts(alerts: list[Alert]) -> list[AlertOutcome]:
    window = timedelta(seconds=current_settings().incident_window)
    changed: list[incidents.IncidentOutcome] = []
    outcomes: list[AlertOutcome] = []
    with telemetry.span("delivery.alerts", **{"church.alerts": len(alerts)}), db.write() as session:
        for alert in alerts:
            reason = _why_ignored(alert)
            recorded = _record(session, alert, window) if reason is None else None
            if recorded is not None:
                changed.append(recorded)
            outcomes.append(_outcome(alert, recorded, reason))
    for recorded in changed:
        incidents.track_outcome(recorded)
    return outcomes


def _why_ignored(alert: Alert) -> str | None:
    """Return the reason why an alert is not an incident, None if it is one."""
    if alert.name.lower().startswith(_NEVER):
        return f"{alert.name} is never an incident"
    if alert.severity != Severity.CRITICAL:
        return "only critical alerts are incidents"
    if alert.environment not in current_settings().environments:
        return f"{alert.environment} is not in CHURCH_ENVIRONMENTS"
    return None


def _record(session: Session, alert: Alert, window: timedelta) -> incidents.IncidentOutcome:
    open_now = select(Incident).where(Incident.fingerprint == alert.fingerprint, Incident.resolved_at.is_(None))
    row = session.scalar(open_now.with_for_update())
    if row is None:
        earlier = session.scalar(_select_overlapping(alert))
        return incidents.make_outcome(session, earlier, "unchanged") if earlier else _open(session, alert, window)
    if alert.ends_at is None or alert.ends_at < row.opened_at:
        return incidents.make_outcome(session, row, "unchanged")
    incidents.apply_changes(row, {"resolved_at": alert.ends_at})
    session.flush()
    return incidents.make_outcome(session, row, "resolved")


def _select_overlapping(alert: Alert) -> Select[Incident]:
    """Select the alert's last resolved incident that overlaps the time in which ``alert`` fired."""
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


def _open(session: Session, alert: Alert, window: timedelta) -> incidents.IncidentOutcome:
    row = incidents.add_incident(
        session,
        {
            "ref": alert.ref,
            "fingerprint": alert.fingerprint,
            "environment": alert.environment,
            "title": alert.title,
            "severity": alert.severity,
            "opened_at": alert.starts_at,
            "resolved_at": alert.ends_at,
            **incidents.guess_deployment(session, alert.environment, alert.starts_at, window),
        },
    )
    if row is not None:
        return incidents.make_outcome(session, row, "resolved" if alert.ends_at else "opened")
    # Recorded before, or by another notification at this moment.
    same = select(Incident).where(or_(Incident.ref == alert.ref, Incident.fingerprint == alert.fingerprint))
    return incidents.make_outcome(
        session, session.scalars(same.order_by(Incident.id.desc()).limit(1)).one(), "unchanged"
    )


def _outcome(alert: Alert, recorded: incidents.IncidentOutcome | None, reason: str | None) -> AlertOutcome:
    if recorded is None:
        return AlertOutcome(alert.fingerprint, "ignored", reason)
    return AlertOutcome(alert.fingerprint, recorded.outcome, incident=recorded.ref)
