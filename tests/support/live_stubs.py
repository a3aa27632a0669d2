"""Stubs for the unit tests of church.live, and a way to let greenlets run until a condition holds."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import gevent

from church.services.chat import MessageView
from church.services.sessions import SignedIn
from church.telemetry import Handshake


def run_until(until: Callable[[], object], what: str, seconds: float = 60.0) -> None:
    """Let greenlets run until ``until()`` is true; ``what`` names it in the failure."""
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        gevent.sleep(0.001)


def person(ref: str = "ada", **facts: Any) -> SignedIn:
    """Make a signed-in member."""
    own = {"user_id": 1, "ref": ref, "name": ref.title(), "email": "", "role": "member", "verified": True}
    return SignedIn(**{**own, "session_id": 1, "session_ref": f"on-{ref}", **facts})


def said(changed: int, by: str = "eve", **facts: Any) -> MessageView:
    """Make a message of the public room with this change number."""
    own = {"id": changed, "from_name": by.title(), "is_admin": False, "text": f"no. {changed}", "html": ""}
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return MessageView(
        **{"room": "public", "changed": changed, "from_ref": by, "client_id": None, "at": at, **own, **facts}
    )


@dataclass(eq=False)
class StubClient:
    """A connection that records what it is sent."""

    signed_in: SignedIn | None = field(default_factory=person)
    sent: list[dict[str, Any]] = field(default_factory=list)
    is_open: bool = True
    is_behind: bool = False
    rooms: tuple[str, ...] = ()
    until: float | None = None
    cookie: tuple[str, str] | None = None
    handshake: Handshake = Handshake("r1", "192.0.2.1", None)  # noqa: RUF009 - a tuple, never changed
    inbox: deque[str] | None = None
    typed_at: float = 0.0
    spent: float = 0.0
    closed: list[tuple[int, str]] = field(default_factory=list)
    """Code and outcome of each close."""

    @property
    def ref(self) -> str:
        return self.signed_in.ref if self.signed_in is not None else ""

    def send(self, frame: bytes, _kind: str = "") -> bool:
        at = 2 if frame[1] < 126 else 4 if frame[1] == 126 else 10
        self.sent.append(json.loads(frame[at:]))
        return self.is_open

    def send_message(self, kind: str, frame: bytes) -> None:
        self.send(frame, kind)

    def spend(self, cost: float) -> None:
        self.spent += cost

    def close(self, code: int, _reason: str, outcome: str) -> None:
        self.is_open = False
        self.closed.append((code, outcome))

    def resume(self) -> None:
        """Do nothing: the tests hand over each message themselves."""

    def kinds(self) -> list[str]:
        """The types of the messages it was sent, in order."""
        return [frame["type"] for frame in self.sent]

    def numbers(self) -> list[int]:
        """The numbers of the changes it was sent, in order."""
        return [frame["changed"] for frame in self.sent if frame["type"] == "chat"]


class StubHub:
    """The callables that a feed takes from a hub."""

    def __init__(self) -> None:
        self.by_member: dict[str, set[Any]] = {}
        self.failed = 0

    def connections_of(self, ref: str) -> set[Any]:
        return self.by_member.get(ref, set())

    def guarded(self, work: Callable[..., None], *args: Any) -> bool:
        with suppress(ConnectionError):
            work(*args)
            return True
        self.failed += 1
        return False
