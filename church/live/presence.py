"""Who is in a room, on any worker: each tells the others whom it has, and what is not renewed is forgotten.

Of a crowd, a worker names those who come first by their names, and says how many more there are; who is in it on two
workers may be counted twice.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from heapq import nsmallest
from typing import TYPE_CHECKING, Any, NamedTuple

import gevent

from church.live import broadcast_receiver, client_messages

if TYPE_CHECKING:
    from church.live.connection import Connection
    from church.live.hub import Hub
    from church.live.room_feed import Feed

_RENEWED = 10.0  # seconds after which a worker says all of it again
_FORGOTTEN = 30.0  # after which one that says nothing is gone, however it ended
_SHOWN = 100  # names in a frame, and of a room in what workers say; the count is of all
_CHURN = 2000  # people a second that are put together anew, at most
_PAUSE = 1.0  # seconds between frames of one room, and a second more for each hundred who are there


class People(NamedTuple):
    """Some of those who are there, as frames have them, by their refs; and how many more there are."""

    named: dict[str, dict[str, Any]]
    more: int = 0

    @property
    def total(self) -> int:
        """How many there are."""
        return len(self.named) + self.more

    @property
    def mark(self) -> tuple[frozenset[str], int]:
        """What is another when somebody else is there."""
        return frozenset(self.named), self.more


_NOBODY = People({})


class Presence:
    """The people of each room: those of this worker are its connections, those of others what they said last."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._others: dict[str, tuple[float, dict[str, People]]] = {}
        self._said: dict[str, tuple[frozenset[str], int]] = {}
        self._said_at = 0.0
        self._own: dict[str, tuple[Feed, int, float, People]] = {}
        self._crowds: dict[str, tuple[float, bytes]] = {}
        self._shown: dict[str, tuple[frozenset[str], int]] = {}
        self._shown_at: dict[str, float] = {}

    def renew(self) -> None:
        """Say all of it again soon: others may not have heard it."""
        self._said_at = 0.0

    @property
    def has_said_somebody(self) -> bool:
        """Whether the others believe that somebody is here."""
        return bool(self._said)

    def hear(self, line: str) -> None:
        """Another worker says whom it has. Raises what unreadable JSON does."""
        facts = json.loads(line)
        if facts["worker"] != self._hub.relay.worker:
            more = facts.get("more", {})
            rooms = {
                room: People({one["ref"]: one for one in people}, int(more.get(room, 0)))
                for room, people in facts["rooms"].items()
            }
            self._others[facts["worker"]] = (time.monotonic(), rooms)

    def turn(self) -> None:
        """Tell what has changed: the other workers whom this one has, the clients here who is there."""
        own = {room: self._here(room) for room in self._hub.rooms.feeds}
        self._tell_workers(own)
        now = time.monotonic()
        self._others = {name: known for name, known in self._others.items() if now - known[0] < _FORGOTTEN}
        for room, people in own.items():
            self._tell_clients(room, self._with_others(room, people), now)
        for room in self._shown.keys() - own.keys():
            del self._shown[room], self._shown_at[room]
            self._own.pop(room, None)
            self._crowds.pop(room, None)

    def show(self, connection: Connection, room: str) -> None:
        """Tell one client who is in a room; of a crowd, as it was a moment ago: thousands may come at once."""
        made_at, frame = self._crowds.get(room, (0.0, b""))
        if time.monotonic() - made_at >= _PAUSE:
            people = self._with_others(room, self._here(room))
            frame = _frame(room, people)
            feed = self._hub.rooms.feeds.get(room)
            if feed is not None and len(feed.members) > _SHOWN:
                self._crowds[room] = (time.monotonic(), frame)
        self._hub.say(connection, "presence", frame)

    def farewell(self) -> None:
        """This worker has nobody any more."""
        with self._hub.app.app_context():
            self._hub.relay.publish(broadcast_receiver.PRESENCE, {"rooms": {}})

    def _here(self, room: str) -> People:
        """Whom this worker has in a room; put together anew when somebody has come or gone, or is called otherwise.

        Of a crowd not at once: in ten thousand somebody always comes.
        """
        feed = self._hub.rooms.feeds.get(room)
        if feed is None:
            return _NOBODY
        known, comings, made_at, people = self._own.get(room, (None, 0, 0.0, _NOBODY))
        age = time.monotonic() - made_at
        is_due = comings != feed.comings and age >= people.more / _CHURN
        if known is not feed or is_due or age >= _RENEWED:
            here = {one.ref: one.signed_in for one in feed.members if one.signed_in is not None}
            everybody = (client_messages.person(ref, one.name, is_admin=one.is_admin) for ref, one in here.items())
            people = People({one["ref"]: one for one in _first(everybody)}, max(0, len(here) - _SHOWN))
            self._own[room] = (feed, feed.comings, time.monotonic(), people)
        return people

    def _with_others(self, room: str, own: People) -> People:
        found: dict[str, dict[str, Any]] = {}
        more = own.more
        for _, rooms in self._others.values():
            theirs = rooms.get(room, _NOBODY)
            found.update(theirs.named)
            more += theirs.more
        return People(found | own.named, more)

    def _tell_workers(self, own: dict[str, People]) -> None:
        said = {room: people.mark for room, people in own.items()}
        if said == self._said and time.monotonic() - self._said_at < _RENEWED:
            return
        self._said, self._said_at = said, time.monotonic()
        facts: dict[str, Any] = {"rooms": {room: list(people.named.values()) for room, people in own.items()}}
        if more := {room: people.more for room, people in own.items() if people.more}:
            facts["more"] = more
        if not self._hub.relay.publish(broadcast_receiver.PRESENCE, facts):
            self.renew()

    def _tell_clients(self, room: str, people: People, now: float) -> None:
        """A full room is told less often, so that a thousand who come at once do not cost a million names."""
        due = self._shown_at.get(room, 0.0) + _PAUSE + people.total / 100
        feed = self._hub.rooms.feeds.get(room)
        if people.mark == self._shown.get(room) or now < due or feed is None:
            return
        self._shown[room], self._shown_at[room] = people.mark, now
        gevent.spawn(feed.tell, "presence", _frame(room, people))


def _first(people: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return nsmallest(_SHOWN, people, key=lambda one: (str(one["name"]).casefold(), one["ref"]))


def _frame(room: str, people: People) -> bytes:
    return client_messages.presence(room, _first(people.named.values()), people.total)
