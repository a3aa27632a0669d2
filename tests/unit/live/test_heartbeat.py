"""The wheel of pings and the queue of deadlines, turned by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from church.live import heartbeat
from church.live.heartbeat import Deadlines, PingWheel
from church.live.websocket_frames import PING_FRAME

TURN = 50  # ticks


class Pinged:
    """A connection that counts its pings."""

    def __init__(self) -> None:
        self.heard = True
        self.missed = self.spoke = 0
        self.pings: list[bytes] = []
        self.dropped: list[str] = []

    def send(self, frame: bytes) -> None:
        self.pings.append(frame)

    def drop(self, outcome: str) -> None:
        self.dropped.append(outcome)


def turn(wheel: PingWheel, ticks: int = TURN) -> None:
    for _ in range(ticks):
        wheel.tick()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    one = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(heartbeat, "time", SimpleNamespace(monotonic=lambda: one.now))
    return one


def test_wheel_pings_each_connection_once_a_turn_and_spreads_them() -> None:
    wheel = PingWheel(25.0)
    assert wheel.pause * TURN == 25.0
    clients: list[Any] = [Pinged() for _ in range(2 * TURN)]
    for client in clients:
        wheel.add(client)
    pinged = []
    for _ in range(TURN):
        wheel.tick()
        pinged.append(sum(len(client.pings) for client in clients))
    assert pinged == list(range(2, 2 * TURN + 1, 2))
    assert {tuple(client.pings) for client in clients} == {(PING_FRAME,)}


def test_wheel_removed_connection_is_not_pinged() -> None:
    wheel = PingWheel(25.0)
    stays: Any = Pinged()
    leaves: Any = Pinged()
    for client in (stays, leaves):
        wheel.add(client)
    wheel.remove(leaves)
    wheel.remove(leaves)
    turn(wheel)
    assert (len(stays.pings), leaves.pings) == (1, [])


def test_wheel_drops_a_connection_silent_for_two_turns() -> None:
    wheel = PingWheel(25.0)
    client: Any = Pinged()
    wheel.add(client)
    turn(wheel, 2 * TURN)
    assert (len(client.pings), client.dropped) == (2, [])
    turn(wheel)
    assert (len(client.pings), client.dropped) == (2, ["silent"])


def test_wheel_forgets_a_missed_turn_of_a_connection_heard_since() -> None:
    wheel = PingWheel(25.0)
    client: Any = Pinged()
    wheel.add(client)
    for _ in range(3):
        turn(wheel, 2 * TURN)
        client.heard = True
    turn(wheel)
    assert client.dropped == []
    assert len(client.pings) == 7


def test_deadlines_call_late_once_each_in_order(clock: SimpleNamespace) -> None:
    late: list[object] = []
    deadlines = Deadlines(10.0, late.append)
    deadlines.add("first")  # type: ignore[arg-type]
    clock.now += 4
    deadlines.add("second")  # type: ignore[arg-type]
    seen = []
    for seconds in (5.9, 0.1, 3.9, 0.1, 100.0):
        clock.now = round(clock.now + seconds, 1)
        deadlines.tick()
        seen.append(list(late))
    assert seen == [[], ["first"], ["first"], ["first", "second"], ["first", "second"]]
