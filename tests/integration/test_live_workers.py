"""Live connections on several workers and hosts: one order, nothing lost, correct counts."""

from __future__ import annotations

import os
import secrets
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from flask import Flask

from church import create_app
from church.extensions import db
from church.services import chat, live_broadcast, member_tokens, sessions
from church.store import StoreClient
from tests.support.environment import forget_the_shell
from tests.support.live_fixture import Line, token_of
from tests.support.people import add_user, sign_in
from tests.support.services_fixture import Postgres, RedisServer, share_servers, wait_until
from tests.support.site_fixture import Site, running

Start = Callable[..., Site]
Hosts = tuple[Site, Site, Flask]
Pair = tuple[Site, Flask]
OPEN = {
    "CHURCH_LIMIT_CHAT": "1000000/minute",
    "CHURCH_LIMIT_LIVE": "1000000/minute",
    "CHURCH_LIMIT_HISTORY": "1000000/minute",
    "CHURCH_LIVE_PER_MEMBER": "100",
    "CHURCH_LIVE_PER_ADDRESS": "1000",
}


def known(app: Flask, count: int = 1) -> list[str]:
    """Add this many members; returns their tokens."""
    return [token_of(app, add_user(app, f"{secrets.token_hex(4)}@church.example")) for _ in range(count)]


def entered(site: Site, token: str, after: int | None = None) -> Line:
    line = Line(site.port)
    line.hear("welcome")
    line.sign_in(token)
    line.enter("public", after)
    return line


def serves(site: Site) -> bool:
    """Whether a request is answered; without a worker it waits in the kernel."""
    with suppress(OSError):
        return site.get("/health")[0] == 200
    return False


