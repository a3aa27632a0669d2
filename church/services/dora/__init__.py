"""Deliveries: record deployments and incidents, and compute the DORA figures from them.

A figure belongs to an environment and a window [from, to) in UTC. Deployments count by when they finished, commits by
when they were first delivered, incidents by when they were opened.
"""

from __future__ import annotations

from church.services.dora.alertmanager import read_notification, record_notification
from church.services.dora.deployments import record_deployment, record_deployments
from church.services.dora.figures import UNITS, Figure, Window, read_figures, read_window
from church.services.dora.figures_over_time import DeploymentView, WeekView, read_overview
from church.services.dora.git_import import list_deployments_of_commits, list_deployments_of_tags
from church.services.dora.incidents import record_incident
from church.services.dora.schemas import read_deployment, read_incident
from church.services.dora.scrape_counts import (
    LEAD_BUCKETS,
    REPAIR_BUCKETS,
    count_samples,
    read_failure_rates,
    read_frequencies,
    read_lead_times,
    read_repair_times,
    read_rework_rates,
)
from church.services.dora.timeline import (
    DeploymentMark,
    IncidentMark,
    Timeline,
    read_timeline,
)

__all__ = [
    "LEAD_BUCKETS",
    "REPAIR_BUCKETS",
    "UNITS",
    "DeploymentMark",
    "DeploymentView",
    "Figure",
    "IncidentMark",
    "Timeline",
    "WeekView",
    "Window",
    "count_samples",
    "list_deployments_of_commits",
    "list_deployments_of_tags",
    "read_deployment",
    "read_failure_rates",
    "read_figures",
    "read_frequencies",
    "read_incident",
    "read_lead_times",
    "read_notification",
    "read_overview",
    "read_repair_times",
    "read_rework_rates",
    "read_timeline",
    "read_window",
    "record_deployment",
    "record_deployments",
    "record_incident",
    "record_notification",
]
