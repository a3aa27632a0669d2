"""Deployments and incidents as machines tell them, before any row is looked at."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, TypeVar
from urllib.parse import urlsplit

from church.config import current_settings
from church.errors import FieldErrors
from church.lib.text import one_line
from church.models.base import utc_now
from church.models.dora import DeploymentKind, DeploymentStatus, Severity

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


SKEW = timedelta(minutes=5)
"""How far apart the clocks of two hosts may be."""
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
_LONGEST_TIME = 40
_SHA = re.compile(r"[0-9a-f]{1,64}")
_E = TypeVar("_E", bound=StrEnum)


class Told:
    """The fields of one object; ``place`` stands before their names where it is part of another."""

    def __init__(self, sent: Any, place: str = "", errors: dict[str, str] | None = None) -> None:
        self.errors: dict[str, str] = {} if errors is None else errors
        self._place = place
        self._sent: Mapping[str, Any] = sent if isinstance(sent, Mapping) else {}
        if not isinstance(sent, Mapping):
            self.wrong("", "This must be an object.")

    def wrong(self, name: str, words: str) -> None:
        """Note that ``name`` can't be taken."""
        self.errors.setdefault(f"{self._place}{name}".rstrip("."), words)

    def check(self) -> None:
        """Raise FieldErrors if anything that was read can't be taken."""
        if self.errors:
            raise FieldErrors(self.errors, "Some fields are invalid: " + ", ".join(self.errors) + ".")

    def text(self, name: str, most: int, *, required: bool = False) -> str | None:
        """One line of text, without the white space around it; None where there is nothing."""
        value = self._sent.get(name)
        if value is None or value == "":
            if required:
                self.wrong(name, "This is missing.")
            return None
        if not isinstance(value, str) or not value.isprintable() or not value.strip():
            self.wrong(name, "This must be one line of text.")
            return None
        if len(value) > most:
            self.wrong(name, f"This is too long. Use at most {most} characters.")
            return None
        return value.strip()

    def words(self, name: str, most: int) -> str | None:
        """Text that is only read, of somebody who would not hear that it is refused: made one line of ``most``."""
        value = self._sent.get(name)
        if not isinstance(value, str):
            return None
        line = one_line(value)
        return (line if len(line) <= most else f"{line[: most - 1].rstrip()}…") or None

    def is_empty(self, name: str) -> bool:
        """Whether ``name`` was sent as an empty text."""
        return self._sent.get(name) == ""

    def one_of(self, name: str, known: Sequence[str], *, required: bool = False) -> str | None:
        """One of ``known``."""
        value = self.text(name, 100, required=required)
        if value is not None and value not in known:
            self.wrong(name, f"This must be one of: {', '.join(known)}.")
            return None
        return value

    def word(self, name: str, kind: type[_E], *, required: bool = False) -> _E | None:
        """One of ``kind``."""
        value = self.one_of(name, [str(one) for one in kind], required=required)
        return kind(value) if value is not None else None

    def sha(self, name: str, *, required: bool = False) -> str | None:
        """The name of a commit: hexadecimal digits."""
        value = self.text(name, 64, required=required)
        if value is not None and not _SHA.fullmatch(value.lower()):
            self.wrong(name, "This must be a sha: hexadecimal digits, 64 at most.")
            return None
        return value.lower() if value is not None else None

    def address(self, name: str) -> str | None:
        """An address of the web, which a page may link to."""
        value = self.text(name, 2000)
        if value is not None and not _is_address(value):
            self.wrong(name, "This must be an address that begins with http:// or https://.")
            return None
        return value

    def moment(self, name: str, *, required: bool = False) -> datetime | None:
        """A time in UTC."""
        value = self.text(name, _LONGEST_TIME, required=required)
        if value is None:
            return None
        found = parsed_time(value)
        if found is None:
            self.wrong(name, "This must be a time with its zone such as 2026-03-01T12:00:00Z.")
        elif found < EARLIEST:
            self.wrong(name, "This is before the year 2000.")
        elif found > utc_now() + SKEW:
            self.wrong(name, "This is in the future.")
        else:
            return found
        return None

    def parts(self, name: str, most: int, *, required: bool = False) -> list[Told]:
        """The objects of a list, at most ``most``; what is wrong in them is noted here."""
        value = self._sent.get(name)
        if value is None and not required:
            return []
        if not isinstance(value, list):
            self.wrong(name, "This must be a list.")
            return []
        if len(value) > most:
            self.wrong(name, f"Too many: at most {most} are accepted.")
            return []
        return [Told(item, f"{self._place}{name}[{at}].", self.errors) for at, item in enumerate(value)]

    def inner(self, name: str) -> Told:
        """The object in ``name``; an empty one where there is none."""
        value = self._sent.get(name)
        return Told({} if value is None else value, f"{self._place}{name}.", self.errors)


def parsed_time(value: str) -> datetime | None:
    """A time that names its zone, in UTC; None for what is none, the 29th of February of 2023 included."""
    try:
        found = datetime.fromisoformat(value)
        return found.astimezone(UTC) if found.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


def _is_address(value: str) -> bool:
    try:
        parts = urlsplit(value)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and " " not in value
