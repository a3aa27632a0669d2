"""Close connections whose session has ended, and connections in rooms that are now closed to their member.

All connections are checked in a few statements every two seconds. They are checked at once when a process of this host
marks that a session has ended, or when any worker publishes that a member was muted or banned.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import gevent

from church.lib.files import ChangeMark
from church.live import websocket_frames
from church.live.connection import Connection
from church.live.room_feed import RoomFeed
from church.models.chat import RoomAccess
from church.services import chat
from church.services import sessions as sessions_service
from church.services.chat import is_room_open
from church.services.sessions import SessionFacts as Known
from church.services.sessions import SignedIn

_EVERY = 2.0
_BATCH = 500  # connections that are checked before other greenlets run
_MARK_SECONDS = 0.2  # between reads of the host's mark


class SessionWatch:
    """Regular check of all connections of a worker.

    ``mark`` is the file that changes when a session of this host ends. ``connections`` is all of this worker's,
    ``connections_of`` a member's, by the account's ref, and ``feeds`` is by room name; all three are read at each
    check. ``guarded`` runs a function in the app's context, and logs what it raises. ``wait_for_clients`` returns once
    there are connections.
    """

    def __init__(
        self,
        mark: Path,
        connections: Collection[Connection],
        connections_of: Callable[[str], Collection[Connection]],
        feeds: Mapping[str, RoomFeed],
        guarded: Callable[..., bool],
        wait_for_clients: Callable[[], object] = lambda: None,
    ) -> None:
        self._wait_for_clients = wait_for_clients
        self._connections = connections
        self._connections_of = connections_of
        self._feeds = feeds
        self._guarded = guarded
        self._mark = ChangeMark(mark)
        self._seen = self._mark.read()
        self._checked_at = 0.0

    def run(self) -> None:
        """Check, for ever."""
        while True:
            self._wait_for_clients()
            gevent.sleep(_MARK_SECONDS)
            mark = self._mark.read()
            if mark != self._seen or time.monotonic() - self._checked_at >= _EVERY:
                self._seen, self._checked_at = mark, time.monotonic()
                self._guarded(self.check, tuple(self._connections))

    def hear(self, line: str) -> None:
        """Check the member named in a published line. Raises what unreadable JSON raises."""
        own = tuple(self._connections_of(json.loads(line)["user"]))
        if own:
            gevent.spawn(self._guarded, self.check, own)

    def check(self, connections: Collection[Connection]) -> None:
        """Close those that have no valid session any more, or are in a closed room. Raises what the database raises."""
        now = time.time()
        by_session: dict[str, list[Connection]] = {}
        for connection in connections:
            if connection.until is not None and connection.until <= now:
                connection.close(websocket_frames.UNAUTHENTICATED, "access token expired", "token_ended")
            elif connection.signed_in is not None and connection.is_open:
                by_session.setdefault(connection.signed_in.session_ref, []).append(connection)
        for refs in _batches(by_session):
            sessions = sessions_service.load_facts(refs)
            own = [connection for ref in refs for connection in by_session[ref]]
            for ref in refs:
                _refresh(by_session[ref], sessions.get(ref))
            self._check_rooms([connection for connection in own if connection.is_open and connection.rooms])
            gevent.sleep(0)

    def _check_rooms(self, connections: list[Connection]) -> None:
        members = {one.signed_in.user_id for one in connections if one.signed_in is not None}
        if not members:
            return
        banned = chat.list_banned_rooms(members)
        premium = self._premium(connections)
        for number, connection in enumerate(connections, 1):
            if not number % _BATCH:
                gevent.sleep(0)
            signed_in = connection.signed_in
            if signed_in is None or not connection.is_open:
                continue
            if signed_in.user_id in premium:
                signed_in = connection.signed_in = _changed(signed_in, premium=premium[signed_in.user_id])
            banned_from = banned.get(signed_in.user_id, frozenset())
            for name in connection.rooms:
                feed = self._feeds.get(name)
                if name in banned_from or (feed is not None and not is_room_open(feed.access, signed_in)):
                    connection.close(websocket_frames.FORBIDDEN, "this room is closed to you", "forbidden")

    def _premium(self, connections: list[Connection]) -> dict[int, bool]:
        """Whether each member in a premium room has premium; other members are left out."""
        gated = {name for name, feed in self._feeds.items() if feed.access == RoomAccess.PREMIUM}
        in_gated = {
            one.signed_in.user_id for one in connections if one.signed_in is not None and gated.intersection(one.rooms)
        }
        with_premium = sessions_service.find_premium_members(in_gated) if in_gated else set()
        return {user_id: user_id in with_premium for user_id in in_gated}


def _refresh(connections: list[Connection], session: Known | None) -> None:
    for connection in connections:
        if session is None:
            connection.close(websocket_frames.UNAUTHENTICATED, "session ended", "signed_out")
        elif not session.verified:
            connection.close(websocket_frames.FORBIDDEN, "email address not confirmed", "forbidden")
        elif (signed_in := connection.signed_in) is not None:
            connection.signed_in = _changed(signed_in, name=session.name, role=session.role)


def _changed(signed_in: SignedIn, **facts: object) -> SignedIn:
    """Return ``signed_in`` with these facts; the same object if none differs, as for most of thousands."""
    if all(getattr(signed_in, name) == value for name, value in facts.items()):
        return signed_in
    return replace(signed_in, **facts)  # type: ignore[arg-type]  # facts of the class's own fields


def _batches(refs: Collection[str]) -> Iterator[list[str]]:
    waiting = list(refs)
    for begin in range(0, len(waiting), sessions_service.MAX_PER_QUERY):
        yield waiting[begin : begin + sessions_service.MAX_PER_QUERY]
