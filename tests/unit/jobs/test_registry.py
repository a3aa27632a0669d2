"""Job handlers and schedules, registered by their kind."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from church import jobs
from church.jobs import registry


def nothing(_payload: dict[str, Any]) -> None: ...


def test_handler_is_found_by_its_kind() -> None:
    assert jobs.handler("test.nothing")(nothing) is nothing
    assert registry.find_handler("test.nothing") is nothing


def test_handler_registered_twice_raises() -> None:
    jobs.handler("test.nothing")(nothing)
    with pytest.raises(ValueError, match="already have a handler"):
        jobs.handler("test.nothing")(nothing)


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


def test_heavy_kinds_are_those_registered_as_heavy() -> None:
    jobs.handler("test.light")(nothing)
    jobs.handler("test.heavy", heavy=True)(nothing)
    assert "test.heavy" in registry.heavy_kinds()
    assert "test.light" not in registry.heavy_kinds()
    assert {"test.light", "test.heavy"} <= registry.registered_kinds()
