"""How much of a flood is written."""

from __future__ import annotations

import pytest

from church import telemetry
from church.observability import verbs
from church.observability.metrics import definitions
from church.observability.verbs import Budget
from tests.support.helpers import captured_log, grows


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, to be set."""
    now = [100.0]
    monkeypatch.setattr(verbs.threads, "clock", lambda: now[0])
    return now


def test_budget_gives_so_many_a_second_and_says_how_many_it_withheld(clock: list[float]) -> None:
    one = Budget(per_second=3)
    assert [one.spend() for _ in range(5)] == [0, 0, 0, None, None]
    clock[0] += 0.34
    assert [one.spend() for _ in range(3)] == [2, None, None]
    clock[0] += 0.34
    assert one.spend() == 2


def test_budget_that_was_not_spent_is_no_more_than_a_seconds_worth(clock: list[float]) -> None:
    one = Budget(per_second=3)
    clock[0] += 3600
    assert [one.spend() for _ in range(4)] == [0, 0, 0, None]


def test_flood_of_security_events_is_counted_in_full_and_written_in_part(
    clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telemetry, "_flood", Budget(per_second=20))
    with captured_log() as sink, grows(definitions.security_events.labels("invalid_token", "medium"), by=5_000):
        for _ in range(4_999):
            telemetry.track_security_event("invalid_token", "medium")
        clock[0] += 1
        telemetry.track_security_event("invalid_token", "medium")
    assert len(sink.records) == 21
    assert sink.records[-1]["withheld"] == 4_979
    assert all("withheld" not in record for record in sink.records[:-1])
