"""Delivery: what was deployed, what broke, and the DORA figures of it. The face of the rooms ``delivery_…``.

A figure belongs to an environment and a window [from, to) in UTC: deployments by when they finished, commits by when
they were first delivered, incidents by when they were opened.
"""

from __future__ import annotations

from dataclasses import dataclass

from church import telemetry
from church.config import current_settings
from church.extensions import db
from church.models.dora import DeploymentKind, DeploymentStatus, Severity
from church.services.dora.alertmanager import Alert, Heard, hear, read_alerts
from church.services.dora.deployments import record_deployment, record_deployments
from church.services.dora.figures import UNITS, Figure, Window, asked_window, compute_figures, facts_of, leads_of
from church.services.dora.figures_over_time import DeploymentView, History, IncidentView, WeekView, history_of
from church.services.dora.incidents import Recorded, record_incident
from church.services.dora.schemas import Commit, DeploymentReport, IncidentReport, read_deployment, read_incident

__all__ = [
    "UNITS",
    "Alert",
    "Commit",
    "DeploymentKind",
    "DeploymentReport",
    "DeploymentStatus",
    "DeploymentView",
    "Figure",
    "Heard",
    "History",
    "IncidentReport",
    "IncidentView",
    "Overview",
    "Recorded",
    "Severity",
    "WeekView",
    "Window",
    "asked_window",
    "figures_of",
    "hear",
    "overview",
    "read_alerts",
    "read_deployment",
    "read_incident",
    "record_deployment",
    "record_deployments",
    "record_incident",
]


@dataclass(frozen=True)
class Overview:
    """A window's figures and what they are made of."""

    figures: dict[str, Figure]
    history: History


def figures_of(window: Window) -> dict[str, Figure]:
    """The figures of a window. Raises DatabaseDownError, DatabaseBusyError."""
    with telemetry.span("delivery.figures"), db.read() as session:
        facts = facts_of(session, window, leads_of(session, window))
    return compute_figures(facts, window.days, current_settings().dora_edition)


def overview(window: Window) -> Overview:
    """The figures and, of the same moment, the history. Raises DatabaseDownError, DatabaseBusyError."""
    with telemetry.span("delivery.overview"), db.read() as session:
        leads = leads_of(session, window)
        facts, history = facts_of(session, window, leads), history_of(session, window, leads)
    return Overview(compute_figures(facts, window.days, current_settings().dora_edition), history)
