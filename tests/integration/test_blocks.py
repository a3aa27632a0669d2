"""Blocked networks on real workers: refused at once, on open connections too, and while the database is down."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import delete

from church import create_app
from church.extensions import db
from church.models import BlockedNetwork
from church.models.base import utc_now
from church.services import blocks as service
from church.services.audit import Actor
from church.web import blocks
from tests.support.live_fixture import Line
from tests.support.services_fixture import Postgres, wait_until
from tests.support.site_fixture import Site, running
from tests.support.video_fixture import add_ready

FORWARDED = "X-Forwarded-For"
CLIENT = "203.0.113.7"
OTHER = "198.51.100.9"
HOUR = timedelta(hours=1)
BEHIND_PROXY = {"CHURCH_TRUSTED_PROXIES": "127.0.0.1/32", "CHURCH_LIMIT_STREAM": "10000/minute"}


@pytest.fixture(scope="module")
def _site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, Flask]]:
    """A site with two workers, behind a proxy that this process plays, and the same site in this process."""
    with running(tmp_path_factory.mktemp("blocks"), WEB_CONCURRENCY="2", **BEHIND_PROXY) as one:
        app = create_app(one.settings)
        yield one, app
        with app.app_context():
            db.dispose()


@pytest.fixture
def site(_site: tuple[Site, Flask]) -> Site:
    """The site, which no longer refuses whom the test before has blocked."""
    wait_until(lambda: statuses(_site[0]) == {200} and is_served(_site[0], "127.0.0.2"), "all clients are served")
    return _site[0]


@pytest.fixture
def app(_site: tuple[Site, Flask]) -> Flask:
    return _site[1]


def status(site: Site, client: str = CLIENT, path: str = "/") -> int:
    """What a client is answered; 0 if its request is cut, because it is blocked meanwhile."""
    with suppress(ConnectionError):
        return site.get(path, **{FORWARDED: client})[0]
    return 0


def statuses(site: Site, client: str = CLIENT, path: str = "/") -> set[int]:
    """What both workers answer."""
    found = set()
    for pid in site.worker_pids():
        with site.only_worker(pid):
            found.add(status(site, client, path))
    return found


def connect(site: Site, source: str) -> socket.socket:
    return socket.create_connection(("127.0.0.1", site.port), timeout=60, source_address=(source, 0))


def is_served(site: Site, source: str) -> bool:
    """Whether every worker serves a client that comes from ``source`` without a proxy."""
    served = []
    for pid in site.worker_pids():
        with site.only_worker(pid), suppress(ConnectionError), connect(site, source) as client:
            client.sendall(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
            served.append(client.recv(12) == b"HTTP/1.1 200")
    return served == [True, True]


@contextmanager
def blocked(app: Flask, network: str = f"{CLIENT}/32", lasts: timedelta = HOUR) -> Iterator[None]:
    """Block a network from this process, as the command line does; at the end the block is lifted."""
    with app.app_context():
        blocks.block(network, utc_now() + lasts, "Guesses passwords", Actor(via="cli"))
    try:
        yield
    finally:
        with app.app_context():
            blocks.unblock(network, Actor(via="cli"))


def test_blocked_network_is_refused_by_both_workers_and_served_again(site: Site, app: Flask) -> None:
    assert statuses(site) == {200}
    with blocked(app, "203.0.113.0/24"):
        wait_until(lambda: statuses(site) == {403}, "both refuse it")
        assert statuses(site, "203.0.113.250") == {403}
        assert statuses(site, "::ffff:203.0.113.9") == {403}
        assert statuses(site, OTHER) == {200}
        assert statuses(site, f"{CLIENT}, {OTHER}") == {200}  # what a client itself wrote before its own address
        assert statuses(site, path="/health") == {403}
    wait_until(lambda: statuses(site) == {200}, "both serve it again")


def test_refusal_is_small_counted_and_recorded_but_no_request_of_a_visitor(site: Site, app: Flask) -> None:
    def requests() -> float:
        return sum(site.value("http_requests_total", route=route) for route in ("/", "_unmatched"))

    with blocked(app):
        wait_until(lambda: statuses(site) == {403}, "both refuse it")
        counted = site.value("security_events_total", event_type="blocked", severity="low")
        before = requests()
        code, body = site.get("/", **{FORWARDED: CLIENT})
        assert (code, len(body) < 200) == (403, True)
        wait_until(
            lambda: site.value("security_events_total", event_type="blocked", severity="low") > counted, "counted"
        )
        assert requests() == before
        wait_until(lambda: site.value("blocks_active") == 1, "a scrape sees the block")
    records = [one for one in site.records() if one["event"] == "security.blocked" and one["ip"] == CLIENT]
    assert {(one["severity"], one["count"] > 0) for one in records} == {("low", True)}


def test_kept_answer_is_not_sent_to_a_blocked_client(site: Site, app: Flask) -> None:
    for _ in range(4):
        assert statuses(site, path="/feed.xml") == {200}
    with blocked(app):
        wait_until(lambda: statuses(site, path="/feed.xml") == {403}, "both refuse it")
        assert statuses(site, OTHER, "/feed.xml") == {200}


def test_body_of_a_refused_request_is_not_read(site: Site, app: Flask) -> None:
    with blocked(app):
        wait_until(lambda: statuses(site) == {403}, "both refuse it")
        with socket.create_connection(("127.0.0.1", site.port), timeout=60) as client:
            head = f"POST /auth/login HTTP/1.1\r\nHost: a\r\n{FORWARDED}: {CLIENT}\r\nContent-Length: 100000\r\n\r\n"
            client.sendall(head.encode() + b"x" * 1000)
            assert client.recv(9999).startswith(b"HTTP/1.1 403 ")


def test_live_connections_of_a_blocked_client_end_and_none_begins(site: Site, app: Flask) -> None:
    headers = {"X_Forwarded_For": CLIENT}
    with ExitStack() as stack:
        lines = []
        for pid in site.worker_pids():
            with site.only_worker(pid):
                lines.append(stack.enter_context(Line(site.port, **headers)))
                other = stack.enter_context(Line(site.port, X_Forwarded_For=OTHER))
                other.hear("welcome")
        with blocked(app):
            assert [line.ended() for line in lines] == [1008, 1008]
            assert stack.enter_context(Line(site.port, **headers)).status == 403
            other.say("ping")
            other.hear("pong")


def test_stream_to_a_blocked_client_is_cut(site: Site, app: Flask) -> None:
    size = 24 * 1024 * 1024
    with app.app_context():
        add_ready("harbour", os.urandom(size), access_level="public")
    answer = site.get("/video/access/harbour", Accept="application/json", **{FORWARDED: CLIENT})[1]
    url = json.loads(answer)["url"]
    with ExitStack() as stack:
        players = {}
        for client in (CLIENT, OTHER):
            player = stack.enter_context(socket.create_connection(("127.0.0.1", site.port), timeout=60))
            player.sendall(
                f"GET {url} HTTP/1.1\r\nHost: a\r\n{FORWARDED}: {client}\r\nConnection: close\r\n\r\n".encode()
            )
            assert player.recv(12) == b"HTTP/1.1 200"
            players[client] = player
        with blocked(app):
            wait_until(lambda: statuses(site) == {403}, "both refuse it")
            assert _read_all(players[CLIENT]) < size
            assert _read_all(players[OTHER]) > size


def _read_all(player: socket.socket) -> int:
    count = 0
    try:
        while data := player.recv(1 << 20):
            count += len(data)
    except ConnectionError:
        return count
    return count


def test_request_that_is_still_arriving_from_a_blocked_client_is_cut(site: Site, app: Flask) -> None:
    head = f"POST /auth/login HTTP/1.1\r\nHost: a\r\n{FORWARDED}: {CLIENT}\r\nContent-Length: 1000\r\n"
    kind = "Content-Type: application/json\r\n\r\n"
    with socket.create_connection(("127.0.0.1", site.port), timeout=60) as client:
        client.sendall((head + kind).encode() + b"{")
        with blocked(app):
            assert not client.recv(9999).startswith(b"HTTP/1.1 200")


def test_block_ends_at_its_time_without_a_restart(site: Site, app: Flask) -> None:
    with app.app_context():
        blocks.block(CLIENT, utc_now() + timedelta(seconds=4), "", Actor(via="cli"))
    wait_until(lambda: statuses(site) == {403}, "both refuse it")
    wait_until(lambda: statuses(site) == {200}, "both serve it again")


@pytest.fixture
def _direct(site: Site, app: Flask) -> Iterator[None]:
    """Block 127.0.0.2, which no admin could block, since the tests have no other address."""
    facts = {"until": utc_now() + HOUR, "reason": "", "created_at": utc_now(), "revision": 10**6}
    with app.app_context():
        with db.write() as session:
            session.add(BlockedNetwork(network="127.0.0.2/32", **facts))
        service.keep_copy(site.settings, service.load_active)
    yield
    with app.app_context():
        with db.write() as session:
            session.execute(delete(BlockedNetwork))
        service.keep_copy(site.settings, service.load_active)


def statuses_of_silence(site: Site) -> set[bytes]:
    """What both workers say to a client that has said nothing; one that serves it waits for a request."""
    found = set()
    for pid in site.worker_pids():
        with site.only_worker(pid), connect(site, "127.0.0.2") as client:
            client.settimeout(0.3)
            try:
                found.add(client.recv(12))
            except TimeoutError:
                found.add(b"")
    return found


@pytest.mark.usefixtures("_direct")
def test_connection_of_a_blocked_address_is_refused_before_it_sends_anything(site: Site) -> None:
    wait_until(lambda: statuses_of_silence(site) == {b"HTTP/1.1 403"}, "both refuse it")
    assert is_served(site, "127.0.0.3")


def test_idle_connection_of_a_blocked_address_is_closed(site: Site, request: pytest.FixtureRequest) -> None:
    with connect(site, "127.0.0.2") as client:
        client.sendall(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.recv(9999).startswith(b"HTTP/1.1 200")
        request.getfixturevalue("_direct")
        client.settimeout(60)
        assert client.recv(9999) == b""


def test_commands_block_and_unblock_and_name_what_is_wrong(site: Site) -> None:
    assert site.run("block", f"{CLIENT}/24", "--reason", "Guesses passwords") == "203.0.113.0/24 is blocked.\n"
    wait_until(lambda: statuses(site) == {403}, "both refuse it")
    assert "203.0.113.0/24" in (listed := site.run("blocks"))
    assert "Guesses passwords" in listed
    assert site.run("unblock", "203.0.113.0/24") == "203.0.113.0/24 is no longer blocked.\n"
    wait_until(lambda: statuses(site) == {200}, "both serve it again")


# -- several hosts -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hosts(_postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[list[Site], Flask]]:
    """Two hosts of one site with two workers each, and the same site in this process, on a third host."""
    _postgres.start()
    settings = {"DATABASE_URL": _postgres.new_database(), "SECRET_KEY": "x" * 40, **BEHIND_PROXY}
    with ExitStack() as stack:
        sites = [
            stack.enter_context(running(tmp_path_factory.mktemp(name), store=False, WEB_CONCURRENCY="2", **settings))
            for name in "ab"
        ]
        app = create_app(sites[0].settings.model_copy(update={"instance": tmp_path_factory.mktemp("c")}))
        yield sites, app
        with app.app_context():
            db.dispose()


def on_all(sites: list[Site], expected: int) -> Callable[[], bool]:
    return lambda: [statuses(one) for one in sites] == [{expected}] * len(sites)


@pytest.mark.services
def test_block_reaches_other_hosts_and_so_does_its_end(hosts: tuple[list[Site], Flask]) -> None:
    sites, app = hosts
    assert on_all(sites, 200)()
    with blocked(app):
        wait_until(on_all(sites, 403), "both hosts refuse it")
    wait_until(on_all(sites, 200), "both hosts serve it")


@pytest.mark.services
def test_block_holds_while_the_database_is_down_until_it_is_lifted_on_a_host(
    hosts: tuple[list[Site], Flask], postgres: Postgres
) -> None:
    sites, app = hosts
    with blocked(app):
        wait_until(on_all(sites, 403), "both hosts refuse it")
        postgres.stop()
        try:
            pids = sites[0].worker_pids()
            for pid in pids:
                os.kill(pid, 9)  # the new workers never saw the database
            wait_until(lambda: len(set(sites[0].worker_pids()) - set(pids)) == 2, "there are new workers")
            wait_until(on_all(sites, 403), "both hosts refuse it still")
            assert "does not answer" in sites[0].run("unblock", CLIENT)
            wait_until(lambda: 403 not in statuses(sites[0]), "the first serves it")
            assert statuses(sites[1]) == {403}
        finally:
            postgres.start()
        wait_until(on_all(sites, 403), "the database is what counts")
    wait_until(on_all(sites, 200), "both hosts serve it")
