"""Parts of a hub for the tests of one other part, and a way to let greenlets run until something is so."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import gevent

from church.services.chat import MessageView
from church.services.sessions import SignedIn


def let_run(until: Callable[[], object], what: str, seconds: float = 60.0) -> None:
    """Give the greenlets their turn until ``until`` holds."""
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        gevent.sleep(0.001)


def person(ref: str = "ada", **facts: Any) -> SignedIn:
    """Somebody who is signed in."""
    own = {"user_id": 1, "ref": ref, "name": ref.title(), "email": "", "role": "member", "verified": True}
    return SignedIn(**{**own, "session_id": 1, "session_ref": f"on-{ref}", **facts})


def said(changed: int, by: str = "eve", **facts: Any) -> MessageView:
    """A message of the public room."""
    own = {"id": changed, "from_name": by.title(), "is_admin": False, "text": f"no. {changed}", "html": ""}
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return MessageView(
        **{"room": "public", "changed": changed, "from_ref": by, "client_id": None, "at": at, **own, **facts}
    )


@dataclass(eq=False)
class StubClient:
    """A client that keeps what it is sent."""

    signed_in: SignedIn | None = field(default_factory=person)
    sent: list[dict[str, Any]] = field(default_factory=list)
    is_open: bool = True
    is_behind: bool = False
    rooms: tuple[str, ...] = ()

    @property
    def ref(self) -> str:
        return self.signed_in.ref if self.signed_in is not None else ""

    def send(self, frame: bytes, _kind: str = "") -> bool:
        at = 2 if frame[1] < 126 else 4 if frame[1] == 126 else 10
        self.sent.append(json.loads(frame[at:]))
        return self.is_open

    def numbers(self) -> list[int]:
        """The changes that it was told of, in the order in which it was."""
        return [frame["changed"] for frame in self.sent if frame["type"] == "chat"]


class StubHub:
    """What a feed needs of a hub."""

    def __init__(self) -> None:
        self.by_member: dict[str, set[Any]] = {}
        self.failed = 0

    def say(self, connection: Any, kind: str, frame: bytes) -> None:
        connection.send(frame, kind)

    def guarded(self, work: Callable[..., None], *args: Any) -> bool:
        with suppress(ConnectionError):
            work(*args)
            return True
        self.failed += 1
        return False
