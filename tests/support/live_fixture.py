"""A client of /ws for tests: sends messages, frames, or any bytes, valid or not."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Self

from flask import Flask

from church.models import User
from church.services import member_tokens, sessions
from tests.support.people import sign_in

PATIENCE = 60.0


def token_of(app: Flask, user: User) -> str:
    """Sign ``user`` in and return an access token."""
    raw = sign_in(app, user)
    with app.app_context():
        found = sessions.load(raw)
        assert found is not None
        return member_tokens.issue_token(found).token


def handshake(port: int, **headers: str) -> bytes:
    """The handshake request of a browser on the site; ``headers`` replace its own, an empty one removes it."""
    own = {
        "Host": f"127.0.0.1:{port}",
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Origin": f"http://127.0.0.1:{port}",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in own.items() if value)
    return f"GET /ws HTTP/1.1\r\n{lines}\r\n".encode()


def masked(opcode: int, payload: bytes, *, fin: bool = True, rsv: int = 0) -> bytes:
    """Encode a client's masked frame."""
    mask = os.urandom(4)
    size = len(payload)
    long = b"" if size < 126 else size.to_bytes(2) if size < 1 << 16 else size.to_bytes(8)
    head = bytes((fin << 7 | rsv << 4 | opcode, 0x80 | (size if size < 126 else 126 if size < 1 << 16 else 127)))
    return head + long + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))


class Line:
    """One connection. Received messages are kept in ``heard``."""

    def __init__(self, port: int, **headers: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self.socket.sendall(handshake(port, **headers))
        self._data = b""
        self.heard: list[dict[str, Any]] = []
        self.pongs: list[bytes] = []
        self.pings = 0
        self.code: int | None = None
        """Code of the close frame; 1006 if the socket closed without one."""
        while b"\r\n\r\n" not in self._data:
            if not (more := self.socket.recv(4096)):
                break
            self._data += more
        head, _, self._data = self._data.partition(b"\r\n\r\n")
        self.head = head.decode()
        self.status = int(self.head.split(" ")[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def say(self, kind: str, **fields: Any) -> None:
        """Send one message of the protocol."""
        self.raw(masked(1, json.dumps({"type": kind, **fields}).encode()))

    def raw(self, data: bytes) -> None:
        """Send any bytes; a closed socket is no error here, since reading reports it."""
        with suppress(OSError):
            self.socket.sendall(data)

    def hear(self, kind: str, fits: Callable[[dict[str, Any]], bool] = lambda _frame: True) -> dict[str, Any]:
        """Wait for the next message of this type that ``fits``."""
        for frame in self.frames():
            if frame["type"] == kind and fits(frame):
                return frame
        raise AssertionError(f"closed with {self.code} before any {kind}; heard {self.heard[-5:]}")

    def ended(self) -> int:
        """Read until the connection closes; returns the close code."""
        for _ in self.frames():
            pass
        assert self.code is not None
        return self.code

    def sign_in(self, token: str | None) -> dict[str, Any]:
        """Authenticate, with the cookie if ``token`` is None."""
        self.say("auth", **({"token": token} if token else {}))
        return self.hear("auth_success")

    def enter(self, room: str, after: int | None = None) -> dict[str, Any]:
        """Join a room; missed changes are in ``heard``."""
        self.say(
            "subscribe_room" if after is None else "history", room=room, **({} if after is None else {"after": after})
        )
        return self.hear("room_joined", lambda frame: frame["room"] == room)

    def chats(self) -> list[dict[str, Any]]:
        """The chat messages received so far."""
        return [frame for frame in self.heard if frame["type"] == "chat"]

    def frames(self) -> Iterator[dict[str, Any]]:
        """Yield messages until the connection closes, and answer pings."""
        deadline = time.monotonic() + PATIENCE
        while self.code is None:
            assert time.monotonic() < deadline, f"no such message came; heard {self.heard[-5:]}"
            whole = self._next_frame()
            if whole is None:
                try:
                    more = self.socket.recv(65_536)
                except ConnectionError:
                    more = b""
                self._data += more
                if not more:
                    self.code = 1006
            elif (frame := self._handle(*whole)) is not None:
                self.heard.append(frame)
                yield frame

    def _next_frame(self) -> tuple[int, bytes] | None:
        data = self._data
        if len(data) < 2:
            return None
        size, at = data[1] & 0x7F, 2
        if size > 125:
            wide = 2 if size == 126 else 8
            size, at = int.from_bytes(data[2 : 2 + wide]), 2 + wide
        if len(data) < at + size:
            return None
        self._data = data[at + size :]
        return data[0], data[at : at + size]

    def _handle(self, first: int, payload: bytes) -> dict[str, Any] | None:
        if first == 0x81:
            message: dict[str, Any] = json.loads(payload)
            return message
        if first == 0x89:
            self.pings += 1
            self.raw(masked(10, payload))
        elif first == 0x8A:
            self.pongs.append(payload)
        elif first == 0x88:
            self.code = int.from_bytes(payload[:2]) if payload else 1005
        else:
            raise AssertionError(f"unexpected frame, begins with {first:#x}")
        return None
