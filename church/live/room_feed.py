"""One room as this worker sees it: every change of it, once and in order, for everybody who is in it here.

What the store publishes is a hint. A change whose number is the next one is passed on as it was heard; anything else
sends the feed to the database, which has all of them. A client that comes back is given what it missed from there, and
what happens meanwhile waits for it, so that nothing is lost or told twice in between.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

import gevent
from gevent.lock import BoundedSemaphore

from church import telemetry
from church.live import client_messages
from church.services import chat
from church.services.chat import MessageView, RoomView

if TYPE_CHECKING:
    from church.live.connection import Connection
    from church.live.hub import Hub

_PAGE = 200  # changes that are read at once for one who was away,
_READERS = 2  # for so many at once: when all come back, what is said now has its turn after each page
_BACKLOG = 256  # changes that wait for one who is still given older ones; beyond them the database is asked again
_MOST = 500  # changes that are read at once for everybody
_BREATH = 100  # clients that are written to before everybody else has a turn
_PATIENCE = 0.01  # seconds for a change that was overtaken by the next one, before the database is asked
_PAUSE = 0.02
_LONGEST_PAUSE = 1.0


class _Change(NamedTuple):
    """A change as it is sent; ``own`` has its author's name for it."""

    number: int
    by: str
    frame: bytes
    own: bytes


class Feed:
    """The clients of one room, and how far they have been told."""

    def __init__(self, hub: Hub, room: RoomView) -> None:
        self._hub = hub
        self._room_id = room.id
        self.name = room.name
        self.access = room.access
        self.last = room.head
        """The change up to which everybody here was told."""
        self.members: set[Connection] = set()
        self.comings = 0
        """How often somebody came or went."""
        self._head = room.head
        """A change that is surely in the database, as are all before it that were not purged."""
        self._turns = BoundedSemaphore(_READERS)
        self._joining: dict[Connection, deque[_Change]] = {}
        self._heard: dict[int, MessageView] = {}
        self._is_stale = self._is_running = False

    @property
    def is_empty(self) -> bool:
        """Whether nobody is here, or about to be."""
        return not self.members and not self._joining

    # -- what happens --------------------------------------------------------------------------------------------------

    def hear(self, view: MessageView) -> None:
        """Somebody says that this is a change of the room; returns at once."""
        if view.changed > self.last:
            self._heard[view.changed] = view
            self._head = max(self._head, view.changed - 1)
            self._go()

    def look(self, head: int = 0) -> None:
        """Ask the database what has changed, to ``head`` at least where that is known; returns at once."""
        self._head = max(self._head, head)
        self._is_stale = True
        self._go()

    def _go(self) -> None:
        if not self._is_running:
            self._is_running = True
            gevent.spawn(self._run)

    def _run(self) -> None:
        try:
            while self._heard or self._is_stale:
                if not self._step():
                    break
        finally:
            self._is_running = False

    def _step(self) -> bool:
        """One change, or one look; whether to go on: where the look failed, another comes with the hub's clock."""
        heard = self._heard.pop(self.last + 1, None)
        if heard is not None:
            self._deliver(heard)
            return True
        if self._heard and not self._is_stale:
            gevent.sleep(_PATIENCE)
            if self.last + 1 in self._heard:
                return True
        return self._hub.guarded(self._read_on)

    def _read_on(self) -> None:
        self._is_stale, head = False, self._head
        try:
            found = chat.since(self._room_id, self.last, _MOST)
        except BaseException:
            self._is_stale = True
            raise
        for view in found:
            self._deliver(view)
        if len(found) < _MOST:
            self.last = max(self.last, head)  # what was said before and purged is not waited for
        else:
            self._is_stale = True
        for number in [number for number in self._heard if number <= self.last]:
            del self._heard[number]

    def _deliver(self, view: MessageView) -> None:
        """Tell everybody; from the first line to the first pause nobody else runs, so that none is missed."""
        change = _Change(
            view.changed, view.from_ref, client_messages.chat(view), client_messages.chat(view, view.client_id)
        )
        self.last = view.changed
        for backlog in self._joining.values():
            backlog.append(change)
        self.tell("chat", change.frame, own=(change.by, change.own))

    def tell(self, kind: str, frame: bytes, own: tuple[str, bytes | None] = ("", None)) -> None:
        """Send one frame to everybody here; ``own`` is whose connections are sent another instead, or none."""
        authors = self.members.intersection(self._hub.by_member.get(own[0], ()))
        others = tuple(self.members - authors) if authors else tuple(self.members)
        reached = sum([connection.send(own[1], kind) for connection in authors]) if own[1] is not None else 0
        for begin in range(0, len(others), _BREATH):
            if begin:
                gevent.sleep(0)
            reached += sum([connection.send(frame, kind) for connection in others[begin : begin + _BREATH]])
        telemetry.track_live_sent(kind, reached)

    # -- who comes and goes --------------------------------------------------------------------------------------------

    def join(self, connection: Connection, room: RoomView, after: int | None) -> None:
        """Tell ``connection`` what changed after ``after``, then that it is here, and from then on all that changes.

        May take a while: a client is given no more than it reads. Raises what the database does.
        """
        self.members.discard(connection)
        backlog = self._joining[connection] = deque(maxlen=_BACKLOG)
        try:
            reached = max(room.head, self.last) if after is None else min(after, max(room.head, self.last))
            while True:
                reached = self._catch_up(connection, reached)
                self._keep_up(connection, reached)
                if len(backlog) < _BACKLOG or backlog[0].number <= reached + 1:
                    break
                backlog.clear()  # it has lost some: they are in the database
        finally:
            if self._joining.get(connection) is backlog:
                del self._joining[connection]
        if not connection.is_open:
            return
        for change in backlog:
            if change.number > reached:
                self._hub.say(connection, "chat", change.own if change.by == connection.ref else change.frame)
        self.members.add(connection)
        self.comings += 1
        joined = client_messages.frame("room_joined", room=self.name, title=room.title, changed=self.last)
        self._hub.say(connection, "room_joined", joined)

    def leave(self, connection: Connection) -> None:
        """Tell ``connection`` nothing more."""
        self.members.discard(connection)
        self.comings += 1

    def _keep_up(self, connection: Connection, reached: int) -> None:
        """Wait until everybody here is told what ``connection`` was given already."""
        pause = _PAUSE
        while self.last < reached and connection.is_open:
            self.look(reached)
            gevent.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _catch_up(self, connection: Connection, after: int) -> int:
        """Send what changed after ``after``, at the client's own pace; the change that it has been told of last."""
        reached = after
        while reached < self.last and connection.is_open:
            with self._turns:
                found = chat.since(self._room_id, reached, _PAGE)
                for view in found:
                    own = view.client_id if view.from_ref == connection.ref else None
                    self._hub.say(connection, "chat", client_messages.chat(view, own))
                    reached = view.changed
                gevent.sleep(0)
            while connection.is_behind and connection.is_open:
                gevent.sleep(_PAUSE)
            if len(found) < _PAGE:
                break
        return reached
