"""One client's socket: what it sends is read and put together, what is for it is sent at once or not at all.

All of this runs in the hub of gevent, or in whatever greenlet sends: nothing here waits, ever.
"""

from __future__ import annotations

import socket
import time
from _socket import socket as RawSocket  # noqa: N812 - gevent's own holds a hub, watchers and a dict: 2 KiB
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import gevent

from church.live import websocket_frames
from church.live.pending_writes import FullError, Outbox
from church.live.websocket_frames import FrameError, Reader

if TYPE_CHECKING:
    from church.live.hub import Hub
    from church.services.sessions import SignedIn
    from church.telemetry import Handshake

_READ, _WRITE = 1, 2
_BUFFER: Final = bytearray(65_536)  # of the process: what is read is copied out before anything else can run
_VIEW: Final = memoryview(_BUFFER)
_SEND_BUFFER = 65_536  # bytes that the kernel holds for one client, which it doubles; its default grows to megabytes
_WAITING = 32  # messages of one client that wait to be answered before no more are read
_RATE = 40.0  # messages and control frames a second that one client may send for long,
_BURST = 200.0  # and at once; each fragment counts a hundredth of one


class Connection:
    """One client. ``signed_in`` is None until it has said who it is."""

    __slots__ = (
        "_budget",
        "_budget_at",
        "_ended",
        "_hub",
        "_outbox",
        "_reader",
        "_sock",
        "_watcher",
        "address",
        "busy",
        "cookie",
        "handshake",
        "heard",
        "inbox",
        "missed",
        "rooms",
        "signed_in",
        "since",
        "spoke",
        "typed_at",
        "until",
    )

    def __init__(self, hub: Hub, fd: int, address: str, handshake: Handshake, cookie: tuple[str, str] | None) -> None:
        self._hub = hub
        self._sock = RawSocket(fileno=fd)
        self._sock.setblocking(False)
        if self._sock.family != socket.AF_UNIX:
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        self._reader = Reader()
        self._outbox: Outbox | None = None
        self._ended = False
        self._budget, self._budget_at = _BURST, time.monotonic()
        self._watcher: Any = gevent.get_hub().loop.io(fd, _READ)
        self.address = address
        """As it is counted; see ``limits.client``."""
        self.handshake = handshake
        self.since = time.monotonic()
        self.signed_in: SignedIn | None = None
        self.until: float | None = None
        """Seconds since 1970 at which the token that was shown ends; None for a sign-in by cookie."""
        self.cookie = cookie
        """Sign-in and account whose cookie came with the handshake."""
        self.rooms: tuple[str, ...] = ()
        self.inbox: deque[str] | None = None
        self.busy = False
        self.heard = True
        self.missed = 0
        self.spoke = 0
        self.typed_at = 0.0

    def __repr__(self) -> str:
        return f"<Connection {self.handshake.request_id}>"

    @property
    def is_open(self) -> bool:
        """Whether anything may still be said to it, and is heard of it."""
        return not self._ended

    @property
    def ref(self) -> str:
        """Whose it is; empty while nobody knows."""
        return self.signed_in.ref if self.signed_in is not None else ""

    def begin(self, early: bytes) -> None:
        """Listen; ``early`` is what had come with the handshake. Not to a client that was gone by the first word."""
        if not self._is_held:
            return
        self._watcher.start(self._on_readable)
        if early:
            self._take(early)

    # -- out -----------------------------------------------------------------------------------------------------------

    def send(self, frame: bytes, kind: str = "") -> bool:
        """Send a frame, or queue it where the kernel takes no more; whether all of it has gone.

        One that waits is counted as sent by its ``kind`` when it goes, or as dropped; what is no message has none.
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
        self._outbox = Outbox(rest, kind, watcher, self._on_writable, self._hub.queue)

    def _queue(self, frame: bytes, kind: str) -> None:
        if self._outbox is None or self._ended:
            return
        try:
            self._outbox.put(frame, kind)
        except FullError:
            self._hub.dropped(1 if kind else 0)
            self.close(websocket_frames.POLICY, "too slow", "too_slow")

    def _on_writable(self) -> None:
        outbox = self._outbox
        if outbox is None:
            return
        try:
            for kind in outbox.write(self._sock.send):
                self._hub.sent(kind)
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
        """Whether the client has yet to take what was sent."""
        return self._outbox is not None

    # -- in ------------------------------------------------------------------------------------------------------------

    def _on_readable(self) -> None:
        try:
            size = self._sock.recv_into(_BUFFER)
        except BlockingIOError:
            return
        except OSError:
            size = 0
        if not size:
            self.drop("gone")
        elif not self._ended:  # else whatever comes is late: it is read so that our own last words are not lost
            self.heard = True
            self._take(bytes(_VIEW[:size]))

    def _take(self, data: bytes) -> None:
        try:
            for event in self._reader.feed(data):
                self._spend(1.0 if event is not None else 0.01)
                if event is not None:
                    self._on_event(event)
                if self._ended:
                    return
        except FrameError as error:
            self.close(
                error.code, error.reason, "broke_protocol" if error.code != websocket_frames.POLICY else "flooded"
            )

    def _on_event(self, event: websocket_frames.Event) -> None:
        if event.kind == websocket_frames.TEXT:
            self._hub.on_text(self, event.text)
            if self.inbox is not None and len(self.inbox) >= _WAITING:
                self._watcher.stop()
        elif event.kind == websocket_frames.PING:
            self.send(websocket_frames.pong_frame(event.data))
        elif event.kind == websocket_frames.CLOSE:
            self.close(event.code, "", "closed")

    def resume(self) -> None:
        """Read on: what waited to be answered has been."""
        if not self._ended and not self._watcher.active:
            self._watcher.start(self._on_readable)

    def _spend(self, cost: float) -> None:
        """Count what the client sends; raises FrameError when it is more than anybody types, or than pings need."""
        if self._budget < cost:
            now = time.monotonic()
            self._budget = min(_BURST, self._budget + (now - self._budget_at) * _RATE)
            self._budget_at = now
            if self._budget < cost:
                raise FrameError(websocket_frames.POLICY, "too much at once")
        self._budget -= cost

    # -- the end -------------------------------------------------------------------------------------------------------

    def close(self, code: int, reason: str, outcome: str) -> None:
        """Say why, and end: the socket is gone when the client has answered, or a second later."""
        if self._ended:
            return
        self._ended = True
        self._hub.ended(self, code, outcome)
        self._say_last(websocket_frames.close_frame(code, reason))
        if self._is_held and not self._watcher.active:
            self._watcher.start(self._on_readable)  # for the client's own end; nothing more is taken from it

    def _say_last(self, frame: bytes) -> None:
        if self._outbox is not None:
            self._hub.dropped(self._outbox.end_with(frame))
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
    def _is_held(self) -> bool:
        return self._sock.fileno() >= 0

    def _half_close(self) -> None:
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.drop("lost")

    def drop(self, outcome: str) -> None:
        """Let go of the socket at once, with nothing said."""
        if not self._ended:
            self._ended = True
            self._hub.ended(self, websocket_frames.ABNORMAL, outcome)
        if not self._is_held:
            return
        self._watcher.stop()
        self._watcher.close()
        if self._outbox is not None:
            self._hub.dropped(self._outbox.messages)
            self._outbox.stop()
            self._outbox = None
        self._sock.close()
        self._hub.gone(self)
