"""Deployments and incidents as pipelines report them: read and check the JSON before any row is read.

Every error names its field, such as ``commits[1].sha``. A field that is null or empty counts as missing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated, Any, ClassVar, TypeVar
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from church.config import current_settings
from church.errors import FieldErrors
from church.lib.field_errors import make_field_errors, to_field_errors
from church.models.base import utc_now
from church.models.dora import DeploymentKind, DeploymentStatus, Severity

MOST_COMMITS = 1000
SKEW = timedelta(minutes=5)
"""How far apart the clocks of two hosts may be."""
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
_LONGEST_ID = 200
_LONGEST_TEXT = 300
_LONGEST_TIME = 40
_SHA = re.compile(r"[0-9a-f]{1,64}")
_OBJECT = "This must be an object."
_MESSAGES = {"missing": "This is missing.", "model_type": _OBJECT, "model_attributes_type": _OBJECT}


@dataclass(frozen=True)
class Commit:
    """A commit that a deployment carried."""

    sha: str
    committed_at: datetime


@dataclass(frozen=True)
class IgnoredItem:
    """An item of a list that was sent and can't be used: its place, counted from 0, and why."""

    place: int
    reason: str


@dataclass(frozen=True)
class DeploymentReport:
    """A reported deployment; ``ref`` is the id that its pipeline gave it."""

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
    ignored: tuple[IgnoredItem, ...] = ()
    """Commits that were sent and are not among ``commits``."""


@dataclass(frozen=True)
class IncidentReport:
    """A reported incident, or changes of one: None changes nothing, an empty ``deployment`` removes the link."""

    ref: str
    environment: str | None = None
    title: str | None = None
    severity: Severity | None = None
    deployment: str | None = None
    opened_at: datetime | None = None
    resolved_at: datetime | None = None


def read_deployment(sent: Any) -> DeploymentReport:
    """Read a deployment; without ``finished_at`` it has finished now. Raises FieldErrors.

    Commits that can't be used are left out, and named in ``ignored``, as long as there is one that can.
    """
    body = validate_body(_DeploymentBody, sent, {"finished_at": utc_now()})
    good, ignored = validate_each(
        _CommitBody, body.commits[:MOST_COMMITS], "commits", {"finished_at": body.finished_at}
    )
    too_many = range(MOST_COMMITS, len(body.commits))
    ignored += [IgnoredItem(place, f"Only the first {MOST_COMMITS} commits are kept.") for place in too_many]
    commits: dict[str, Commit] = {}
    for _, commit in good:
        commits.setdefault(commit.sha, Commit(commit.sha, commit.committed_at))
    return DeploymentReport(**{**dict(body), "commits": tuple(commits.values()), "ignored": tuple(ignored)})


def read_incident(sent: Any) -> IncidentReport:
    """Read an incident, new or known. Raises FieldErrors."""
    return IncidentReport(**dict(validate_body(_IncidentBody, sent)))


# -- fields ---------------------------------------------------------------------------------------------------------


def line_of_text(most: int, *, allow_empty: bool = False) -> BeforeValidator:
    """Require one line of text of at most ``most`` characters; strip the white space around it."""

    def check(value: Any) -> str:
        if allow_empty and value == "":
            return ""
        if not isinstance(value, str) or not value.isprintable() or not value.strip():
            raise ValueError("This must be one line of text.")
        if len(value) > most:
            raise ValueError(f"This is too long. Use at most {most} characters.")
        return value.strip()

    return BeforeValidator(check)


def _require_list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError("This must be a list.")  # noqa: TRY004 - pydantic collects ValueErrors alone
    return value


def one_of(*choices: str) -> BeforeValidator:
    """Require one of ``choices``."""
    return BeforeValidator(partial(_require_one_of, choices))


def _require_one_of(choices: Sequence[str], value: str) -> str:
    if value not in choices:
        raise ValueError(f"This must be one of: {', '.join(choices)}.")
    return value


def _require_environment(value: str) -> str:
    return _require_one_of(current_settings().environments, value)


def _require_sha(value: str) -> str:
    if not _SHA.fullmatch(value.lower()):
        raise ValueError("This must be a sha: hexadecimal digits, 64 at most.")
    return value.lower()


def _require_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        is_url = parts.scheme in {"http", "https"} and bool(parts.hostname) and " " not in value
    except ValueError:
        is_url = False
    if not is_url:
        raise ValueError("This must be an address that begins with http:// or https://.")
    return value


def _require_time(value: str) -> datetime:
    moment = parse_time(value)
    if moment is None:
        raise ValueError("This must be a time with its zone such as 2026-03-01T12:00:00Z.")
    if moment < EARLIEST:
        raise ValueError("This is before the year 2000.")
    if moment > utc_now() + SKEW:
        raise ValueError("This is in the future.")
    return moment


def parse_time(value: str) -> datetime | None:
    """Parse a time with its zone, in UTC; None for anything else, such as the 29th of February of 2023."""
    try:
        moment = datetime.fromisoformat(value)
        return moment.astimezone(UTC) if moment.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


