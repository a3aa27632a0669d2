"""Maintenance of a site on two hosts with one database, and of one host alone."""

from __future__ import annotations

import http.client
import json
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest

from tests.support.services_fixture import Postgres, wait_until
from tests.support.site_fixture import Site, running

pytestmark = pytest.mark.services


@pytest.fixture(scope="module")
def hosts(_postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Site]]:
    """Two hosts of one site, with a worker each. A test leaves them open, with their database."""
    _postgres.start()
    settings = {"DATABASE_URL": _postgres.new_database(), "WEB_CONCURRENCY": "1", "SECRET_KEY": "x" * 40}
    with ExitStack() as stack:
        yield [stack.enter_context(running(tmp_path_factory.mktemp(name), store=False, **settings)) for name in "ab"]


def statuses(hosts: list[Site], path: str = "/pages/terms") -> list[int]:
    return [one.get(path)[0] for one in hosts]


def test_maintenance_closes_both_hosts_and_leaves_them_ready(hosts: list[Site]) -> None:
    assert statuses(hosts) == [200, 200]
    assert hosts[0].run("maintenance", "on", "--reason", "New disks", "--minutes", "5").endswith("on all hosts.\n")
    wait_until(lambda: statuses(hosts) == [503, 503], "both are closed")
    assert all(b"New disks" in one.get("/")[1] for one in hosts)
    assert statuses(hosts, "/ready") == [200, 200]
    assert [one.value("maintenance_on", scope="site") for one in hosts] == [1, 1]
    assert "New disks" in hosts[1].run("maintenance", "status")
    hosts[1].run("maintenance", "off")
    wait_until(lambda: statuses(hosts) == [200, 200], "both are open")


def test_maintenance_of_one_host_drains_it_alone(hosts: list[Site]) -> None:
    hosts[0].run("maintenance", "on", "--this-host")
    wait_until(lambda: statuses(hosts, "/ready") == [503, 200], "a balancer avoids the first")
    assert statuses(hosts) == [503, 200]
    assert [one.value("maintenance_on", scope="host") for one in hosts] == [1, 0]
    hosts[0].run("maintenance", "off", "--this-host")
    wait_until(lambda: statuses(hosts, "/ready") == [200, 200], "the first is back")


def test_hosts_closed_stay_closed_while_the_database_is_down_and_after_a_restart(
    hosts: list[Site], postgres: Postgres
) -> None:
    hosts[0].run("maintenance", "on", "--reason", "New disks")
    wait_until(lambda: statuses(hosts) == [503, 503], "both are closed")
    postgres.stop()
    try:
        assert statuses(hosts) == [503, 503]
        (worker,) = hosts[1].worker_pids()
        hosts[1].gunicorn.send_signal(signal.SIGHUP)  # a new worker, which never saw the database
        wait_until(lambda: hosts[1].worker_pids() not in ([worker], []), "it has another worker")
        wait_until(lambda: worker not in hosts[1].worker_pids(), "the old one is gone")
        assert all(b"New disks" in one.get("/")[1] for one in hosts)
        assert "this is what this host heard last" in hosts[1].run("maintenance", "status")
    finally:
        postgres.start()
    hosts[0].run("maintenance", "off")
    wait_until(lambda: statuses(hosts) == [200, 200], "both are open")


def test_host_stays_as_it_was_while_the_database_hangs(hosts: list[Site], postgres: Postgres) -> None:
    assert statuses(hosts) == [200, 200]
    hosts[1].run("maintenance", "on", "--this-host")
    postgres.pause()
    try:
        wait_until(lambda: statuses(hosts, "/ready") == [503, 503], "the database is seen to hang")
        assert [statuses(hosts) for _ in range(5)] == [[200, 503]] * 5
    finally:
        postgres.go_on()
    wait_until(lambda: statuses(hosts, "/ready") == [200, 503], "it answers again")


def test_host_that_stops_fails_ready_on_open_connections(site: Callable[..., Site]) -> None:
    one = site(store=False, WEB_CONCURRENCY="1")
    with closing(http.client.HTTPConnection("127.0.0.1", one.port, timeout=60)) as connection:

        def ask() -> tuple[int, dict[str, Any]]:
            connection.request("GET", "/ready")
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())

        assert ask()[0] == 200
        one.gunicorn.send_signal(signal.SIGTERM)
        answers: list[tuple[int, dict[str, Any]]] = []
        wait_until(lambda: answers.append(ask()) or answers[-1][0] == 503, "the balancer learns of the end")
    assert answers[-1][1]["reason"] == "this process is stopping"
