"""Refuse the clients of blocked networks: at accept, before a request is answered, and on open connections."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import gevent

if TYPE_CHECKING:
    from church.server.client_stream import ClientStream
    from church.web.blocks import BlockWatch

CloseLive = Callable[[Callable[[str], bool]], list[str]]
"""Closes the live connections of refused addresses, and returns these."""

_REPORT_SECONDS = 1.0


class Tally:
    """Counts by address, and reports a second later: one event for each address, however often it tries."""

    def __init__(self, report: Callable[[str, int], None]) -> None:
        self._report = report
        self._counts: Counter[str] = Counter()

    def add(self, address: str) -> None:
        """Count one more."""
        if not self._counts:
            gevent.spawn_later(_REPORT_SECONDS, self.report)
        self._counts[address] += 1

    def report(self) -> None:
        """Report what was counted."""
        counts, self._counts = self._counts, Counter()
        for address, count in counts.items():
            self._report(address, count)


class BlockedClients:
    """Knows the open connections of a worker, and whom ``watch`` refuses; ``tally`` counts the refusals."""

    def __init__(
        self, watch: BlockWatch, tally: Tally, close_live: Callable[[Callable[[str], bool]], list[str]]
    ) -> None:
        self.streams: set[ClientStream] = set()
        self._watch = watch
        self._tally = tally
        self._close_live = close_live
        watch.on_change = self.close_open

    def refuses_peer(self, peer: str) -> bool:
        """Whether to refuse a new connection, which is counted then."""
        return not self._watch.table.is_empty and self._refuses(peer)

    def refuses(self, request: Any, peer: str) -> bool:
        """Whether to refuse a request by the client that it comes from, which is counted then."""
        return not self._watch.table.is_empty and self._refuses(self._client_of(request, peer))

    def close_open(self) -> None:
        """Close the connections of clients that are refused by now; a proxy's only during such a client's request."""
        if self._watch.table.is_empty:
            return
        for stream in tuple(self.streams):
            if self._refuses(self._client_of(stream.request, stream.peer)):
                with suppress(OSError):
                    stream.sock.shutdown(socket.SHUT_RDWR)
        for address in self._close_live(self._watch.refuses):
            self._tally.add(address)

    def _refuses(self, client: str) -> bool:
        refused = self._watch.refuses(client)
        if refused:
            self._tally.add(client)
        return refused

    def _client_of(self, request: Any, peer: str) -> str:
        """The client of a request; between two requests the peer."""
        proxies = self._watch.proxies
        if request is None or not proxies.trusts(peer):
            return peer
        forwarded = ",".join(value for name, value in request.headers if name == "X-FORWARDED-FOR")
        return proxies.find_client(peer, forwarded)