@pytest.fixture(scope="module")
def _hosts(_postgres: Postgres, _redis: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    shared = {
        **share_servers(_postgres, _redis),
        "WEB_CONCURRENCY": "1",
        **OPEN,
        "CHURCH_LIVE_PER_MEMBER": "2",
    }
    with pytest.MonkeyPatch.context() as patch:
        forget_the_shell(patch)
        sites = [Site(tmp_path_factory.mktemp(name), **shared) for name in ("one", "two")]
    try:
        first, second = (site.start(store=False) for site in sites)
        app = create_app(first.settings)
        yield first, second, app
        with app.app_context():
            db.dispose()
    finally:
        for site in sites:
            site.stop()


@pytest.fixture
def hosts(_hosts: Hosts, postgres: Postgres, redis_server: RedisServer) -> Hosts:
    """Two hosts, each with folders and a port of its own, one worker each, and the same PostgreSQL and Redis.

    The third is the same site in this process. Both hosts know that the store is there.
    """
    for site in _hosts[:2]:
        wait_until(lambda site=site: site.value("store_up") == 1, "the store is found again")
    return _hosts


def test_two_hosts_deliver_every_change_once_in_one_order(hosts: Hosts, redis_server: RedisServer) -> None:
    one, two, app = hosts
    ada, eve = known(app, 2)
    with entered(one, ada) as first, entered(two, eve) as second:
        for number in range(20):
            for line, name in ((first, "a"), (second, "e")):
                line.say("chat", room="public", message=f"{name}{number}", client_id=f"{name}{number}")
        for line in (first, second):
            line.hear("chat", lambda frame, line=line: len(line.chats()) == 40)
        assert [(f["id"], f["message"]) for f in first.chats()] == [(f["id"], f["message"]) for f in second.chats()]
        last = first.chats()[-1]["id"]
        assert [frame["id"] for frame in first.chats()] == list(range(last - 39, last + 1))
        second.say("presence", room="public")
        second.hear("presence", lambda frame: frame["count"] == 2)

        second.socket.close()  # away during an edit and some messages, while the store loses half of it
        first.say("chat", room="public", message="missed 1", client_id="m1")
        first.hear("chat", lambda frame: frame["id"] == last + 1)
        redis_server.stop()
        first.say("chat", room="public", message="missed 2", client_id="m2")
        first.hear("chat", lambda frame: frame["id"] == last + 2)
        with entered(two, eve, after=last) as back:
            assert [frame["message"] for frame in back.chats()] == ["missed 1", "missed 2"]
            first.say("chat", room="public", message="without the store", client_id="m3")
            assert back.hear("chat")["message"] == "without the store"
            redis_server.start()
            first.say("chat", room="public", message="with it again", client_id="m4")
            assert back.hear("chat")["message"] == "with it again"
            assert [frame["id"] for frame in back.chats()] == [last + 1, last + 2, last + 3, last + 4]


def test_connection_limit_counts_all_hosts(hosts: Hosts) -> None:
    one, two, app = hosts
    (ada,) = known(app)

    def let_in(site: Site) -> bool:
        with Line(site.port) as another:
            another.say("auth", token=ada)
            return next(f["type"] for f in another.frames() if f["type"].startswith("auth")) == "auth_success"

    with entered(one, ada), entered(two, ada) as second:
        assert [let_in(site) for site in (one, two)] == [False, False]
        second.socket.close()
        wait_until(lambda: let_in(one), "the place is free")


def test_sign_out_on_one_host_closes_the_connection_on_the_other(hosts: Hosts) -> None:
    one, two, app = hosts
    user = add_user(app)
    raw = sign_in(app, user)
    with app.app_context():
        found = sessions.load(raw)
    assert found is not None
    with entered(two, token_of(app, user)) as line:
        with app.app_context():
            chat.post_message(found, "public", "said on a page", None)
        assert line.hear("chat")["message"] == "said on a page"
        one.run("user", "disable", user.email)
        assert line.ended() == 4401


def test_killed_worker_and_reconnects_leave_a_correct_count(site: Start) -> None:
    one = site(WEB_CONCURRENCY="2", **OPEN)
    app = create_app(one.settings)
    (token,) = known(app)
    lines = [entered(one, token) for _ in range(30)]
    assert one.value("websocket_connections_active") == 30
    for pid in one.worker_pids():
        os.kill(pid, signal.SIGKILL)
    assert {line.ended() for line in lines} == {1006}
    for line in lines:
        line.socket.close()
    wait_until(lambda: serves(one) and one.value("gunicorn_workers") == 2, "two workers are there again", 90)
    back = [entered(one, token, after=0) for _ in range(50)]
    assert one.value("websocket_connections_active") == 50
    for line in back[:20]:
        line.socket.close()
    wait_until(lambda: one.value("websocket_connections_active") == 30, "those that left are gone")
    one.gunicorn.send_signal(signal.SIGHUP)  # a reload
    assert {line.ended() for line in back[20:]} == {1001}
    for line in back[20:]:
        line.socket.close()
    wait_until(lambda: one.value("websocket_connections_active") == 0, "the count of new workers")


# -- two workers, forked from one master that has made the app --------------------------------------------------------


@pytest.fixture(scope="module")
def _pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with running(tmp_path_factory.mktemp("pair"), WEB_CONCURRENCY="2", **OPEN | {"CHURCH_LIVE_PER_MEMBER": "2"}) as one:
        app = create_app(one.settings)
        yield one, app
        with app.app_context():
            db.dispose()


@pytest.fixture
def pair(_pair: Pair) -> Pair:
    """A site with two workers, and the same site in this process."""
    return _pair


def entered_on(site: Site, worker: int, token: str) -> Line:
    """Open a connection that the worker with this process id holds."""
    with site.only_worker(worker):
        line = Line(site.port)
    assert line.status == 101
    line.sign_in(token)
    line.enter("public")
    return line


def ref_of(line: Line) -> str:
    return next(str(frame["ref"]) for frame in line.heard if frame["type"] == "auth_success")


def sees(line: Line, *people: str) -> None:
    """Wait until just these members are in the room, as this line sees it."""
    line.hear("presence", lambda frame: {person["ref"] for person in frame["members"]} == set(people))


def test_members_on_two_workers_see_each_other_come_type_talk_and_leave(pair: Pair) -> None:
    site, app = pair
    tokens = known(app, 2)
    here, there = site.worker_pids()
    with entered_on(site, here, tokens[0]) as first:
        ada = ref_of(first)
        sees(first, ada)
        with entered_on(site, there, tokens[1]) as second:
            eve = ref_of(second)
            sees(first, ada, eve)
            sees(second, ada, eve)
            for line, other, name in ((first, second, ada), (second, first, eve)):
                line.say("typing", room="public")
                assert other.hear("typing")["from"]["ref"] == name
                line.say("chat", room="public", message=f"by {name}", client_id=name)
                assert [one.hear("chat")["message"] for one in (line, other)] == [f"by {name}"] * 2
            typists = [[f["from"]["ref"] for f in line.heard if f["type"] == "typing"] for line in (first, second)]
            assert typists == [[eve], [ada]], "nobody sees themselves type"
        sees(first, ada)


def test_notice_of_another_process_comes_once_on_each_worker(pair: Pair) -> None:
    site, app = pair
    ada, eve = known(app, 2)
    here, there = site.worker_pids()
    with entered_on(site, here, ada) as first, entered_on(site, there, eve) as second, app.app_context():
        for title in ("One", "Two"):
            live_broadcast.notify("all", "notice", title)
        assert [line.hear("notification")["title"] for line in (first, second) for _ in range(2)] == ["One", "Two"] * 2


def test_session_that_ends_closes_its_connections_on_both_workers(pair: Pair) -> None:
    site, app = pair
    user = add_user(app)
    raw = sign_in(app, user)
    with app.app_context():
        found = sessions.load(raw)
        assert found is not None
        token = member_tokens.issue_token(found).token
    here, there = site.worker_pids()
    with entered_on(site, here, token) as first, entered_on(site, there, token) as second:
        with app.app_context(), db.write() as session:
            assert sessions.end(session, found.session_ref)
        assert [first.ended(), second.ended()] == [4401, 4401]


def test_connection_limit_counts_both_workers(pair: Pair) -> None:
    site, app = pair
    (ada,) = known(app)
    workers = site.worker_pids()
    store = StoreClient(site.settings)

    def let_in_by(worker: int) -> bool:
        with site.only_worker(worker):
            line = Line(site.port)
        with line:
            line.say("auth", token=ada)
            return next(f["type"] for f in line.frames() if f["type"].startswith("auth")) == "auth_success"

    def own_counts() -> list[list[bytes]]:
        names = store.client.smembers("church:live:workers")
        keys = (f"church:live:workers:{name.decode()}" for name in names)
        return [counts for key in keys if (counts := member_counts(store.client.hgetall(key)))]

    def member_counts(fields: dict[bytes, bytes]) -> list[bytes]:
        return [count for name, count in fields.items() if name.startswith(b"member:")]

    with entered_on(site, workers[0], ada), entered_on(site, workers[1], ada) as second:
        wait_until(lambda: own_counts() == [[b"1"], [b"1"]], "each worker has told what it counts")
        assert [let_in_by(worker) for worker in workers] == [False, False]
        wait_until(lambda: site.value("websocket_connections_active") == 2, "those that were refused are gone")
        second.socket.close()
        wait_until(lambda: let_in_by(workers[0]), "the place is free")
