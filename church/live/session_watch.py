"""Whose sign-in has ended while the connection was open, and to whom a room is closed by now.

All connections are asked for in a few statements every two seconds, and at once when a process of this host says that
a sign-in has ended, or any worker that somebody was banned.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import gevent

from church.lib.files import HostMark
from church.live import websocket_frames
from church.models.chat import RoomAccess
from church.services import chat
from church.services.chat.rooms import is_open
from church.services.sessions import lookup
from church.services.sessions.lookup import Standing as Known

if TYPE_CHECKING:
    from church.live.connection import Connection
    from church.live.hub import Hub
    from church.services.sessions import SignedIn

_EVERY = 2.0
_BREATH = 500  # connections that are looked at before everybody else has a turn
_GLANCE = 0.2  # seconds between looks at the host's mark


class Standing:
    """The watch over the sign-ins of a hub's connections."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._mark = HostMark(hub.app.config["CHURCH"].instance / "sign-ins.mark")
        self._seen = self._mark.read()
        self._checked_at = 0.0

    def run(self) -> None:
        """Watch, for ever."""
        while True:
            gevent.sleep(_GLANCE)
            mark = self._mark.read()
            if mark != self._seen or time.monotonic() - self._checked_at >= _EVERY:
                self._seen, self._checked_at = mark, time.monotonic()
                self._hub.guarded(self.check, tuple(self._hub.connections))

    def hear(self, line: str) -> None:
        """Somebody's standing in the rooms has changed. Raises what unreadable JSON does."""
        concerned = tuple(self._hub.by_member.get(json.loads(line)["user"], ()))
        if concerned:
            gevent.spawn(self._hub.guarded, self.check, concerned)

    def check(self, connections: Collection[Connection]) -> None:
        """End those that are nobody's any more, or in a room that is closed to them. Raises what the database does."""
        now = time.time()
        by_ref: dict[str, list[Connection]] = {}
        for connection in connections:
            if connection.until is not None and connection.until <= now:
                connection.close(websocket_frames.UNAUTHENTICATED, "the token has ended", "token_ended")
            elif connection.signed_in is not None and connection.is_open:
                by_ref.setdefault(connection.signed_in.session_ref, []).append(connection)
        for refs in _portions(by_ref):
            found = lookup.standing(refs)
            own = [connection for ref in refs for connection in by_ref[ref]]
            for ref in refs:
                _renew(by_ref[ref], found.get(ref))
            self._check_rooms([connection for connection in own if connection.is_open and connection.rooms])
            gevent.sleep(0)

    def _check_rooms(self, connections: list[Connection]) -> None:
        members = {one.signed_in.user_id for one in connections if one.signed_in is not None}
        if not members:
            return
        banned = chat.banned(members)
        premium = self._premium(connections)
        for number, connection in enumerate(connections, 1):
            if not number % _BREATH:
                gevent.sleep(0)
            signed_in = connection.signed_in
            if signed_in is None or not connection.is_open:
                continue
            if signed_in.user_id in premium:
                signed_in = connection.signed_in = _changed(signed_in, premium=premium[signed_in.user_id])
            shut = banned.get(signed_in.user_id, frozenset())
            for name in connection.rooms:
                feed = self._hub.rooms.feeds.get(name)
                if name in shut or (feed is not None and not is_open(feed.access, signed_in)):
                    connection.close(websocket_frames.FORBIDDEN, "this room is closed to you", "forbidden")

    def _premium(self, connections: list[Connection]) -> dict[int, bool]:
        """Whether premium is open to those who are in such a room; of nobody else does it matter."""
        feeds = self._hub.rooms.feeds
        gated = {name for name, feed in feeds.items() if feed.access == RoomAccess.PREMIUM}
        asked = {
            one.signed_in.user_id for one in connections if one.signed_in is not None and gated.intersection(one.rooms)
        }
        open_to = lookup.premium_members(asked) if asked else set()
        return {user_id: user_id in open_to for user_id in asked}


def _renew(connections: list[Connection], found: Known | None) -> None:
    for connection in connections:
        if found is None:
            connection.close(websocket_frames.UNAUTHENTICATED, "the sign-in has ended", "signed_out")
        elif not found.verified:
            connection.close(websocket_frames.FORBIDDEN, "the address is not confirmed", "forbidden")
        elif (signed_in := connection.signed_in) is not None:
            connection.signed_in = _changed(signed_in, name=found.name, role=found.role)


def _changed(signed_in: SignedIn, **facts: object) -> SignedIn:
    """The same if nothing is otherwise: thousands of connections are looked at, and few have changed."""
    if all(getattr(signed_in, name) == value for name, value in facts.items()):
        return signed_in
    return replace(signed_in, **facts)  # type: ignore[arg-type]  # facts of the class's own fields


def _portions(refs: Collection[str]) -> Iterator[list[str]]:
    waiting = list(refs)
    for begin in range(0, len(waiting), lookup.MOST):
        yield waiting[begin : begin + lookup.MOST]
