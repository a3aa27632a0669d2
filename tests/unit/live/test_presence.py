"""Presence: members of all workers, renewal and expiry, and crowds."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from church.live import presence
from church.live.presence import Presence
from church.live.room_feed import RoomFeed
from tests.support.live_stubs import StubClient, StubHub, person, run_until


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    one = Clock()
    monkeypatch.setattr(presence, "time", one)
    return one


class World:
    """The presence of one room, and what it publishes."""

    def __init__(self, *clients: StubClient) -> None:
        self.published: list[dict[str, Any]] = []
        hub = StubHub()
        room: Any = SimpleNamespace(id=1, name="public", access="members", head=0)
        feed = RoomFeed(room, hub.connections_of, hub.guarded)
        feed.members.update(clients)  # type: ignore[arg-type]
        self.rooms: Any = SimpleNamespace(feeds={"public": feed})
        relay: Any = SimpleNamespace(worker="us", publish=lambda _channel, facts: not self.published.append(facts))
        self.presence = Presence(relay, self.rooms)

    def hear(self, worker: str, *refs: str) -> None:
        people = [{"ref": ref, "name": ref.title()} for ref in refs]
        self.presence.hear(json.dumps({"worker": worker, "rooms": {"public": people}}))


def names(client: StubClient) -> list[str]:
    return [one["name"] for one in client.sent[-1]["members"]]


def test_members_of_all_workers_are_listed_once(clock: Clock) -> None:
    ada, second = StubClient(person("ada")), StubClient(person("ada"))
    world = World(ada, second)
    world.hear("other", "eve", "ada")
    world.presence.turn()
    run_until(lambda: ada.sent and second.sent, "who is here")
    assert names(ada) == ["Ada", "Eve"]
    assert ada.sent[-1]["count"] == 2
    assert world.published == [{"rooms": {"public": [{"ref": "ada", "name": "Ada"}]}}]


def test_members_of_a_silent_worker_expire(clock: Clock) -> None:
    ada = StubClient(person("ada"))
    world = World(ada)
    world.hear("killed", "eve")
    world.presence.turn()
    clock.now += 31
    world.presence.turn()
    run_until(lambda: len(ada.sent) == 2, "who is left")
    assert names(ada) == ["Ada"]


def test_members_are_published_every_ten_seconds_and_after_a_change(clock: Clock) -> None:
    world = World(StubClient(person("ada")))
    for seconds, times in ((0.0, 1), (5.0, 1), (5.0, 2)):
        clock.now += seconds
        world.presence.turn()
        assert len(world.published) == times
    feed = world.rooms.feeds["public"]
    feed.members.add(StubClient(person("eve")))  # type: ignore[arg-type]
    feed.comings += 1
    world.presence.turn()
    assert len(world.published) == 3


def test_crowd_is_sent_less_often_with_a_hundred_names(clock: Clock) -> None:
    clients = [StubClient(person(f"m{number:03}")) for number in range(300)]
    world = World(*clients)
    world.presence.turn()
    run_until(lambda: clients[0].sent, "who is here")
    assert (len(clients[0].sent[0]["members"]), clients[0].sent[0]["count"]) == (100, 300)
    world.rooms.feeds["public"].leave(clients[299])  # type: ignore[arg-type]
    clock.now += 3
    world.presence.turn()
    clock.now += 1
    world.presence.turn()
    run_until(lambda: len(clients[0].sent) == 2, "who is left, four seconds later")
    assert clients[0].sent[1]["count"] == 299


def test_crowd_is_published_as_a_hundred_names_and_a_count(clock: Clock) -> None:
    world = World(*(StubClient(person(f"m{number:04}")) for number in range(1000)))
    world.presence.turn()
    (facts,) = world.published
    assert [one["ref"] for one in facts["rooms"]["public"]] == [f"m{number:04}" for number in range(100)]
    assert facts["more"] == {"public": 900}
    ada = StubClient(person("ada"))
    there = World(ada)
    there.presence.hear(json.dumps({"worker": "other", **facts}))
    there.presence.turn()
    run_until(lambda: ada.sent, "who is here")
    assert (ada.sent[0]["count"], len(ada.sent[0]["members"]), names(ada)[:2]) == (1001, 100, ["Ada", "M0000"])


def test_join_of_a_crowd_gets_the_frame_of_the_last_second(clock: Clock) -> None:
    clients = [StubClient(person(f"m{number:03}")) for number in range(101)]
    world = World(*clients)
    counts = []
    for number in range(3):
        come: Any = StubClient(person(f"new{number}"))
        feed = world.rooms.feeds["public"]
        feed.members.add(come)
        feed.comings += 1
        world.presence.show(come, "public")
        counts.append(come.sent[-1]["count"])
        clock.now += 0.6
    assert counts == [102, 102, 104]
