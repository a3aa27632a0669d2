"""One client's socket: reads frames, sends frames, queues what the kernel does not take yet, and closes.

All of this runs in gevent's hub, or in the greenlet that sends. Nothing here blocks.
"""

from __future__ import annotations

import socket
import sys
import time
from _socket import socket as RawSocket  # noqa: N812 - gevent's own holds a hub, watchers and a dict: 2 KiB
from collections import deque
from typing import TYPE_CHECKING, Any, Final, Protocol

import gevent

from church import telemetry
from church.live import websocket_frames
from church.live.frame_budget import FrameBudget
from church.live.pending_writes import PendingWrites, QueueFullError
from church.live.websocket_frames import FrameError, FrameReader

if TYPE_CHECKING:
    from church.services.sessions import SignedIn
    from church.telemetry import Handshake

_READ, _WRITE = 1, 2
_BUFFER: Final = bytearray(65_536)  # shared by all connections: each read is copied out before anything else can run
_VIEW: Final = memoryview(_BUFFER)
_SEND_BUFFER = 65_536  # bytes; the kernel doubles it for one client. Its default grows to megabytes
_MAX_INBOX = 32  # unanswered messages of one client, before reading pauses
_RATE = 40.0  # messages and control frames a second that one client may send on average,
_BURST = 200.0  # and at once; each fragment costs a hundredth of one


class ConnectionOwner(Protocol):
    """What a connection reports to. The hub is one; tests use a stub."""

    queue: int
    """Frames that may wait for one slow client."""
    patience: float
    """Seconds after which a client that has sent nothing is gone."""

    def on_text(self, connection: Connection, text: str) -> None:
        """Handle one text message of the client; must return at once."""

    def spend(self, connection: Connection, cost: float) -> bool:
        """Take ``cost`` from the budget of the connection's member; False if it is used up."""

    def sent(self, kind: str) -> None:
        """Count a frame that had to wait and is now sent."""

    def dropped(self, count: int) -> None:
        """Count messages that a slow client never receives."""

    def ended(self, connection: Connection, code: int, outcome: str) -> None:
        """Unregister a connection that is closing; its socket may linger."""

    def gone(self, connection: Connection) -> None:
        """Forget a connection whose socket is closed."""


