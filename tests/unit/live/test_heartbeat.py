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
        self.spoke = 0
        self.inbox: list[str] = []
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


@pytest.mark.parametrize("heard_at", [1, 20, TURN - 1])
def test_wheel_drops_a_silent_connection_within_two_turns_of_its_last_sign(heard_at: int) -> None:
    wheel = PingWheel(25.0)
    client: Any = Pinged()
    wheel.add(client)
    wheel.tick()
    assert len(client.pings) == 1
    turn(wheel, heard_at - 1)
    client.heard = True  # and nothing from then on
    silent = 0
    while not client.dropped:
        wheel.tick()
        silent += 1
    assert silent * wheel.pause <= 2 * 25.0
    assert (len(client.pings), client.dropped) == (2, ["silent"])  # a turn to answer its last ping


def test_wheel_drops_a_connection_that_never_answers_within_two_turns() -> None:
    wheel = PingWheel(25.0)
    client: Any = Pinged()
    wheel.add(client)
    turn(wheel, TURN)
    assert (len(client.pings), client.dropped) == (1, [])
    turn(wheel)
    assert (len(client.pings), client.dropped) == (1, ["silent"])


def test_wheel_keeps_a_connection_whose_messages_the_site_has_not_answered() -> None:
    wheel = PingWheel(25.0)
    client: Any = Pinged()
    client.inbox = ["a message"]
    wheel.add(client)
    turn(wheel, 3 * TURN)
    assert client.dropped == []


def test_wheel_keeps_a_connection_that_answers_each_ping() -> None:
    wheel = PingWheel(25.0)
    client: Any = Pinged()
    wheel.add(client)
    for _ in range(7):
        turn(wheel)
        client.heard = True
    assert (len(client.pings), client.dropped) == (7, [])


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
