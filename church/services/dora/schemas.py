"""Deployments and incidents as machines tell them, before any row is looked at."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from church.config import current_settings
from church.models.base import utc_now
from church.models.delivery import DeploymentKind, DeploymentStatus, Severity
from church.services.dora.fields import SKEW, Told

MOST_COMMITS = 1000
_LONGEST_ID = 200
_LONGEST_WORDS = 300


@dataclass(frozen=True)
class Commit:
    """A commit that a deployment carried."""

    sha: str
    committed_at: datetime


@dataclass(frozen=True)
class DeploymentReport:
    """One deployment as it was told; ``ref`` is the id that it was given there."""

    ref: str
    environment: str
    status: DeploymentStatus
    finished_at: datetime
    kind: DeploymentKind = DeploymentKind.NORMAL
    version: str | None = None
    commit: str | None = None
    commits: tuple[Commit, ...] = ()
    started_at: datetime | None = None
    url: str | None = None


@dataclass(frozen=True)
class IncidentReport:
    """What was told of an incident; None says nothing, an empty ``deployment`` that it is of none."""

    ref: str
    environment: str | None = None
    title: str | None = None
    severity: Severity | None = None
    deployment: str | None = None
    opened_at: datetime | None = None
    resolved_at: datetime | None = None


def read_deployment(sent: Any) -> DeploymentReport:
    """A deployment of the API; it finished now unless it says when. Raises FieldErrors."""
    told = Told(sent)
    ref = told.text("id", _LONGEST_ID, required=True)
    environment = told.one_of("environment", current_settings().environments, required=True)
    status = told.word("status", DeploymentStatus, required=True)
    kind = told.word("kind", DeploymentKind) or DeploymentKind.NORMAL
    version, url = told.text("version", _LONGEST_WORDS), told.address("url")
    commit = told.sha("commit")
    started_at = told.moment("started_at")
    finished_at = told.moment("finished_at") or utc_now()
    if started_at is not None and started_at > finished_at:
        told.wrong("finished_at", "This is before the deployment started.")
    commits = _commits(told, finished_at)
    told.check()
    assert ref is not None and environment is not None and status is not None  # noqa: S101, PT018 (check raised)
    return DeploymentReport(ref, environment, status, finished_at, kind, version, commit, commits, started_at, url)


def _commits(told: Told, finished_at: datetime) -> tuple[Commit, ...]:
    """Each commit once."""
    found: dict[str, Commit] = {}
    for part in told.parts("commits", MOST_COMMITS):
        sha, committed_at = part.sha("sha", required=True), part.moment("committed_at", required=True)
        if sha is None or committed_at is None:
            continue
        if committed_at > finished_at + SKEW:
            part.wrong("committed_at", "This is after the deployment finished.")
        found.setdefault(sha, Commit(sha, committed_at))
    return tuple(found.values())


def read_incident(sent: Any) -> IncidentReport:
    """An incident of the API, new or known; what it does not say of a known one stays as it is. Raises FieldErrors."""
    told = Told(sent)
    report = IncidentReport(
        ref=told.text("id", _LONGEST_ID, required=True) or "",
        environment=told.one_of("environment", current_settings().environments),
        title=told.text("title", _LONGEST_WORDS),
        severity=told.word("severity", Severity),
        deployment="" if told.is_empty("deployment") else told.text("deployment", _LONGEST_ID),
        opened_at=told.moment("opened_at"),
        resolved_at=told.moment("resolved_at"),
    )
    if report.opened_at and report.resolved_at and report.resolved_at < report.opened_at:
        told.wrong("resolved_at", "This is before the incident was opened.")
    told.check()
    return report
