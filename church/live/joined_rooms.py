"""The rooms in which clients of this worker are, and how the worker notices what it was not told."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from church.live.room_feed import Feed
from church.services import chat
from church.services.chat import MessageView, RoomView

if TYPE_CHECKING:
    from church.live.connection import Connection
    from church.live.hub import Hub

_LOOK_DEAF = 1.0  # seconds between looks at the rooms' counts while the store can't be heard,
_LOOK = 5.0  # and while it can: a message may have been said without it


class Rooms:
    """Feeds by the names of their rooms; one exists as long as somebody is there."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._looked = 0.0
        self.feeds: dict[str, Feed] = {}

    def join(self, connection: Connection, room: RoomView, after: int | None) -> None:
        """See ``Feed.join``; ``room`` is one that the member may enter."""
        feed = self.feeds.get(room.name)
        if feed is None:
            feed = self.feeds[room.name] = Feed(self._hub, room)
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
        """Tell the client nothing more of a room."""
        connection.rooms = tuple(name for name in connection.rooms if name != room)
        feed = self.feeds.get(room)
        if feed is not None:
            feed.leave(connection)
            if feed.is_empty:
                del self.feeds[room]

    def leave_all(self, connection: Connection) -> None:
        """The client is gone."""
        for room in connection.rooms:
            self.leave(connection, room)

    def hear(self, view: MessageView) -> None:
        """A change of a room, as it was published."""
        feed = self.feeds.get(view.room)
        if feed is not None:
            feed.hear(view)

    def look_all(self) -> None:
        """Something may have been missed in any room."""
        for feed in self.feeds.values():
            feed.look()

    def look(self) -> None:
        """Now and then, and often while the store can't be heard: ask for the rooms' counts, all in one statement."""
        pause = _LOOK if self._hub.relay.is_heard else _LOOK_DEAF
        if not self.feeds or time.monotonic() < self._looked + pause:
            return
        self._looked = time.monotonic()
        for name, head in chat.heads().items():
            feed = self.feeds.get(name)
            if feed is not None and head > feed.last:
                feed.look(head)
