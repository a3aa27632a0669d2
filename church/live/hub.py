"""All live connections of this worker: takes them over from their requests, counts, limits and closes them.

The hub makes the other parts of this package and connects them; they do not import it.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Collection
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import gevent
from flask import current_app
from gevent.event import Event

from church import telemetry
from church.errors import UnavailableError
from church.lib.per_process import PerProcess
from church.live import client_messages, websocket_frames
from church.live.broadcast_receiver import PRESENCE, TYPING, BroadcastReceiver
from church.live.connection import Connection
from church.live.connection_limits import ConnectionLimits
from church.live.heartbeat import Deadlines, PingWheel
from church.live.joined_rooms import JoinedRooms
from church.live.member_limits import MemberLimits
from church.live.message_handlers import MessageHandlers
from church.live.presence import Presence
from church.live.session_watch import SessionWatch
from church.services import chat, live_broadcast
from church.web.rate_limits import keys_of

if TYPE_CHECKING:
    from flask import Flask

    from church.config import Settings
    from church.services.live_broadcast import Notice
    from church.services.sessions import SignedIn

_EXTENSION = "church_sockets"
_AUTH_SECONDS = 10.0  # for a client to authenticate
_LINGER_SECONDS = 1.0  # for a client to answer our close frame
_GOODBYE_SECONDS = 3.0  # for a stopping worker to close all connections
_hubs: WeakSet[Hub] = WeakSet()  # those of this process that have started

log = logging.getLogger("church.live")


class Hub:
    """The connections of one app in one process; starts its greenlets with the first connection."""

    def __init__(self, app: Flask) -> None:
        settings: Settings = app.config["CHURCH"]
        self.app = app
        self.queue = settings.live_queue
        self.connections: set[Connection] = set()
        self.by_member: dict[str, set[Connection]] = {}
        self._most = settings.live_connections
        self._most_of_member = settings.live_per_member
        self._most_of_address = settings.live_per_address
        self._reserved = 0
        self._wheel = PingWheel(settings.live_ping)
        self.patience = 2 * settings.live_ping
        self._lingering: set[Connection] = set()
        self._auth_deadlines = Deadlines(_AUTH_SECONDS, self._on_auth_late)
        self._close_deadlines = Deadlines(_LINGER_SECONDS, self._on_close_late)
        self._tasks: list[gevent.Greenlet[..., Any]] = []
        self._closing = False
        self._occupied = Event()  # while there are connections, or something of them is left; else no timer runs
        self._make_parts(app, settings)

    def _make_parts(self, app: Flask, settings: Settings) -> None:
        self.relay = BroadcastReceiver(app)
        self.limits = ConnectionLimits(app, self.relay.worker)
        self._member_limits = MemberLimits(settings.live_per_member)
        self.rooms = JoinedRooms(self.connections_of, self.guarded, lambda: self.relay.is_heard)
        self.presence = Presence(self.relay, self.rooms)
        mark = settings.instance / "sign-ins.mark"
        self.session_watch = SessionWatch(
            mark, self.connections, self.connections_of, self.rooms.feeds, self.guarded, self._occupied.wait
        )
        self._handlers = MessageHandlers(
            self.admit, self._member_limits, self.rooms, self.presence, self.relay, self.guarded
        )
        receivers = {
            PRESENCE: self.presence.hear,
            TYPING: self._on_typing,
            chat.CONTROL_CHANNEL: self.session_watch.hear,
            live_broadcast.NOTICE_CHANNEL: self._on_notice,
        }
        self.relay.connect(receivers, self.rooms.hear, self._on_subscribed)

    # -- opening -------------------------------------------------------------------------------------------------------

    def reserve(self, address: str) -> str | None:
        """Reserve a place for a connection from ``address``; None if there is one, else the outcome to count.

        After None, call ``adopt`` or ``release``.
        """
        if self._closing or len(self.connections) + self._reserved >= self._most:
            return "refused_full"
        self._reserved += 1
        if not self._take_place(address):
            self._reserved -= 1
            return "refused_address"
        return None

    def release(self, address: str) -> None:
        """Give up a reserved place: the handshake failed."""
        self._reserved -= 1
        self._give_back_place(address)

    def _take_place(self, address: str) -> bool:
        """Count a connection for the networks of its address; False, and not counted, if one of them has too many."""
        taken: list[str] = []
        for network, factor in keys_of(address):
            if not self.limits.take(_address_key(network), self._most_of_address * factor):
                for other in taken:
                    self.limits.give_back(_address_key(other))
                return False
            taken.append(network)
        return True

    def _give_back_place(self, address: str) -> None:
        for network, _ in keys_of(address):
            self.limits.give_back(_address_key(network))

    def adopt(
        self, fd: int, address: str, early: bytes, handshake: telemetry.Handshake, cookie: tuple[str, str] | None
    ) -> None:
        """Serve the client behind ``fd``, which the hub owns from now on, in its reserved place.

        ``early`` is what the client has sent already. Raises OSError, and keeps the place reserved, if the client is
        gone.
        """
        if not self._closing:
            self._start()
        connection = Connection(self, fd, address, handshake, cookie)
        self.connections.add(connection)
        self._occupied.set()
        self._reserved -= 1
        self._wheel.add(connection)
        self._auth_deadlines.add(connection)
        telemetry.track_live_opened("accepted")
        telemetry.track_live_active(len(self.connections))
        connection.send_message("welcome", client_messages.WELCOME)
        if self._closing:  # the handshake was under way while the worker closed the others
            connection.close(websocket_frames.GOING_AWAY, "server is restarting", "shutdown")
            connection.drop("late")
            return
        connection.begin(early)

    def _start(self) -> None:
        if self._tasks:
            return
        _hubs.add(self)
        self.relay.listen_here()
        tasks = (self._run_timers, self.relay.run, self.session_watch.run, self.limits.run, self._run_updates)
        self._tasks = [gevent.spawn(_restart_on_error, task) for task in tasks]

    def admit(self, connection: Connection, signed_in: SignedIn) -> bool:
        """Register a connection under its member; False if the member has too many, counted over all workers."""
        ref = signed_in.ref
        if connection not in self.by_member.get(ref, ()):
            if not self.limits.take(_member_key(ref), self._most_of_member):
                return False
            if not connection.is_open:  # it closed while the store was asked, and would never be uncounted
                self.limits.give_back(_member_key(ref))
                return True
            self.by_member.setdefault(ref, set()).add(connection)
        connection.signed_in = signed_in
        return True

    def connections_of(self, ref: str) -> Collection[Connection]:
        """A member's connections on this worker, by the account's ref."""
        return self.by_member.get(ref, ())

    # -- reported by connections ---------------------------------------------------------------------------------------

    def on_text(self, connection: Connection, text: str) -> None:
        """Queue one text message of a client for its handler."""
        self._handlers.hear(connection, text)

    def spend(self, connection: Connection, cost: float) -> bool:
        """Take ``cost`` from the budget of the connection's member; before it has one, its own budget is enough."""
        return not connection.ref or self._member_limits.spend(connection.ref, cost)

    def sent(self, kind: str) -> None:
        """Count a frame that had to wait and is now sent."""
        if kind:
            telemetry.track_live_sent(kind, 1)

    def dropped(self, count: int) -> None:
        """Count messages that a slow client never receives."""
        if count:
            telemetry.track_live_dropped(count)

    def ended(self, connection: Connection, code: int, outcome: str) -> None:
        """Unregister a closing connection; its socket lingers up to 1 s for the client's answer."""
        self.connections.discard(connection)
        self._wheel.remove(connection)
        self._give_back_place(connection.address)
        if connection in (own := self.by_member.get(connection.ref, set())):
            self.limits.give_back(_member_key(connection.ref))
            own.discard(connection)
            if not own:
                del self.by_member[connection.ref]
        self.rooms.leave_all(connection)
        self._lingering.add(connection)
        self._close_deadlines.add(connection)
        telemetry.track_live_active(len(self.connections))
        telemetry.track_live_closed(
            connection.handshake, connection.ref, code, outcome, time.monotonic() - connection.since
        )

    def gone(self, connection: Connection) -> None:
        """Forget a connection whose socket is closed."""
        self._lingering.discard(connection)

    # -- received from the workers -------------------------------------------------------------------------------------

    def _on_subscribed(self) -> None:
        self.rooms.look_all()
        self.presence.renew()

    def _on_typing(self, line: str) -> None:
        facts = json.loads(line)
        if facts["worker"] != self.relay.worker:
            self.rooms.show_typing(str(facts["room"]), dict(facts["from"]))

    def _on_notice(self, line: str) -> None:
        gevent.spawn(self._send_notice, live_broadcast.decode_notice(line))

    @telemetry.charge_live
    def _send_notice(self, notice: Notice) -> None:
        frame = client_messages.build_frame(
            "notification", kind=notice.kind, title=notice.title, url=notice.url or None, at=notice.at.isoformat()
        )
        reached = 0
        for number, connection in enumerate(tuple(self.connections), 1):
            if connection.signed_in is not None and notice.is_for(connection.signed_in):
                reached += connection.send(frame, "notification")
            if not number % 100:
                gevent.sleep(0)
        telemetry.track_live_sent("notification", reached)

    # -- closing -------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close all connections with 1001 and let go of their sockets within a few seconds."""
        if self._closing:
            return
        self._closing = True
        for number, connection in enumerate(tuple(self.connections), 1):
            connection.close(websocket_frames.GOING_AWAY, "server is restarting", "shutdown")
            if not number % 100:
                gevent.sleep(0)
        with gevent.Timeout(_GOODBYE_SECONDS, False):  # type: ignore[arg-type]  # False: ends quietly
            while self._lingering:
                self._close_deadlines.tick()
                gevent.sleep(0.02)
        gevent.killall(self._tasks)
        self._tasks = []
        with self.app.app_context():
            self.presence.farewell()
        self.limits.farewell()
        for connection in tuple(self._lingering):
            connection.drop("late")

    def close_blocked(self, refuses: Callable[[str], bool]) -> list[str]:
        """Close the connections of addresses that are refused; returns these, one for each connection."""
        closed = []
        for number, connection in enumerate(tuple(self.connections), 1):
            if refuses(connection.address):
                connection.close(websocket_frames.POLICY, "blocked", "blocked")
                closed.append(connection.address)
            if not number % 100:
                gevent.sleep(0)
        return closed

    def _on_auth_late(self, connection: Connection) -> None:
        if connection.is_open and connection.signed_in is None:
            telemetry.track_auth_attempt("websocket", "failed_validation", reason="silent")
            connection.close(websocket_frames.UNAUTHENTICATED, "send auth first", "unauthenticated")

    def _on_close_late(self, connection: Connection) -> None:
        if connection in self._lingering:
            connection.drop("late")

    # -- background tasks ----------------------------------------------------------------------------------------------

    def _run_timers(self) -> None:
        """Ping and enforce deadlines, for ever; the wheel turns a fiftieth of the ping interval at a time."""
        turned = time.monotonic()
        while True:
            if not self._occupied.is_set():
                self._occupied.wait()
                turned = time.monotonic()
            gevent.sleep(min(self._wheel.pause, 0.25))
            self._auth_deadlines.tick()
            self._close_deadlines.tick()
            self._member_limits.tick()
            while turned + self._wheel.pause <= time.monotonic():
                turned += self._wheel.pause
                self._wheel.tick()

    def _run_updates(self) -> None:
        """Every half second, for ever: publish the beat, look for missed changes, update who is in the rooms."""
        while True:
            self._occupied.wait()
            gevent.sleep(0.5)
            if self.connections or self.presence.has_published_members:
                self.guarded(self.relay.beat)
                self.guarded(self.rooms.look)
                self.guarded(self.presence.turn)
            elif not self._lingering:
                self._occupied.clear()

    def guarded(self, work: Callable[..., None], *args: Any) -> bool:
        """Run ``work`` in the app's context; log what it raises, and return whether it succeeded."""
        try:
            with self.app.app_context():
                work(*args)
        except UnavailableError as error:
            log.warning("live task postponed", extra={"event": "live.waits", "reason": type(error).__name__})
        except Exception:
            log.exception("live task failed", extra={"event": "live.failed", "work": work.__qualname__})
        else:
            return True
        return False


