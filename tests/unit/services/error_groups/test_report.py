"""Reports of errors: new, known, late, repeated and back again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask

from church.errors import FieldErrors, NotFoundError
from church.extensions import db
from church.models import AuditEntry, ErrorGroup, Job
from church.models.base import utc_now
from church.models.error_groups import ErrorState
from church.services import error_groups
from church.services.audit import Actor
from church.services.error_groups import SeenError
from tests.support.billing_rows import stored

PRINT = "0123456789abcdef"


def seen(last: datetime, first: datetime | None = None, version: str = "1.0", message: str = "no page") -> SeenError:
    place = "church/services/pages/render.py:render"
    return SeenError(PRINT, "LookupError", place, message, version, first or last, last)


@pytest.fixture
def now(at_work: Flask) -> datetime:
    return utc_now() - timedelta(hours=1)


def only_group() -> error_groups.GroupView:
    (group,) = error_groups.list_groups(state=None)
    return group


def test_error_that_is_new_is_open_with_the_release_that_brought_it(now: datetime) -> None:
    assert error_groups.record_errors([seen(now)]) == 1
    group = only_group()
    assert (group.state, group.first_version, group.first_seen, group.last_seen) == (ErrorState.OPEN, "1.0", now, now)
    assert error_groups.count_open_groups() == 1


def test_error_that_is_known_is_only_newer(now: datetime) -> None:
    error_groups.record_errors([seen(now)])
    later = now + timedelta(minutes=3)
    assert error_groups.record_errors([seen(later, version="1.1", message="no title")]) == 0
    group = only_group()
    assert (group.first_version, group.last_version, group.message) == ("1.0", "1.1", "no title")
    assert (group.first_seen, group.last_seen) == (now, later)


def test_report_that_comes_late_or_twice_changes_only_the_first_time(now: datetime) -> None:
    error_groups.record_errors([seen(now, version="1.1", message="newer")])
    late = seen(now - timedelta(minutes=9), version="1.0", message="older")
    for _ in range(2):
        error_groups.record_errors([late])
    group = only_group()
    assert (group.first_seen, group.first_version) == (late.last, "1.0")
    assert (group.last_seen, group.last_version, group.message) == (now, "1.1", "newer")


def test_report_from_a_clock_that_is_ahead_is_not_believed(now: datetime) -> None:
    error_groups.record_errors([seen(utc_now() + timedelta(days=400))])
    assert only_group().last_seen < utc_now() + timedelta(minutes=6)


def test_resolved_error_is_back_with_an_occurrence_after_it_was_resolved(now: datetime) -> None:
    error_groups.record_errors([seen(now)])
    assert error_groups.change_state(PRINT, ErrorState.RESOLVED, Actor())
    assert error_groups.record_errors([seen(now)]) == 0, "an occurrence of before"
    assert only_group().state is ErrorState.RESOLVED
    again = utc_now() + timedelta(seconds=1)
    assert error_groups.record_errors([seen(again)]) == 1
    assert (only_group().state, only_group().came_back_at) == (ErrorState.OPEN, again)


def test_ignored_error_stays_ignored(now: datetime) -> None:
    error_groups.record_errors([seen(now)])
    error_groups.change_state(PRINT, ErrorState.IGNORED, Actor())
    assert error_groups.record_errors([seen(utc_now())]) == 0
    assert only_group().state is ErrorState.IGNORED
    assert error_groups.list_groups() == []


def test_decision_is_audited_once(now: datetime) -> None:
    error_groups.record_errors([seen(now)])
    for _ in range(2):
        error_groups.change_state(PRINT, ErrorState.RESOLVED, Actor())
    error_groups.change_state(PRINT, ErrorState.OPEN, Actor())
    actions = [entry.action for entry in stored(AuditEntry) if entry.action.startswith("error.")]
    assert actions == ["error.resolved", "error.reopened"]


def test_decision_about_an_unknown_error_is_not_found(at_work: Flask) -> None:
    with pytest.raises(NotFoundError):
        error_groups.change_state("f" * 16, ErrorState.RESOLVED, Actor())


def test_group_is_deleted_half_a_year_after_it_occurred_last(now: datetime) -> None:
    error_groups.record_errors([seen(now)])
    with db.write() as session:
        session.get_one(ErrorGroup, PRINT).last_seen = utc_now() - timedelta(days=179)
    error_groups.purge_old({})
    assert only_group().fingerprint == PRINT
    with db.write() as session:
        session.get_one(ErrorGroup, PRINT).last_seen = utc_now() - timedelta(days=181)
    error_groups.purge_old({})
    assert error_groups.list_groups(state=None) == []


def test_report_is_read_with_its_times_in_utc() -> None:
    sent = {
        "fingerprint": PRINT,
        "error_type": "LookupError",
        "place": "church/x.py:f",
        "message": "",
        "version": "1.0",
        "first": "2026-11-30T01:00:00+02:00",
        "last": "2026-11-30T00:00:00Z",
        "later": "ignored",
    }
    (read,) = error_groups.read_report({"errors": [sent]})
    assert (read.first, read.last) == (
        datetime(2026, 11, 29, 23, tzinfo=UTC),
        datetime(2026, 11, 30, tzinfo=UTC),
    )


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"errors": 1},
        {"errors": [{}]},
        {"errors": [{"fingerprint": "no", "error_type": "E", "place": "", "message": "", "version": ""}]},
        {
            "errors": [
                {
                    "fingerprint": PRINT,
                    "error_type": "E",
                    "place": "",
                    "message": "x" * 301,
                    "version": "",
                    "first": "2026-11-30T00:00:00",
                    "last": "now",
                }
            ]
        },
    ],
)
def test_report_that_is_wrong_names_its_fields(body: dict[str, object]) -> None:
    with pytest.raises(FieldErrors):
        error_groups.read_report(body)


def test_errors_that_are_new_queue_one_email(now: datetime) -> None:
    error_groups.record_errors([seen(now)])
    error_groups.record_errors([seen(now + timedelta(minutes=1))])
    assert [job.kind for job in stored(Job) if job.kind == "errors.email"] == ["errors.email"]
