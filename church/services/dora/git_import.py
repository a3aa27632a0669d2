"""Import past deployments from a git repository.

Either each commit of the main line counts as a deployment (a merge with the commits of its branch), or each tag, with
the commits since the tag before. The time of the commit or tag counts as the time of the deployment.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from church.errors import InvalidError
from church.models.dora import DeploymentKind, DeploymentStatus
from church.services.dora.schemas import EARLIEST, MOST_COMMITS, SKEW, Commit, DeploymentReport, parse_time

_TIMEOUT = 120.0  # seconds for one call of git
_HOTFIX = re.compile(r"\b(hot-?fix|revert)\b", re.IGNORECASE)
_SEPARATOR = "\x1f"


class _Repository:
    """A repository, read with git. Commands from the repository's own configuration are not run."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def lines(self, *arguments: str) -> list[str]:
        """Run git and return its output. Raises InvalidError if git fails."""
        command = ["git", "-C", str(self._folder), "-c", "core.pager=cat", "-c", "core.fsmonitor=false", *arguments]
        try:
            result = subprocess.run(  # noqa: S603 - an operator's own arguments, without a shell
                command, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT, check=False
            )
        except FileNotFoundError:
            raise InvalidError("git is not installed.") from None
        except subprocess.TimeoutExpired:
            raise InvalidError(f"git took more than {_TIMEOUT:g} seconds.") from None
        if result.returncode:
            raise InvalidError((result.stderr.strip() or "git failed").splitlines()[-1])
        return result.stdout.splitlines()


def list_deployments_of_commits(
    folder: Path, environment: str, branch: str, since: str | None
) -> Iterator[DeploymentReport]:
    """Yield a deployment for each commit of the main line of ``branch``, oldest first. Raises InvalidError."""
    repository = _Repository(folder)
    when = [f"--since={_day(since):%Y-%m-%dT%H:%M:%SZ}"] if since else []  # for a day alone, git uses the current hour
    form = f"--format=%H{_SEPARATOR}%P{_SEPARATOR}%cI{_SEPARATOR}%s"
    for line in repository.lines("log", "--first-parent", "--reverse", form, *when, "--end-of-options", branch, "--"):
        sha, parents, at, subject = line.split(_SEPARATOR, 3)
        first, *others = parents.split() or [""]
        commits = _commits(repository, f"{first}..{sha}") if others else [_commit(sha, at)]
        report = _report(environment, sha, at, subject, commits, version=None)
        if report is not None:
            yield report


def list_deployments_of_tags(
    folder: Path, environment: str, pattern: str, since: str | None
) -> Iterator[DeploymentReport]:
    """Yield a deployment for each tag that matches ``pattern``, oldest first. Raises InvalidError."""
    repository = _Repository(folder)
    form = f"--format=%(refname:short){_SEPARATOR}%(creatordate:iso-strict){_SEPARATOR}%(*objectname)%(objectname)"
    previous = ""
    earliest = _day(since) if since else None
    for line in repository.lines("for-each-ref", "--sort=creatordate", form, f"refs/tags/{pattern}"):
        tag, at, names = line.split(_SEPARATOR, 2)
        sha = names[:40]
        moment = parse_time(at)
        if earliest is None or (moment is not None and moment >= earliest):
            commits = _commits(repository, f"{previous}..{sha}" if previous else sha)
            report = _report(environment, sha, at, tag, commits, version=tag)
            if report is not None:
                yield report
        previous = sha


def _day(text: str) -> datetime:
    day = parse_time(f"{text}T00:00:00Z")
    if day is None:
        raise InvalidError(f"{text} is not a day such as 2026-01-01.")
    return day


def _commits(repository: _Repository, revisions: str) -> list[Commit | None]:
    form = f"--format=%H{_SEPARATOR}%cI"
    lines = repository.lines("log", f"--max-count={MOST_COMMITS}", form, "--end-of-options", revisions, "--")
    return [_commit(*line.split(_SEPARATOR, 1)) for line in lines]


def _commit(sha: str, at: str) -> Commit | None:
    moment = parse_time(at)
    return Commit(sha, moment) if moment is not None and moment >= EARLIEST else None


def _report(
    environment: str, sha: str, at: str, subject: str, commits: list[Commit | None], version: str | None
) -> DeploymentReport | None:
    """Make a report; None if the time cannot be right."""
    finished_at = parse_time(at)
    if finished_at is None or not EARLIEST <= finished_at <= datetime.now(UTC) + SKEW:
        return None
    return DeploymentReport(
        ref=f"git-{environment}-{version or sha}",
        environment=environment,
        status=DeploymentStatus.SUCCESS,
        finished_at=finished_at,
        kind=DeploymentKind.HOTFIX if _HOTFIX.search(subject) else DeploymentKind.NORMAL,
        version=version,
        commit=sha,
        commits=tuple(commit for commit in commits if commit is not None and commit.committed_at <= finished_at + SKEW),
    )
