"""Deployments, delivered commits and incidents: the data behind the DORA figures. No row is ever deleted."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, CheckConstraint, Double, ForeignKey, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from church.models.base import Base, BigId, PlainText

# As text and not as a parameter: PostgreSQL's generic plans can't match a parameter with the partial index.
OPEN_ALERTS_ONLY = text("fingerprint IS NOT NULL AND resolved_at IS NULL")


BY_LEAD_TIME = "ix_delivered_commits_environment_lead_seconds"
"""The index in the order of lead times, which leads to their median."""


class DeploymentStatus(StrEnum):
    """How a deployment ended; only a successful one delivers commits."""

    SUCCESS = "success"
    FAILURE = "failure"
    ROLLBACK = "rollback"


class DeploymentKind(StrEnum):
    """Whether a deployment was planned; a hotfix is rework."""

    NORMAL = "normal"
    HOTFIX = "hotfix"


class Severity(StrEnum):
    """How bad an incident is, with the names that the alerts use."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


class Deployment(Base):
    """One deployment, recorded once and never changed."""

    __tablename__ = "deployments"
    __table_args__ = (
        CheckConstraint("status IN ('success', 'failure', 'rollback')", name="status"),
        CheckConstraint("kind IN ('normal', 'hotfix')", name="kind"),
        Index("ix_deployments_window", "environment", "finished_at", "status", "kind"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    ref: Mapped[str] = mapped_column(unique=True)
    """The id that the reporter of the deployment chose."""
    environment: Mapped[str]
    status: Mapped[str]
    kind: Mapped[str]
    version: Mapped[str | None] = mapped_column(PlainText)
    commit_sha: Mapped[str | None]
    commits: Mapped[list[dict[str, Any]]] = mapped_column(JSON().with_variant(JSONB(), "postgresql"))
    """All its commits, delivered before or not: ``sha`` and ``committed_at``."""
    url: Mapped[str | None] = mapped_column(PlainText)
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime]
    recorded_at: Mapped[datetime]


class DeliveredCommit(Base):
    """The first successful deployment (by finish time) of a commit to an environment."""

    __tablename__ = "delivered_commits"
    __table_args__ = (
        Index("ix_delivered_commits_environment_delivered_at", "environment", "delivered_at"),
        Index(BY_LEAD_TIME, "environment", "lead_seconds", "delivered_at"),
    )

    environment: Mapped[str] = mapped_column(primary_key=True)
    sha: Mapped[str] = mapped_column(primary_key=True)
    deployment_id: Mapped[int] = mapped_column(ForeignKey("deployments.id"), index=True)
    committed_at: Mapped[datetime]
    delivered_at: Mapped[datetime]
    lead_seconds: Mapped[float] = mapped_column(Double)


class Incident(Base):
    """One incident, opened and later resolved."""

    __tablename__ = "incidents"
    __table_args__ = (
        CheckConstraint("severity IN ('critical', 'warning', 'info')", name="severity"),
        CheckConstraint("resolved_at >= opened_at", name="order"),
        Index("ix_incidents_environment_opened_at", "environment", "opened_at"),
        Index(
            "uq_incidents_open_fingerprint",
            "fingerprint",
            unique=True,
            sqlite_where=OPEN_ALERTS_ONLY,
            postgresql_where=OPEN_ALERTS_ONLY,
        ),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    ref: Mapped[str] = mapped_column(unique=True)
    environment: Mapped[str]
    title: Mapped[str] = mapped_column(PlainText)
    severity: Mapped[str]
    fingerprint: Mapped[str | None]
    """Alertmanager's id of the alert that opened it; an alert has one open incident at most."""
    deployment_id: Mapped[int | None] = mapped_column(ForeignKey("deployments.id"), index=True)
    """The deployment that caused it."""
    confidence: Mapped[float | None] = mapped_column(Double)
    """How certain that is: 1 if a person said so, less if it was guessed from the time between them."""
    opened_at: Mapped[datetime]
    resolved_at: Mapped[datetime | None]
    seconds: Mapped[float | None] = mapped_column(Double)
    """Opened to resolved."""
    changes: Mapped[int] = mapped_column(default=0)
    """How often the row was changed: a scrape sees from their sum that there is something new."""
    recorded_at: Mapped[datetime]