class Connection:
    """One client. ``signed_in`` is None until the client has authenticated."""

    __slots__ = (
        "_budget",
        "_ended",
        "_outbox",
        "_owner",
        "_reader",
        "_sock",
        "_watcher",
        "address",
        "cookie",
        "handshake",
        "heard",
        "inbox",
        "rooms",
        "signed_in",
        "since",
        "spoke",
        "typed_at",
        "until",
    )

    def __init__(
        self, owner: ConnectionOwner, fd: int, address: str, handshake: Handshake, cookie: tuple[str, str] | None
    ) -> None:
        self._owner = owner
        self._sock = RawSocket(fileno=fd)
        self._sock.setblocking(False)
        if self._sock.family != socket.AF_UNIX:
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if sys.platform == "linux":  # else the kernel sends what is left to a lost client for a quarter of an hour
                self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(owner.patience * 1000))
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        self._reader = FrameReader()
        self._outbox: PendingWrites | None = None
        self._ended = False
        self._budget = FrameBudget(_RATE, _BURST)
        self._watcher: Any = gevent.get_hub().loop.io(fd, _READ)
        self.address = address
        """The client's address, or its IPv6 network, as the rate limits count it."""
        self.handshake = handshake
        self.since = time.monotonic()
        self.signed_in: SignedIn | None = None
        self.until: float | None = None
        """Unix time at which the client's access token expires; None for a sign-in by cookie."""
        self.cookie = cookie
        """Session ref and account ref of the cookie that came with the handshake."""
        self.rooms: tuple[str, ...] = ()
        self.inbox: deque[str] | None = None
        self.heard = True
        self.spoke = 0
        self.typed_at = 0.0

    def __repr__(self) -> str:
        return f"<Connection {self.handshake.request_id}>"

    @property
    def is_open(self) -> bool:
        """Whether the connection has not begun to close."""
        return not self._ended

    @property
    def ref(self) -> str:
        """The account's ref; empty before the client has authenticated."""
        return self.signed_in.ref if self.signed_in is not None else ""

    def begin(self, early: bytes) -> None:
        """Start reading; ``early`` is what came with the handshake. Does nothing if the socket is closed already."""
        if not self._has_socket:
            return
        self._watcher.start(self._on_readable)
        if early:
            self._take(early)

    # -- sending -------------------------------------------------------------------------------------------------------

    def send_message(self, kind: str, frame: bytes) -> None:
        """Send one message and count it by its ``kind``."""
        telemetry.track_live_sent(kind, int(self.send(frame, kind)))

    def send(self, frame: bytes, kind: str = "") -> bool:
        """Send a frame, or queue what the kernel does not take; True if all of it was sent at once.

        A queued message is counted by its ``kind`` later, as sent or as dropped. Control frames have no kind.
        """
        if self._outbox is not None or self._ended:
            self._queue(frame, kind)
            return False
        try:
            sent = self._sock.send(frame)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.drop("lost")
            return False
        if sent < len(frame):
            self._wait_with(frame[sent:], kind)
            return False
        return True

    def _wait_with(self, rest: bytes, kind: str) -> None:
        watcher = gevent.get_hub().loop.io(self._sock.fileno(), _WRITE)
        self._outbox = PendingWrites(rest, kind, watcher, self._on_writable, self._owner.queue)

    def _queue(self, frame: bytes, kind: str) -> None:
        if self._outbox is None or self._ended:
            return
        try:
            self._outbox.put(frame, kind)
        except QueueFullError:
            self._owner.dropped(1 if kind else 0)
            self.close(websocket_frames.POLICY, "too slow", "too_slow")

    @telemetry.charge_live
    def _on_writable(self) -> None:
        outbox = self._outbox
        if outbox is None:
            return
        try:
            for kind in outbox.write(self._sock.send):
                self._owner.sent(kind)
        except OSError:
            self.drop("lost")
            return
        if outbox.is_empty:
            outbox.stop()
            self._outbox = None
            if self._ended:
                self._half_close()

    @property
    def is_behind(self) -> bool:
        """Whether frames wait because the client reads too slowly."""
        return self._outbox is not None

    # -- reading -------------------------------------------------------------------------------------------------------

    @telemetry.charge_live
    def _on_readable(self) -> None:
        try:
            size = self._sock.recv_into(_BUFFER)
        except BlockingIOError:
            return
        except OSError:
            size = 0
        if not size:
            self.drop("gone")
        elif not self._ended:  # after the end, data is read and ignored: unread data would reset our close frame away
            self.heard = True
            self._take(bytes(_VIEW[:size]))

    def _take(self, data: bytes) -> None:
        try:
            for event in self._reader.feed(data):
                self.spend(1.0 if event is not None else 0.01)
                if event is not None and not self._ended:
                    self._on_event(event)
                if self._ended:
                    return
        except FrameError as error:
            self.close(
                error.code, error.reason, "broke_protocol" if error.code != websocket_frames.POLICY else "flooded"
            )

    def _on_event(self, event: websocket_frames.Event) -> None:
        if event.kind == websocket_frames.TEXT:
            self._owner.on_text(self, event.text)
            if self.inbox is not None and len(self.inbox) >= _MAX_INBOX:
                self._watcher.stop()
        elif event.kind == websocket_frames.PING:
            self.send(websocket_frames.pong_frame(event.data))
        elif event.kind == websocket_frames.CLOSE:
            self.close(event.code, "", "closed")

    def resume(self) -> None:
        """Read on after a full inbox has been answered."""
        if not self._ended and not self._watcher.active:
            self._watcher.start(self._on_readable)

    def spend(self, cost: float) -> None:
        """Take ``cost`` from the budgets of the client and of its member; closes the connection if one is used up."""
        if not self._budget.spend(cost) or not self._owner.spend(self, cost):
            self.close(websocket_frames.POLICY, "too much at once", "flooded")

    # -- closing -------------------------------------------------------------------------------------------------------

    def close(self, code: int, reason: str, outcome: str) -> None:
        """Send a close frame and end; the socket closes when the client answers, or a second later."""
        if self._ended:
            return
        self._ended = True
        self._owner.ended(self, code, outcome)
        self._send_last(websocket_frames.close_frame(code, reason))
        if self._has_socket and not self._watcher.active:
            self._watcher.start(self._on_readable)  # to see the client's own close; other data is ignored

    def _send_last(self, frame: bytes) -> None:
        if self._outbox is not None:
            self._owner.dropped(self._outbox.end_with(frame))
            return
        try:
            sent = self._sock.send(frame)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.drop("lost")
            return
        if sent < len(frame):
            self._wait_with(frame[sent:], "")
        else:
            self._half_close()

    @property
    def _has_socket(self) -> bool:
        return self._sock.fileno() >= 0

    def _half_close(self) -> None:
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.drop("lost")

    def drop(self, outcome: str) -> None:
        """Close the socket at once, without a close frame."""
        if not self._ended:
            self._ended = True
            self._owner.ended(self, websocket_frames.ABNORMAL, outcome)
        if not self._has_socket:
            return
        self._watcher.stop()
        self._watcher.close()
        if self._outbox is not None:
            self._owner.dropped(self._outbox.messages)
            self._outbox.stop()
            self._outbox = None
        self._sock.close()
        self._owner.gone(self)
