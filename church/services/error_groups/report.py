"""Take in which errors have occurred: new ones, more of known ones, and resolved ones that are back.

A report may come late, twice, or from several hosts at once: the result is the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from church.database.upsert import insert_or_ignore
from church.extensions import db
from church.lib.field_errors import to_field_errors
from church.models import ErrorGroup
from church.models.base import utc_now
from church.models.error_groups import ErrorState
from church.services.error_groups.emails import queue_error_email

MOST_ERRORS = 200
"""The most groups of one report."""
_SKEW = timedelta(minutes=5)
"""How far apart the clocks of two hosts may be."""


def _to_utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("a time with its zone")
    return moment.astimezone(UTC)


_Moment = Annotated[datetime, AfterValidator(_to_utc)]
_Text = Annotated[str, Field(max_length=300)]


class _Seen(BaseModel):
    model_config = ConfigDict(extra="ignore")

    fingerprint: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    error_type: Annotated[str, Field(min_length=1, max_length=200)]
    place: _Text
    message: _Text
    version: Annotated[str, Field(max_length=100)]
    first: _Moment
    last: _Moment


class _Report(BaseModel):
    errors: Annotated[list[_Seen], Field(max_length=MOST_ERRORS)]


@dataclass(frozen=True)
class SeenError:
    """Occurrences of one group since the last report: the first and the last of them, and what the last one said."""

    fingerprint: str
    error_type: str
    place: str
    message: str
    version: str
    first: datetime
    last: datetime


def read_report(body: Mapping[str, Any]) -> list[SeenError]:
    """Read the JSON of a report. Raises FieldErrors."""
    try:
        report = _Report.model_validate(body)
    except ValidationError as error:
        raise to_field_errors(error) from None
    return [SeenError(**seen.model_dump()) for seen in report.errors]


def record_errors(seen: Sequence[SeenError]) -> int:
    """Store what has occurred, and queue the email about errors that are new or back. Returns how many these are."""
    if not seen:
        return 0
    with db.write() as session:
        fresh = sum(_record(session, one) for one in sorted(seen, key=lambda one: one.fingerprint))
        if fresh:
            queue_error_email(session)
    return fresh


def _record(session: Session, seen: SeenError) -> bool:
    """Store one group; returns whether admins have to hear of it. Rows are locked in the order of fingerprints."""
    latest = utc_now() + _SKEW
    first, last = min(seen.first, latest), min(seen.last, latest)
    values = {
        "fingerprint": seen.fingerprint,
        "error_type": seen.error_type,
        "place": seen.place,
        "message": seen.message,
        "state": ErrorState.OPEN.value,
        "first_seen": first,
        "last_seen": last,
        "first_version": seen.version,
        "last_version": seen.version,
    }
    if insert_or_ignore(session, ErrorGroup, values, unique=["fingerprint"]):
        return True
    group = session.scalars(
        select(ErrorGroup).where(ErrorGroup.fingerprint == seen.fingerprint).with_for_update()
    ).one()
    if first < group.first_seen:
        group.first_seen, group.first_version = first, seen.version
    if last > group.last_seen:
        group.last_seen, group.last_version, group.message = last, seen.version, seen.message
    return _reopen(group, last)


def _reopen(group: ErrorGroup, last: datetime) -> bool:
    """Open a resolved group again if it has occurred since; returns whether it was."""
    if group.state != ErrorState.RESOLVED.value or group.resolved_at is None or last <= group.resolved_at:
        return False
    group.state, group.came_back_at, group.emailed_at = ErrorState.OPEN.value, last, None
    return True