def _address_key(network: str) -> str:
    return f"address:{network}"


def _member_key(ref: str) -> str:
    return f"member:{ref}"


@telemetry.charge_live
def _restart_on_error(task: Callable[[], None]) -> None:
    """Run an endless task; if it fails, log the error and start it again after a second."""
    while True:
        try:
            return task()
        except Exception:
            log.exception("live task failed", extra={"event": "live.failed", "work": task.__qualname__})
        gevent.sleep(1)


def init_app(app: Flask) -> None:
    """Give ``app`` a hub in each process; no greenlet starts before the first connection."""
    app.extensions[_EXTENSION] = PerProcess(partial(Hub, app))


def hub_of(app: Flask | None = None) -> Hub:
    """Return this worker's hub of an app, by default the current one."""
    owner: Flask = app or current_app._get_current_object()  # type: ignore[attr-defined]
    hub: PerProcess[Hub] = owner.extensions[_EXTENSION]
    return hub()


def close_all() -> None:
    """Close all live connections of this process; a stopping worker calls this."""
    for hub in tuple(_hubs):
        hub.close()


def close_blocked(refuses: Callable[[str], bool]) -> list[str]:
    """Close the live connections of this process whose addresses are refused; returns these addresses."""
    return [address for hub in tuple(_hubs) for address in hub.close_blocked(refuses)]
