"""How many frames a client may send on average and at once."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from church.live import frame_budget
from church.live.frame_budget import FrameBudget


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    one = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(frame_budget, "time", SimpleNamespace(monotonic=lambda: one.now))
    return one


def test_budget_allows_a_burst_and_then_its_rate(clock: SimpleNamespace) -> None:
    budget = FrameBudget(rate=2, burst=3)
    assert [budget.spend(1) for _ in range(4)] == [True, True, True, False]
    clock.now += 1
    assert [budget.spend(1) for _ in range(3)] == [True, True, False]


def test_budget_refused_cost_is_not_taken(clock: SimpleNamespace) -> None:
    budget = FrameBudget(rate=2, burst=3)
    assert [budget.spend(cost) for cost in (2, 2, 1)] == [True, False, True]


def test_budget_refills_to_its_burst_and_no_further(clock: SimpleNamespace) -> None:
    budget = FrameBudget(rate=2, burst=3)
    budget.spend(3)
    assert not budget.is_full
    clock.now += 1.5
    assert budget.is_full
    clock.now += 100
    assert [budget.spend(1) for _ in range(4)] == [True, True, True, False]
