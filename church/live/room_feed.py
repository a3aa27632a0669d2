"""One chat room on this worker: sends every change of it once, in order, to all clients here that joined it.

What the store publishes is only a hint. A change with the next number is passed on as received; after any gap the feed
reads the database, which has every change. A returning client gets what it missed from the database, and changes that
happen meanwhile are queued for it, so that nothing is lost or sent twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from typing import NamedTuple

import gevent
from gevent.lock import BoundedSemaphore

from church import telemetry
from church.live import client_messages
from church.live.connection import Connection
from church.services import chat
from church.services.chat import MessageView, RoomView

_PAGE = 200  # changes in one read for a returning client,
_READERS = 2  # and clients that read at once: new messages get their turn after each page
_BACKLOG = 256  # changes queued for a client that is still catching up; if there are more, it reads the database again
_MOST = 500  # changes in one read for everyone
_BATCH = 100  # clients that are written to before other greenlets run
_PATIENCE = 0.01  # seconds to wait for a change that the next one has overtaken, before reading the database
_PAUSE = 0.02
_LONGEST_PAUSE = 1.0


class _Change(NamedTuple):
    """A change as it is sent; ``own`` is the author's version, with the client_id."""

    number: int
    by: str
    frame: bytes
    own: bytes


class RoomFeed:
    """The clients of one room, and the last change they were sent.

    ``connections_of`` returns a member's connections on this worker, by the account's ref. ``guarded`` runs a function
    in the app's context, logs what it raises, and returns whether it succeeded.
    """

    def __init__(
        self,
        room: RoomView,
        connections_of: Callable[[str], Collection[Connection]],
        guarded: Callable[..., bool],
    ) -> None:
        self._connections_of = connections_of
        self._guarded = guarded
        self._room_id = room.id
        self.name = room.name
        self.access = room.access
        self.last = room.head
        """The last change that was sent to everyone here."""
        self.members: set[Connection] = set()
        self.comings = 0
        """Number of joins and leaves so far; shows whether the members have changed."""
        self._head = room.head
        """A change that is certainly in the database, like all earlier ones that were not purged."""
        self._turns = BoundedSemaphore(_READERS)
        self._joining: dict[Connection, deque[_Change]] = {}
        self._heard: dict[int, MessageView] = {}
        self._is_stale = self._is_running = False

    @property
    def is_empty(self) -> bool:
        """Whether no client is here or joining."""
        return not self.members and not self._joining

    # -- changes -------------------------------------------------------------------------------------------------------

    def hear(self, view: MessageView) -> None:
        """Take a published change; returns at once."""
        if view.changed > self.last:
            self._heard[view.changed] = view
            self._head = max(self._head, view.changed - 1)
            self._start()

    def look(self, head: int = 0) -> None:
        """Read the database for changes, up to ``head`` at least where that is given; returns at once."""
        self._head = max(self._head, head)
        self._is_stale = True
        self._start()

    def _start(self) -> None:
        if not self._is_running:
            self._is_running = True
            gevent.spawn(self._run)

    @telemetry.charge_live
    def _run(self) -> None:
        try:
            while self._heard or self._is_stale:
                if not self._step():
                    break
        finally:
            self._is_running = False

    def _step(self) -> bool:
        """Pass on one change, or read the database once; False if that failed. The hub's timer then tries again."""
        heard = self._heard.pop(self.last + 1, None)
        if heard is not None:
            self._deliver(heard)
            return True
        if self._heard and not self._is_stale:
            gevent.sleep(_PATIENCE)
            if self.last + 1 in self._heard:
                return True
        return self._guarded(self._read_on)

    def _read_on(self) -> None:
        self._is_stale, head = False, self._head
        try:
            changes = chat.list_changes(self._room_id, self.last, _MOST)
        except BaseException:
            self._is_stale = True
            raise
        for view in changes:
            self._deliver(view)
        if len(changes) < _MOST:
            self.last = max(self.last, head)  # earlier changes that are missing were purged: do not wait for them
        else:
            self._is_stale = True
        for number in [number for number in self._heard if number <= self.last]:
            del self._heard[number]

    def _deliver(self, view: MessageView) -> None:
        """Send a change to everyone.

        No other greenlet runs between the first line and the first pause in ``tell``, so that no joining client
        misses it.
        """
        change = _Change(
            view.changed,
            view.from_ref,
            client_messages.chat_frame(view),
            client_messages.chat_frame(view, view.client_id),
        )
        self.last = view.changed
        for backlog in self._joining.values():
            backlog.append(change)
        self.tell("chat", change.frame, own=(change.by, change.own))

    @telemetry.charge_live
    def tell(self, kind: str, frame: bytes, own: tuple[str, bytes | None] = ("", None)) -> None:
        """Send one frame to everyone here, but to the account ``own[0]`` the frame ``own[1]``, or nothing if None."""
        authors = self.members.intersection(self._connections_of(own[0]))
        others = tuple(self.members - authors) if authors else tuple(self.members)
        reached = sum([connection.send(own[1], kind) for connection in authors]) if own[1] is not None else 0
        for begin in range(0, len(others), _BATCH):
            if begin:
                gevent.sleep(0)
            reached += sum([connection.send(frame, kind) for connection in others[begin : begin + _BATCH]])
        telemetry.track_live_sent(kind, reached)

    # -- joining and leaving -------------------------------------------------------------------------------------------

    def join(self, connection: Connection, room: RoomView, after: int | None) -> None:
        """Send what changed after ``after``, then ``room_joined``, and from then on every change.

        Takes as long as the client needs to read it all. Raises what the database raises.
        """
        self.members.discard(connection)
        backlog = self._joining[connection] = deque(maxlen=_BACKLOG)
        try:
            reached = max(room.head, self.last) if after is None else min(after, max(room.head, self.last))
            while True:
                reached = self._catch_up(connection, reached)
                self._wait_for_feed(connection, reached)
                if len(backlog) < _BACKLOG or backlog[0].number <= reached + 1:
                    break
                backlog.clear()  # it was full and lost some changes; they are in the database
        finally:
            if self._joining.get(connection) is backlog:
                del self._joining[connection]
        if not connection.is_open:
            return
        for change in backlog:
            if change.number > reached:
                connection.send_message("chat", change.own if change.by == connection.ref else change.frame)
        self.members.add(connection)
        self.comings += 1
        joined = client_messages.build_frame("room_joined", room=self.name, title=room.title, changed=self.last)
        connection.send_message("room_joined", joined)

    def leave(self, connection: Connection) -> None:
        """Stop sending this room's changes to ``connection``."""
        self.members.discard(connection)
        self.comings += 1

    def _wait_for_feed(self, connection: Connection, reached: int) -> None:
        """Wait until everyone here was sent what ``connection`` has got already."""
        pause = _PAUSE
        while self.last < reached and connection.is_open:
            self.look(reached)
            gevent.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _catch_up(self, connection: Connection, after: int) -> int:
        """Send what changed after ``after``, no faster than the client reads; the number of the last change sent."""
        reached = after
        while reached < self.last and connection.is_open:
            with self._turns:
                changes = chat.list_changes(self._room_id, reached, _PAGE)
                for view in changes:
                    own = view.client_id if view.from_ref == connection.ref else None
                    connection.send_message("chat", client_messages.chat_frame(view, own))
                    reached = view.changed
                gevent.sleep(0)
            while connection.is_behind and connection.is_open:
                gevent.sleep(_PAUSE)
            if len(changes) < _PAGE:
                break
        return reached
