"""Deliveries for the tests: the worked example of a week, a client that reports it, a git repository."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from flask import Flask
from flask.testing import FlaskClient

from tests.support.programs import program

# A week of one environment with another beside it: a failed deployment whose commit is delivered by the next one, a
# deployment with two incidents, one with an incident that is still open, an incident of no deployment.
WEEK = {"environment": "production", "from": "2024-03-04T00:00:00Z", "to": "2024-03-11T00:00:00Z"}
_DEPLOYMENTS = (
    ("D1", "success", "normal", "04T10:00", {"c1": "04T08:00", "c2": "04T09:30"}),
    ("D2", "success", "normal", "05T15:00", {"c3": "04T15:00"}),
    ("D3", "failure", "normal", "06T12:00", {"c4": "06T11:00"}),
    ("D4", "success", "normal", "06T13:00", {"c4": "06T11:00"}),
    ("D5", "success", "hotfix", "08T09:00", {"c5": "08T08:50"}),
    ("D6", "success", "normal", "08T12:00", {"c6": "08T11:00"}),
    ("D7", "success", "normal", "09T20:00", {"c7": "09T19:00"}),
)
_INCIDENTS = (
    ("I1", "D4", "06T14:00", "08T09:10"),
    ("I2", "D4", "06T15:00", "06T16:30"),
    ("I3", None, "07T00:00", "07T02:00"),
    ("I4", "D5", "08T10:00", None),
)
FIGURES = {
    "deployment_frequency": (5 / 7, 5),
    "lead_time_seconds": (5400, 6),
    "change_failure_rate": (0.4, 5),
    "mttr_seconds": (7200, 3),
    "failed_deployment_recovery_seconds": (85800, 2),
    "deployment_rework_rate": (0.2, 5),
}
"""The figures of the week: value and n."""


def at(short: str | None) -> str | None:
    """Make a time of March 2024 from a short one such as ``04T10:00``."""
    return f"2024-03-{short}:00Z" if short else None


DEPLOYMENTS: list[dict[str, Any]] = [
    {
        "id": ref,
        "environment": "staging" if ref == "D6" else "production",
        "status": status,
        "kind": kind,
        "finished_at": at(finished),
        "commits": [{"sha": sha, "committed_at": at(committed)} for sha, committed in commits.items()],
    }
    for ref, status, kind, finished, commits in _DEPLOYMENTS
]
INCIDENTS: list[dict[str, Any]] = [
    {
        "id": ref,
        "environment": "production",
        "title": f"incident {ref}",
        "severity": "critical",
        "deployment": deployment,
        "opened_at": at(opened),
        "resolved_at": at(resolved),
    }
    for ref, deployment, opened, resolved in _INCIDENTS
]


class Machine:
    """A client on this host that reports to the JSON API."""

    def __init__(self, app: Flask, token: str | None = None) -> None:
        self.client: FlaskClient = app.test_client()
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def tell(self, what: str, sent: Any, status: int | None = None) -> Any:
        """POST to ``/api/telemetry/<what>``. Returns the answer's JSON."""
        answer = self.client.post(f"/api/telemetry/{what}", json=sent, headers=self._headers)
        if status is not None:
            assert answer.status_code == status, answer.text
        return answer.get_json(force=True)

    def refused(self, what: str, **sent: Any) -> dict[str, str]:
        """POST an invalid report. Returns the errors of its fields."""
        answer = self.client.post(f"/api/telemetry/{what}", json=sent, headers=self._headers)
        assert (answer.status_code, answer.mimetype) == (422, "application/problem+json"), answer.text
        errors: dict[str, str] = answer.get_json(force=True)["errors"]
        return errors

    def tell_the_week(self, *, backwards: bool = False) -> None:
        """Report the whole example; ``backwards``: the last deployment first."""
        for sent in DEPLOYMENTS[::-1] if backwards else DEPLOYMENTS:
            self.tell("deployment", sent, 201)
        for sent in INCIDENTS:
            self.tell("incident", sent, 201)


class Repository:
    """A repository with a merge, a revert and two tags, one commit an hour."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._hour = 0
        self.git("init", "-q", "-b", "main")
        self.commit("begin")
        self.git("tag", "v1")
        self.git("checkout", "-q", "-b", "feature")
        self.commit("half")
        self.commit("whole")
        self.git("checkout", "-q", "main")
        self._at("merge", "-q", "--no-ff", "-m", "Merge feature", "feature")
        self._at("commit", "-q", "--allow-empty", "-m", 'Revert "whole"')
        self.git("tag", "v2")

    def git(self, *words: str, **environment: str) -> None:
        """Run git with a fixed author and no user configuration."""
        own = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null", "PATH": "/usr/bin:/bin"}
        who = {f"GIT_{role}_{what}": "a@b" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        command = [program("git"), "-C", str(self.folder), *words]
        subprocess.run(command, check=True, capture_output=True, env={**own, **who, **environment})

    def commit(self, words: str) -> None:
        """Commit, an hour after the last commit."""
        self._at("commit", "-q", "--allow-empty", "-m", words)

    def _at(self, *words: str) -> None:
        moment = f"2024-03-04T{self._hour:02}:00:00+02:00"
        self._hour += 1
        self.git(*words, GIT_AUTHOR_DATE=moment, GIT_COMMITTER_DATE=moment)
