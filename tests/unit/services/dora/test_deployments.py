"""Recorded deployments and the commits that they were the first to deliver."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask

from church.extensions import db
from church.models import DeliveredCommit, Deployment
from church.models.dora import DeploymentStatus
from church.services.dora import deployments, record_deployment, record_deployments
from church.services.dora.schemas import Commit, DeploymentReport
from tests.support.helpers import captured_log

NOON = datetime(2024, 3, 4, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def report(
    ref: str, hour: int = 0, shas: Sequence[str] = (), status: DeploymentStatus = DeploymentStatus.SUCCESS
) -> DeploymentReport:
    """A deployment that finished ``hour`` hours after noon; its commits are one hour older than noon."""
    commits = tuple(Commit(sha, NOON - HOUR) for sha in shas)
    return DeploymentReport(ref, "production", status, NOON + hour * HOUR, commits=commits)


def delivered() -> dict[str, float]:
    """Lead time of each delivered commit, in hours."""
    with db.read() as session:
        return {row.sha: row.lead_seconds / 3600 for row in session.query(DeliveredCommit)}


def test_deployment_is_recorded_and_logged_once(at_work: Flask) -> None:
    with captured_log() as log:
        assert record_deployment(report("d1"))
        assert not record_deployment(report("d1", status=DeploymentStatus.FAILURE))
    assert [one["deployment"] for one in log.records if one["event"] == "delivery.deployment"] == ["d1"]
    with db.read() as session:
        assert session.query(Deployment).one().status == "success"


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_commit_is_delivered_by_the_deployment_that_finished_first(at_work: Flask, order: tuple[int, int]) -> None:
    both = (report("d1", 1, ["ab", "cd"]), report("d2", 2, ["cd", "ef"]))
    for at in order:
        record_deployment(both[at])
    assert delivered() == {"ab": 2, "cd": 2, "ef": 3}


def test_failed_deployment_delivers_nothing(at_work: Flask) -> None:
    record_deployment(report("d1", shas=["ab"], status=DeploymentStatus.FAILURE))
    assert delivered() == {}


def test_lead_time_of_a_commit_after_the_finish_is_zero(at_work: Flask) -> None:
    record_deployment(report("d1", hour=-2, shas=["ab"]))
    assert delivered() == {"ab": 0}


def test_many_deployments_are_recorded_in_batches(at_work: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deployments, "_BATCH", 2)
    many = [report(f"d{number}") for number in range(5)]
    record_deployment(many[3])
    assert (record_deployments(many), record_deployments(many), record_deployments([])) == (4, 0, 0)
