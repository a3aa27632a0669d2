"""Job handlers and schedules, without a database."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from church import jobs
from church.jobs import registry
from church.jobs.schedules import next_time
from church.models.base import utc_now


@pytest.fixture(autouse=True)
def _registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_handlers", dict(registry._handlers))
    monkeypatch.setattr(registry, "_schedules", dict(registry._schedules))


def nothing(_payload: dict[str, Any]) -> None: ...


def test_handler_is_found_by_its_kind() -> None:
    assert jobs.handler("test.nothing")(nothing) is nothing
    assert registry.find_handler("test.nothing") is nothing


def test_handler_registered_twice_raises() -> None:
    jobs.handler("test.nothing")(nothing)
    with pytest.raises(ValueError, match="already have a handler"):
        jobs.handler("test.nothing")(nothing)


def test_enqueue_unknown_kind_raises_before_it_uses_the_database() -> None:
    with pytest.raises(jobs.UnknownKindError, match=r"'test\.typo'; registered kinds: .*jobs\.purge"):
        jobs.enqueue(None, "test.typo", {})  # type: ignore[arg-type]


def test_schedule_unknown_kind_raises() -> None:
    with pytest.raises(jobs.UnknownKindError):
        jobs.schedule("test.typo", every=timedelta(hours=1))


def test_schedule_without_a_period_raises() -> None:
    jobs.handler("test.nothing")(nothing)
    with pytest.raises(ValueError, match="period longer than 0"):
        jobs.schedule("test.nothing", every=timedelta(0))


def test_every_registers_handler_and_schedule() -> None:
    jobs.every(timedelta(hours=1), "test.hourly")(nothing)
    assert registry.find_handler("test.hourly") is nothing
    assert registry.registered_schedules()["test.hourly"] == timedelta(hours=1)


def test_done_jobs_are_purged_daily() -> None:
    assert registry.registered_schedules()["jobs.purge"] == timedelta(days=1)


@pytest.mark.parametrize(("minutes_late", "expected_in"), [(0, 60), (1, 59), (59, 1), (60, 60), (1450, 50)])
def test_next_time_stays_in_step_and_skips_missed_periods(minutes_late: int, expected_in: int) -> None:
    now = utc_now()
    found = next_time(now - timedelta(minutes=minutes_late), timedelta(hours=1), now)
    assert found - now == timedelta(minutes=expected_in)
