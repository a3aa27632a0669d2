"""History out of a git repository: what was deployed before anybody told.

Either each commit of the main line is a deployment of what it brought in (a merge brings its branch), or each tag is
one of everything since the tag before. Both were deployed when they were committed or tagged, which is what git knows.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from church.errors import InvalidError
from church.models.dora import DeploymentKind, DeploymentStatus
from church.services.dora.schemas import EARLIEST, MOST_COMMITS, SKEW, Commit, DeploymentReport, parsed_time

_TIMEOUT = 120.0  # seconds, of one call of git
_HOTFIX = re.compile(r"\b(hot-?fix|revert)\b", re.IGNORECASE)
_SEPARATOR = "\x1f"


class _Repository:
    """Read with git itself; nothing of the repository's own configuration is run."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def lines(self, *words: str) -> list[str]:
        """What git prints. Raises InvalidError where it refuses."""
        command = ["git", "-C", str(self._folder), "-c", "core.pager=cat", "-c", "core.fsmonitor=false", *words]
        try:
            done = subprocess.run(  # noqa: S603 (an operator's own words, and no shell)
                command, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT, check=False
            )
        except FileNotFoundError:
            raise InvalidError("git is not installed.") from None
        except subprocess.TimeoutExpired:
            raise InvalidError(f"git took more than {_TIMEOUT:g} seconds.") from None
        if done.returncode:
            raise InvalidError((done.stderr.strip() or "git refused").splitlines()[-1])
        return done.stdout.splitlines()


def deployments_of_commits(
    folder: Path, environment: str, branch: str, since: str | None
) -> Iterator[DeploymentReport]:
    """One for each commit of the main line of ``branch``, the oldest first. Raises InvalidError."""
    repository = _Repository(folder)
    when = [f"--since={_day(since):%Y-%m-%dT%H:%M:%SZ}"] if since else []  # of a day alone git takes the hour of now
    form = f"--format=%H{_SEPARATOR}%P{_SEPARATOR}%cI{_SEPARATOR}%s"
    for line in repository.lines("log", "--first-parent", "--reverse", form, *when, "--end-of-options", branch, "--"):
        sha, parents, at, subject = line.split(_SEPARATOR, 3)
        first, *others = parents.split() or [""]
        brought = _commits(repository, f"{first}..{sha}") if others else [_commit(sha, at)]
        report = _report(environment, sha, at, subject, brought, version=None)
        if report is not None:
            yield report


def deployments_of_tags(folder: Path, environment: str, pattern: str, since: str | None) -> Iterator[DeploymentReport]:
    """One for each tag that fits ``pattern``, the oldest first. Raises InvalidError."""
    repository = _Repository(folder)
    form = f"--format=%(refname:short){_SEPARATOR}%(creatordate:iso-strict){_SEPARATOR}%(*objectname)%(objectname)"
    previous = ""
    earliest = _day(since) if since else None
    for line in repository.lines("for-each-ref", "--sort=creatordate", form, f"refs/tags/{pattern}"):
        tag, at, names = line.split(_SEPARATOR, 2)
        sha = names[:40]
        moment = parsed_time(at)
        if earliest is None or (moment is not None and moment >= earliest):
            brought = _commits(repository, f"{previous}..{sha}" if previous else sha)
            report = _report(environment, sha, at, tag, brought, version=tag)
            if report is not None:
                yield report
        previous = sha


def _day(text: str) -> datetime:
    found = parsed_time(f"{text}T00:00:00Z")
    if found is None:
        raise InvalidError(f"{text} is no day such as 2026-01-01.")
    return found


def _commits(repository: _Repository, of: str) -> list[Commit | None]:
    form = f"--format=%H{_SEPARATOR}%cI"
    found = repository.lines("log", f"--max-count={MOST_COMMITS}", form, "--end-of-options", of, "--")
    return [_commit(*line.split(_SEPARATOR, 1)) for line in found]


def _commit(sha: str, at: str) -> Commit | None:
    moment = parsed_time(at)
    return Commit(sha, moment) if moment is not None and moment >= EARLIEST else None


def _report(
    environment: str, sha: str, at: str, subject: str, brought: list[Commit | None], version: str | None
) -> DeploymentReport | None:
    """None for what a clock that was wrong has dated."""
    finished_at = parsed_time(at)
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
        commits=tuple(one for one in brought if one is not None and one.committed_at <= finished_at + SKEW),
    )
