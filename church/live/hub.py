"""All live connections of this worker: taken over from the requests that opened them, counted, limited, ended."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import gevent
from flask import current_app

from church import telemetry
from church.errors import UnavailableError
from church.live import client_messages, websocket_frames
from church.live.broadcast_receiver import Relay
from church.live.connection import Connection
from church.live.connection_limits import Shares
from church.live.heartbeat import Deadlines, Wheel
from church.live.joined_rooms import Rooms
from church.live.message_handlers import Talk
from church.live.presence import Presence
from church.live.session_watch import Standing

if TYPE_CHECKING:
    from flask import Flask

    from church.config import Settings
    from church.services.sessions import SignedIn

_EXTENSION = "church_sockets"
_AUTH_SECONDS = 10.0  # until a client has said who it is
_LINGER_SECONDS = 1.0  # until a client that was told the end has answered
_GOODBYE_SECONDS = 3.0  # until a worker that ends has told all of them
_CROWD = 50
_hubs: WeakSet[Hub] = WeakSet()  # those of this process that have begun

log = logging.getLogger("church.live")


class Hub:
    """The connections of one app in one process; begins its greenlets with the first of them."""

    def __init__(self, app: Flask) -> None:
        settings: Settings = app.config["CHURCH"]
        self.app = app
        self.queue = settings.live_queue
        self.connections: set[Connection] = set()
        self.by_member: dict[str, set[Connection]] = {}
        self._most = settings.live_connections
        self._most_of_member = settings.live_per_member
        self._most_of_address = settings.live_per_address
        self._expected = 0
        self._wheel = Wheel(settings.live_ping)
        self._lingering: set[Connection] = set()
        self._silent = Deadlines(_AUTH_SECONDS, self._on_silent)
        self._late = Deadlines(_LINGER_SECONDS, self._on_late)
        self._tasks: list[gevent.Greenlet[..., Any]] = []
        self._closing = False
        self.relay = Relay(app, self)
        self.shares = Shares(app, self.relay.worker)
        self.rooms = Rooms(self)
        self.presence = Presence(self)
        self._talk = Talk(self)
        self.standing = Standing(self)

    # -- in ------------------------------------------------------------------------------------------------------------

    def expect(self, address: str) -> str | None:
        """Keep a place for a connection from ``address``; why there is none, as an outcome, and None if there is.

        Whoever was given one calls ``adopt`` or ``give_up``.
        """
        if self._closing or len(self.connections) + self._expected >= self._most:
            return "refused_full"
        self._expected += 1
        if not self.shares.take(_address(address), self._most_of_address):
            self._expected -= 1
            return "refused_address"
        return None

    def give_up(self, address: str) -> None:
        """Nobody came after all."""
        self._expected -= 1
        self.shares.give_back(_address(address))

    def adopt(
        self, fd: int, address: str, early: bytes, handshake: telemetry.Handshake, cookie: tuple[str, str] | None
    ) -> None:
        """Serve the client behind ``fd``, which is the hub's from now on; ``early`` is what it has already sent.

        It takes the place that was kept by ``expect``. Raises OSError where the client is gone, and takes none.
        """
        if not self._closing:
            self._begin()
        connection = Connection(self, fd, address, handshake, cookie)
        self.connections.add(connection)
        self._expected -= 1
        self._wheel.add(connection)
        self._silent.add(connection)
        telemetry.track_live_opened("accepted")
        telemetry.track_live_active(len(self.connections))
        self.say(connection, "welcome", client_messages.WELCOME)
        if self._closing:  # it shook hands while the others were told
            connection.close(websocket_frames.GOING_AWAY, "come back in a moment", "shutdown")
            connection.drop("late")
            return
        connection.begin(early)

    def _begin(self) -> None:
        if self._tasks:
            return
        _hubs.add(self)
        self.relay.listen_here()
        tasks = (self._tick, self.relay.run, self.standing.run, self.shares.run, self._gossip)
        self._tasks = [gevent.spawn(_kept_up, task) for task in tasks]

    def on_text(self, connection: Connection, text: str) -> None:
        """A client said something: it is answered in a greenlet, one thing after the other."""
        self._talk.hear(connection, text)

    # -- who -----------------------------------------------------------------------------------------------------------

    def admit(self, connection: Connection, signed_in: SignedIn) -> bool:
        """Know a connection by its member; False where the member has as many as are allowed, on all workers."""
        ref = signed_in.ref
        if connection not in self.by_member.get(ref, ()):
            if not self.shares.take(_member(ref), self._most_of_member):
                return False
            if not connection.is_open:  # it went while we asked: nobody would take it off the count again
                self.shares.give_back(_member(ref))
                return True
            self.by_member.setdefault(ref, set()).add(connection)
        connection.signed_in = signed_in
        return True

    # -- out -----------------------------------------------------------------------------------------------------------

    def say(self, connection: Connection, kind: str, frame: bytes) -> None:
        """Send one frame to one client."""
        telemetry.track_live_sent(kind, int(connection.send(frame, kind)))

    def tell_all(self, kind: str, frame: bytes, is_for: Callable[[SignedIn], bool]) -> None:
        """Send one frame to whoever is signed in and fits."""
        reached = 0
        for number, connection in enumerate(tuple(self.connections), 1):
            if connection.signed_in is not None and is_for(connection.signed_in):
                reached += connection.send(frame, kind)
            if not number % 100:
                gevent.sleep(0)
        telemetry.track_live_sent(kind, reached)

    def typing(self, room: str, person: dict[str, Any]) -> None:
        """Tell a room that somebody writes, but for themselves; not a crowd, in which somebody always does."""
        feed = self.rooms.feeds.get(room)
        if feed is not None and len(feed.members) <= _CROWD:
            frame = client_messages.frame("typing", room=room, **{"from": person})
            gevent.spawn(feed.tell, "typing", frame, (str(person["ref"]), None))

    def sent(self, kind: str) -> None:
        """A frame that had to wait is on its way."""
        if kind:
            telemetry.track_live_sent(kind, 1)

    def dropped(self, count: int) -> None:
        """So many frames never reach a client that reads too slowly."""
        if count:
            telemetry.track_live_dropped(count)

    # -- the end -------------------------------------------------------------------------------------------------------

    def ended(self, connection: Connection, code: int, outcome: str) -> None:
        """Nothing more is said to a connection, nor heard of it; its socket may live for another second."""
        self.connections.discard(connection)
        self._wheel.remove(connection)
        self.shares.give_back(_address(connection.address))
        if connection in (own := self.by_member.get(connection.ref, set())):
            self.shares.give_back(_member(connection.ref))
            own.discard(connection)
            if not own:
                del self.by_member[connection.ref]
        self.rooms.leave_all(connection)
        self._lingering.add(connection)
        self._late.add(connection)
        telemetry.track_live_active(len(self.connections))
        telemetry.track_live_closed(
            connection.handshake, connection.ref, code, outcome, time.monotonic() - connection.since
        )

    def gone(self, connection: Connection) -> None:
        """Its socket is closed."""
        self._lingering.discard(connection)

    def _on_silent(self, connection: Connection) -> None:
        if connection.is_open and connection.signed_in is None:
            telemetry.track_auth_attempt("websocket", "failed_validation", reason="silent")
            connection.close(websocket_frames.UNAUTHENTICATED, "say who you are first", "unauthenticated")

    def _on_late(self, connection: Connection) -> None:
        if connection in self._lingering:
            connection.drop("late")

    def close(self) -> None:
        """Tell every client that this worker goes away, and let go of all sockets within a few seconds."""
        if self._closing:
            return
        self._closing = True
        for number, connection in enumerate(tuple(self.connections), 1):
            connection.close(websocket_frames.GOING_AWAY, "come back in a moment", "shutdown")
            if not number % 100:
                gevent.sleep(0)
        with gevent.Timeout(_GOODBYE_SECONDS, False):  # type: ignore[arg-type]  # False: ends quietly
            while self._lingering:
                self._late.tick()
                gevent.sleep(0.02)
        gevent.killall(self._tasks)
        self._tasks = []
        self.presence.farewell()
        self.shares.farewell()
        for connection in tuple(self._lingering):
            connection.drop("late")

    # -- the clock -----------------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        """Ping, and end what has waited for too long; the pause is a fiftieth of the ping's, and at most a second."""
        turned = time.monotonic()
        while True:
            gevent.sleep(min(self._wheel.pause, 0.25))
            self._silent.tick()
            self._late.tick()
            while turned + self._wheel.pause <= time.monotonic():
                turned += self._wheel.pause
                self._wheel.tick()

    def _gossip(self) -> None:
        """Send and renew what changes without anybody's asking: who is where, and rooms that nobody tells us of."""
        while True:
            gevent.sleep(0.5)
            if self.connections or self.presence.has_said_somebody:
                self.guarded(self.relay.beat)
                self.guarded(self.rooms.look)
                self.guarded(self.presence.turn)

    def guarded(self, work: Callable[..., None], *args: Any) -> bool:
        """Do ``work`` in the app's context; whether it was done. What it raises is written down, no more."""
        try:
            with self.app.app_context():
                work(*args)
        except UnavailableError as error:
            log.warning("live work waits", extra={"event": "live.waits", "reason": type(error).__name__})
        except Exception:
            log.exception("live work failed", extra={"event": "live.failed", "work": work.__qualname__})
        else:
            return True
        return False


def _address(address: str) -> str:
    return f"address:{address}"


def _member(ref: str) -> str:
    return f"member:{ref}"


def _kept_up(task: Callable[[], None]) -> None:
    """Do what never ends; should it break, that is written down, and it begins anew."""
    while True:
        try:
            return task()
        except Exception:
            log.exception("live work failed", extra={"event": "live.failed", "work": task.__qualname__})
        gevent.sleep(1)


def init_app(app: Flask) -> None:
    """Give ``app`` its hub; nothing begins before the first connection."""
    app.extensions[_EXTENSION] = Hub(app)


def hub_of(app: Flask | None = None) -> Hub:
    """The hub of an app, the current one unless said."""
    found: Hub = (app or current_app).extensions[_EXTENSION]
    return found


def close_all() -> None:
    """End the connections of this process with 1001: a worker that goes away calls this."""
    for hub in tuple(_hubs):
        hub.close()
