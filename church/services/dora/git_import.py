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
from church.lib.text import one_line
from church.models.dora import DeploymentKind, DeploymentStatus
from church.services.dora.schemas import EARLIEST, MOST_COMMITS, SKEW, Commit, DeploymentReport, parse_time

_TIMEOUT = 120.0  # seconds for one call of git
_HOTFIX = re.compile(r"\b(hot-?fix|revert)\b", re.IGNORECASE)
_SEPARATOR = "\x1f"  # between fields; the subject of a commit may hold it too, so that field comes last
_CONFIGURATION = (
    *("-c", "core.pager=cat"),
    *("-c", "core.fsmonitor=false"),
    *("-c", "log.showSignature=false"),
    *("-c", "i18n.logOutputEncoding=UTF-8"),
)


class _Repository:
    """A repository, read with git. Commands from the repository's own configuration are not run."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def log(self, form: str, *arguments: str) -> list[str]:
        """Run ``git log`` and return what ``form`` makes of each commit. Raises InvalidError if git fails.

        Commits end with a NUL: their text may hold any other character, and many of them end a line for Python.
        """
        return self._run("\0", "log", "-z", f"--format={form}", *arguments)

    def refs(self, form: str, *arguments: str) -> list[str]:
        """Run ``git for-each-ref`` and return what ``form`` makes of each. Raises InvalidError if git fails.

        The name of a ref has no line feed, but may have other ends of lines.
        """
        return self._run("\n", "for-each-ref", f"--format={form}", *arguments)

    def _run(self, end: str, *arguments: str) -> list[str]:
        command = ["git", "-C", str(self._folder), *_CONFIGURATION, *arguments]
        try:
            result = subprocess.run(  # noqa: S603 - an operator's own arguments, without a shell
                command, capture_output=True, timeout=_TIMEOUT, check=False
            )
        except FileNotFoundError:
            raise InvalidError("git is not installed.") from None
        except subprocess.TimeoutExpired:
            raise InvalidError(f"git took more than {_TIMEOUT:g} seconds.") from None
        if result.returncode:
            reason = result.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
            raise InvalidError(one_line(reason) or "git failed")
        return [entry for entry in result.stdout.decode("utf-8", "replace").split(end) if entry]


def list_deployments_of_commits(
    folder: Path, environment: str, branch: str, since: str | None
) -> Iterator[DeploymentReport]:
    """Yield a deployment for each commit of the main line of ``branch``, oldest first. Raises InvalidError."""
    repository = _Repository(folder)
    when = [f"--since={_day(since):%Y-%m-%dT%H:%M:%SZ}"] if since else []  # for a day alone, git uses the current hour
    form = _SEPARATOR.join(("%H", "%P", "%cI", "%s"))
    for entry in repository.log(form, "--first-parent", "--reverse", *when, "--end-of-options", branch, "--"):
        sha, parents, at, subject = entry.split(_SEPARATOR, 3)
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
    form = _SEPARATOR.join(("%(refname:short)", "%(creatordate:iso-strict)", "%(*objectname)", "%(objectname)"))
    previous = ""
    earliest = _day(since) if since else None
    for entry in repository.refs(form, "--sort=creatordate", f"refs/tags/{pattern}"):
        tag, at, annotated, plain = entry.split(_SEPARATOR)
        sha = annotated or plain
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
    form = _SEPARATOR.join(("%H", "%cI"))
    entries = repository.log(form, f"--max-count={MOST_COMMITS}", "--end-of-options", revisions, "--")
    return [_commit(*entry.split(_SEPARATOR, 1)) for entry in entries]


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
