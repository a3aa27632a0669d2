"""What the connections of a member share, and when it is forgotten."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from church.live import frame_budget, member_limits
from church.live.member_limits import MemberLimits


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    one = SimpleNamespace(now=1000.0)
    for module in (frame_budget, member_limits):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: one.now))
    return one


def test_refusal_counts_down_and_ends(clock: SimpleNamespace) -> None:
    limits = MemberLimits(10)
    assert limits.seconds_refused("ada", "chat") is None
    limits.refuse("ada", "chat", 30)
    clock.now += 29.5
    assert (limits.seconds_refused("ada", "chat"), limits.seconds_refused("ada", "history")) == (1, None)
    clock.now += 0.5
    assert limits.seconds_refused("ada", "chat") is None
    assert not limits._refused


def test_budget_of_one_member_does_not_affect_another(clock: SimpleNamespace) -> None:
    limits = MemberLimits(10)
    assert limits.spend("ada", 400)
    assert not limits.spend("ada", 1)
    assert limits.spend("eve", 400)


@pytest.mark.parametrize(("connections", "frames"), [(1, 200), (10, 400), (100, 4000)])
def test_budget_grows_with_the_connections_a_member_may_have(
    clock: SimpleNamespace, connections: int, frames: int
) -> None:
    limits = MemberLimits(connections)
    assert [limits.spend("ada", frames), limits.spend("ada", 1)] == [True, False]


def test_tick_forgets_what_is_over_and_nothing_else(clock: SimpleNamespace) -> None:
    limits = MemberLimits(10)
    limits.spend("ada", 400)
    limits.refuse("ada", "chat", 60)
    limits.refuse("eve", "chat", 10)
    limits.spend("eve", 1)
    clock.now += 1
    limits.tick()
    assert len(limits._refused) == 2
    clock.now += 30
    limits.spend("ada", 400)
    limits.tick()
    assert (list(limits._budgets), list(limits._refused)) == (["ada"], [("ada", "chat")])
    assert not limits.spend("ada", 1)
