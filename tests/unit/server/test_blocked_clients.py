"""A worker refuses the clients of blocked networks."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import gevent
import gevent.socket
import pytest
from flask import Flask

from church.lib.network.network_table import NetworkTable, parse_network
from church.server import blocked_clients
from church.server.blocked_clients import BlockedClients, Tally
from church.server.client_stream import ClientStream
from church.server.open_connections import OpenConnections
from church.web.blocks import BlockWatch, watch_of
from tests.support.door_fixture import DoorSite
from tests.support.helpers import with_settings

CLIENT, OTHER, PROXY = "203.0.113.7", "198.51.100.9", "10.0.0.5"
FOREVER = 9e9


class Refusals:
    """What the tally would report."""

    def __init__(self) -> None:
        self.tally = Tally(lambda address, count: self.reported.append((address, count)))
        self.reported: list[tuple[str, int]] = []

    def taken(self) -> list[tuple[str, int]]:
        self.tally.report()
        found, self.reported = self.reported, []
        return found


@pytest.fixture
def watch(app: Flask) -> BlockWatch:
    app.config["CHURCH"] = with_settings(app.config["CHURCH"], trusted_proxies=(parse_network(PROXY),))
    return watch_of(app)


@pytest.fixture
def refusals() -> Refusals:
    return Refusals()


def block(watch: BlockWatch, *networks: str) -> None:
    watch.table = NetworkTable((parse_network(network), FOREVER) for network in networks)
    watch.on_change()


def live_none(_refuses: Callable[[str], bool]) -> list[str]:
    return []


def request_of(*forwarded: str) -> Any:
    return SimpleNamespace(headers=[("HOST", "a"), *(("X-FORWARDED-FOR", one) for one in forwarded)])


def test_request_is_refused_by_its_client_behind_a_proxy_and_by_its_peer_else(
    watch: BlockWatch, refusals: Refusals
) -> None:
    blocked = BlockedClients(watch, refusals.tally, live_none)
    block(watch, "203.0.113.0/24")
    assert blocked.refuses(request_of(), CLIENT)
    assert blocked.refuses(request_of(CLIENT), PROXY)
    assert blocked.refuses(request_of(OTHER, CLIENT), PROXY)
    assert refusals.taken() == [(CLIENT, 3)]
    assert not blocked.refuses(request_of(CLIENT, OTHER), PROXY)
    assert not blocked.refuses(request_of(CLIENT), OTHER)
    assert not blocked.refuses(request_of(), PROXY)
    assert not blocked.refuses(request_of(), "")
    assert refusals.taken() == []


def test_connection_is_refused_by_its_peer(watch: BlockWatch, refusals: Refusals) -> None:
    blocked = BlockedClients(watch, refusals.tally, live_none)
    assert not blocked.refuses_peer(CLIENT)
    block(watch, CLIENT, PROXY)
    assert [blocked.refuses_peer(peer) for peer in (CLIENT, OTHER, PROXY, "")] == [True, False, False, False]
    assert refusals.taken() == [(CLIENT, 1)]


def test_open_connections_of_a_newly_blocked_client_are_closed(watch: BlockWatch, refusals: Refusals) -> None:
    blocked = BlockedClients(watch, refusals.tally, lambda refuses: [one for one in (CLIENT, OTHER) if refuses(one)])
    pairs = [gevent.socket.socketpair() for _ in range(4)]
    places = OpenConnections(10, 10, lambda address: address)
    streams = []
    for (ours, _), peer in zip(pairs, (CLIENT, OTHER, PROXY, PROXY), strict=True):
        place = places.enter(ours, peer)
        assert place is not None
        streams.append(ClientStream(ours, place, peer))
    streams[2].request = request_of(CLIENT)  # the last one waits for the next request of any client
    blocked.streams.update(streams)
    block(watch, CLIENT)
    closed = []
    for _, theirs in pairs:
        theirs.setblocking(False)
        try:
            closed.append(theirs.recv(1) == b"")
        except BlockingIOError:
            closed.append(False)
    assert closed == [True, False, True, False]
    assert refusals.taken() == [(CLIENT, 3)]
    block(watch)
    assert refusals.taken() == []
    for pair in pairs:
        for end in pair:
            end.close()


def test_tally_reports_one_event_for_each_address_a_second_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocked_clients, "_REPORT_SECONDS", 0)
    reported: list[tuple[str, int]] = []
    tally = Tally(lambda *event: reported.append(event))
    for address in (CLIENT, OTHER, CLIENT):
        tally.add(address)
    assert reported == []
    gevent.sleep(0.001)
    assert reported == [(CLIENT, 2), (OTHER, 1)]


def test_kept_answer_and_site_are_out_of_reach_of_a_blocked_client(
    app: Flask, watch: BlockWatch, refusals: Refusals
) -> None:
    site = DoorSite(app, (CLIENT, 4711))
    site.get_kept("/feed.xml")
    blocked = BlockedClients(watch, refusals.tally, live_none)
    site.worker._refuses, site.worker._forbidden = blocked.refuses, b"HTTP/1.1 403 Forbidden\r\n\r\nno"
    assert site.get("/feed.xml").by_door
    block(watch, CLIENT)
    for path in ("/feed.xml", "/pages/terms"):
        sent = site.get(path)
        assert (sent.status, sent.body, sent.closed) == (403, b"no", True)
    assert refusals.taken() == [(CLIENT, 2)]