_Id = Annotated[str, line_of_text(_LONGEST_ID)]
_Text = Annotated[str, line_of_text(_LONGEST_TEXT)]
_Environment = Annotated[str, line_of_text(100), AfterValidator(_require_environment)]
_Sha = Annotated[str, line_of_text(64), AfterValidator(_require_sha)]
_Url = Annotated[str, line_of_text(2000), AfterValidator(_require_url)]
Time = Annotated[datetime, BeforeValidator(_require_time), line_of_text(_LONGEST_TIME)]
Items = Annotated[list[Any], BeforeValidator(_require_list)]
"""A list whose items ``validate_each`` checks one by one."""


# -- bodies ---------------------------------------------------------------------------------------------------------

_B = TypeVar("_B", bound="Body")


class Body(BaseModel):
    """A JSON object of a request. Fields that are null or empty are missing, except ``keeps_empty``."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    keeps_empty: ClassVar[frozenset[str]] = frozenset()

    @model_validator(mode="before")
    @classmethod
    def _drop_empty(cls, sent: Any) -> Any:
        if not isinstance(sent, Mapping):
            return sent
        return {
            name: value
            for name, value in sent.items()
            if value is not None and (value != "" or name in cls.keeps_empty)
        }


def validate_body(kind: type[_B], sent: Any, context: dict[str, Any] | None = None) -> _B:
    """Check the body of a request. Raises FieldErrors."""
    try:
        return kind.model_validate(sent, context=context)
    except ValidationError as error:
        raise to_field_errors(error, _MESSAGES) from None


def validate_each(
    kind: type[_B],
    items: Sequence[Any],
    field: str,
    context: dict[str, Any] | None = None,
    *,
    needs_a_good_one: bool = True,
) -> tuple[list[tuple[int, _B]], list[IgnoredItem]]:
    """Check the items of the list ``field`` one by one: a bad one does not refuse the others.

    Returns the good ones with their places, and the bad ones. With ``needs_a_good_one``, raises
    FieldErrors if all of them are bad.
    """
    good: list[tuple[int, _B]] = []
    refused: dict[int, dict[str, str]] = {}
    for place, item in enumerate(items):
        try:
            good.append((place, validate_body(kind, item, context)))
        except FieldErrors as error:
            refused[place] = error.errors
    if refused and not good and needs_a_good_one:
        raise make_field_errors(
            {f"{field}[{place}]{'.' * bool(name)}{name}": message
             for place, errors in refused.items() for name, message in errors.items()}
        )  # fmt: skip
    return good, [IgnoredItem(place, _in_one_line(errors)) for place, errors in refused.items()]


def _in_one_line(errors: Mapping[str, str]) -> str:
    return " ".join(f"{name}: {message}" if name else message for name, message in errors.items())


class _CommitBody(Body):
    sha: _Sha
    committed_at: Time

    @field_validator("committed_at")
    @classmethod
    def _is_before_the_finish(cls, value: datetime, info: ValidationInfo) -> datetime:
        context: Any = info.context
        if value > context["finished_at"] + SKEW:
            raise ValueError("This is after the deployment finished.")
        return value


class _DeploymentBody(Body):
    """Without ``finished_at``, the one of the context counts. Its commits are checked one by one, afterwards."""

    keeps_empty = frozenset({"commits"})

    ref: _Id = Field(alias="id")
    environment: _Environment
    status: Annotated[DeploymentStatus, one_of(*DeploymentStatus), line_of_text(100)]
    kind: Annotated[DeploymentKind, one_of(*DeploymentKind), line_of_text(100)] = DeploymentKind.NORMAL
    version: _Text | None = None
    url: _Url | None = None
    commit: _Sha | None = None
    started_at: Time | None = None
    finished_at: Time | None = Field(default=None, validate_default=True)
    commits: Items = []

    @field_validator("finished_at")
    @classmethod
    def _is_after_the_start(cls, value: datetime | None, info: ValidationInfo) -> datetime:
        context: Any = info.context
        finished_at: datetime = value or context["finished_at"]
        started_at = info.data.get("started_at")
        if started_at is not None and started_at > finished_at:
            raise ValueError("This is before the deployment started.")
        return finished_at


class _IncidentBody(Body):
    keeps_empty = frozenset({"deployment"})

    ref: _Id = Field(alias="id")
    environment: _Environment | None = None
    title: _Text | None = None
    severity: Annotated[Severity, one_of(*Severity), line_of_text(100)] | None = None
    deployment: Annotated[str, line_of_text(_LONGEST_ID, allow_empty=True)] | None = None
    opened_at: Time | None = None
    resolved_at: Time | None = None

    @field_validator("resolved_at")
    @classmethod
    def _is_after_the_opening(cls, value: datetime | None, info: ValidationInfo) -> datetime | None:
        opened_at = info.data.get("opened_at")
        if value is not None and opened_at is not None and value < opened_at:
            raise ValueError("This is before the incident was opened.")
        return value
