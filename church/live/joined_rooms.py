"""The chat rooms that clients of this worker have joined, and the regular check for changes the worker missed."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Any

import gevent

from church.live import client_messages
from church.live.connection import Connection
from church.live.room_feed import RoomFeed
from church.services import chat
from church.services.chat import MessageView, RoomView

_CHECK_SECONDS = 5.0  # between reads of the rooms' counters while the store works: a publish may still get lost,
_CHECK_SECONDS_DOWN = 1.0  # and while the store is down
_CROWD = 50  # members in a room, above which typing is not shown: there is always one who types


class JoinedRooms:
    """Room feeds by room name; a feed exists while a client of this worker is in its room.

    ``connections_of`` and ``guarded`` are for the feeds. ``is_heard`` returns whether published changes
    reach this worker.
    """

    def __init__(
        self,
        connections_of: Callable[[str], Collection[Connection]],
        guarded: Callable[..., bool],
        is_heard: Callable[[], bool],
    ) -> None:
        self._connections_of = connections_of
        self._guarded = guarded
        self._is_heard = is_heard
        self._checked_at = 0.0
        self.feeds: dict[str, RoomFeed] = {}

    def join(self, connection: Connection, room: RoomView, after: int | None) -> None:
        """Add a client to a room that its member may enter, and send it what changed after ``after``."""
        feed = self.feeds.get(room.name)
        if feed is None:
            feed = self.feeds[room.name] = RoomFeed(room, self._connections_of, self._guarded)
        elif room.head > feed.last:
            feed.look(room.head)
        if room.name not in connection.rooms:
            connection.rooms += (room.name,)
        try:
            feed.join(connection, room, after)
        finally:
            if connection not in feed.members:
                self.leave(connection, room.name)

    def leave(self, connection: Connection, room: str) -> None:
        """Remove a client from a room; removes an empty feed."""
        connection.rooms = tuple(name for name in connection.rooms if name != room)
        feed = self.feeds.get(room)
        if feed is not None:
            feed.leave(connection)
            if feed.is_empty:
                del self.feeds[room]

    def leave_all(self, connection: Connection) -> None:
        """Remove a client from all of its rooms."""
        for room in connection.rooms:
            self.leave(connection, room)

    def hear(self, view: MessageView) -> None:
        """Pass a published change to its room's feed."""
        feed = self.feeds.get(view.room)
        if feed is not None:
            feed.hear(view)

    def show_typing(self, room: str, person: dict[str, Any]) -> None:
        """Show the others in a room that a member is typing; not in a crowd."""
        feed = self.feeds.get(room)
        if feed is not None and len(feed.members) <= _CROWD:
            frame = client_messages.build_frame("typing", room=room, **{"from": person})
            gevent.spawn(feed.tell, "typing", frame, (str(person["ref"]), None))

    def look_all(self) -> None:
        """Read the database for every room, since any may have missed changes."""
        for feed in self.feeds.values():
            feed.look()

    def look(self) -> None:
        """Compare the rooms' counters with the database, if it is time; one statement for all rooms."""
        pause = _CHECK_SECONDS if self._is_heard() else _CHECK_SECONDS_DOWN
        if not self.feeds or time.monotonic() < self._checked_at + pause:
            return
        self._checked_at = time.monotonic()
        for name, head in chat.list_newest_changes().items():
            feed = self.feeds.get(name)
            if feed is not None and head > feed.last:
                feed.look(head)
