"""Who is in each chat room, across all workers: each worker publishes its own members; unrenewed lists expire.

For a crowd, a worker names the first members by name and gives the number of the others. A member who is in a crowd on
two workers may be counted twice.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from heapq import nsmallest
from typing import Any, NamedTuple

import gevent

from church.live import client_messages
from church.live.broadcast_receiver import PRESENCE, BroadcastReceiver
from church.live.connection import Connection
from church.live.joined_rooms import JoinedRooms
from church.live.room_feed import RoomFeed

_RENEWED = 10.0  # seconds between full renewals of a worker's lists
_FORGOTTEN = 30.0  # seconds without renewal after which a worker's lists expire, however it ended
_SHOWN = 100  # names in a frame, and for each room in what workers publish; the count covers everyone
_CHURN = 2000  # members a second whose list is rebuilt, at most
_PAUSE = 1.0  # seconds between frames of one room, and a second more for each hundred members


class People(NamedTuple):
    """Some members of a room by ref, as frames show them, and the number of others."""

    named: dict[str, dict[str, Any]]
    more: int = 0

    @property
    def total(self) -> int:
        """How many there are in all."""
        return len(self.named) + self.more

    @property
    def mark(self) -> tuple[frozenset[str], int]:
        """A value that differs when the members differ."""
        return frozenset(self.named), self.more


_NO_PEOPLE = People({})


class Presence:
    """The members of each room: this worker's from its connections, the others' from what they published last."""

    def __init__(self, relay: BroadcastReceiver, rooms: JoinedRooms) -> None:
        self._relay = relay
        self._rooms = rooms
        self._others: dict[str, tuple[float, dict[str, People]]] = {}
        self._published: dict[str, tuple[frozenset[str], int]] = {}
        self._published_at = 0.0
        self._own: dict[str, tuple[RoomFeed, int, float, People]] = {}
        self._crowds: dict[str, tuple[float, bytes]] = {}
        self._shown: dict[str, tuple[frozenset[str], int]] = {}
        self._shown_at: dict[str, float] = {}

    def renew(self) -> None:
        """Publish everything again soon, since other workers may have missed it."""
        self._published_at = 0.0

    @property
    def has_published_members(self) -> bool:
        """Whether the other workers list rooms of this one."""
        return bool(self._published)

    def hear(self, line: str) -> None:
        """Take another worker's members. Raises what unreadable JSON raises."""
        facts = json.loads(line)
        if facts["worker"] != self._relay.worker:
            more = facts.get("more", {})
            rooms = {
                room: People({person["ref"]: person for person in people}, int(more.get(room, 0)))
                for room, people in facts["rooms"].items()
            }
            self._others[facts["worker"]] = (time.monotonic(), rooms)

    def turn(self) -> None:
        """Send what has changed: this worker's members to the other workers, each room's members to its clients."""
        own = {room: self._here(room) for room in self._rooms.feeds}
        self._tell_workers(own)
        now = time.monotonic()
        self._others = {worker: entry for worker, entry in self._others.items() if now - entry[0] < _FORGOTTEN}
        for room, people in own.items():
            self._tell_clients(room, self._with_others(room, people), now)
        for room in self._shown.keys() - own.keys():
            del self._shown[room], self._shown_at[room]
            self._own.pop(room, None)
            self._crowds.pop(room, None)

    def show(self, connection: Connection, room: str) -> None:
        """Send one client a room's members; a crowd's frame is reused for a second, as thousands may join at once."""
        made_at, frame = self._crowds.get(room, (0.0, b""))
        if time.monotonic() - made_at >= _PAUSE:
            people = self._with_others(room, self._here(room))
            frame = _frame(room, people)
            feed = self._rooms.feeds.get(room)
            if feed is not None and len(feed.members) > _SHOWN:
                self._crowds[room] = (time.monotonic(), frame)
        connection.send_message("presence", frame)

    def farewell(self) -> None:
        """Publish that this worker has no members any more."""
        self._relay.publish(PRESENCE, {"rooms": {}})

    def _here(self, room: str) -> People:
        """This worker's members of a room; rebuilt after a join, a leave or ten seconds (for changed names).

        A crowd's list is rebuilt less often: among ten thousand there is always a change.
        """
        feed = self._rooms.feeds.get(room)
        if feed is None:
            return _NO_PEOPLE
        last_feed, comings, made_at, people = self._own.get(room, (None, 0, 0.0, _NO_PEOPLE))
        age = time.monotonic() - made_at
        is_due = comings != feed.comings and age >= people.more / _CHURN
        if last_feed is not feed or is_due or age >= _RENEWED:
            here = {member.ref: member.signed_in for member in feed.members if member.signed_in is not None}
            everyone = (
                client_messages.member_fields(ref, one.name, is_admin=one.is_admin) for ref, one in here.items()
            )
            named = {person["ref"]: person for person in _first(everyone)}
            people = People(named, max(0, len(here) - _SHOWN))
            self._own[room] = (feed, feed.comings, time.monotonic(), people)
        return people

    def _with_others(self, room: str, own: People) -> People:
        named: dict[str, dict[str, Any]] = {}
        more = own.more
        for _, rooms in self._others.values():
            theirs = rooms.get(room, _NO_PEOPLE)
            named.update(theirs.named)
            more += theirs.more
        return People(named | own.named, more)

    def _tell_workers(self, own: dict[str, People]) -> None:
        marks = {room: people.mark for room, people in own.items()}
        if marks == self._published and time.monotonic() - self._published_at < _RENEWED:
            return
        self._published, self._published_at = marks, time.monotonic()
        facts: dict[str, Any] = {"rooms": {room: list(people.named.values()) for room, people in own.items()}}
        if more := {room: people.more for room, people in own.items() if people.more}:
            facts["more"] = more
        if not self._relay.publish(PRESENCE, facts):
            self.renew()

    def _tell_clients(self, room: str, people: People, now: float) -> None:
        """Send a room its members, less often the fuller it is: a thousand joins must not cost a million names."""
        due = self._shown_at.get(room, 0.0) + _PAUSE + people.total / 100
        feed = self._rooms.feeds.get(room)
        if people.mark == self._shown.get(room) or now < due or feed is None:
            return
        self._shown[room], self._shown_at[room] = people.mark, now
        gevent.spawn(feed.tell, "presence", _frame(room, people))


def _first(people: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return nsmallest(_SHOWN, people, key=lambda person: (str(person["name"]).casefold(), person["ref"]))


def _frame(room: str, people: People) -> bytes:
    return client_messages.presence_frame(room, _first(people.named.values()), people.total)
