"""Connection limits hold over all workers, also when a worker is killed or the store is down."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import gevent
import pytest

from church import create_app
from church.live import connection_limits
from church.live.connection_limits import ConnectionLimits
from tests.support.live_stubs import run_until
from tests.support.services_fixture import RedisServer, site_settings

Worker = Callable[[str], ConnectionLimits]
WHO = "member:ada"
LEASE = connection_limits._LEASE


@pytest.fixture
def worker(tmp_path: Path, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Worker:
    """Workers of different processes have their own counts, and the same store, whose answers are waited for; what
    they said is believed for longer than any test takes."""
    monkeypatch.setattr(connection_limits, "_LEASE", 600.0)
    monkeypatch.setenv("REDIS_URL", redis_server.url)
    app = create_app(site_settings(tmp_path, CHURCH_STORE_TIMEOUT="10"))
    return lambda name: ConnectionLimits(app, name)


def test_limit_counts_all_workers_and_frees_what_is_given_back(worker: Worker) -> None:
    one, two = worker("one"), worker("two")
    assert [one.take(WHO, 3), two.take(WHO, 3), one.take(WHO, 3)] == [True] * 3
    assert [one.take(WHO, 3), two.take(WHO, 3)] == [False] * 2
    assert two.take("member:eve", 3)
    one.give_back(WHO)
    run_until(lambda: two.take(WHO, 3), "the place is free")
    assert not one.take(WHO, 3)


def test_parallel_takes_are_allowed_up_to_the_limit(worker: Worker) -> None:
    workers = [worker(name) for name in "abc"]
    coming = [gevent.spawn(workers[number % 3].take, WHO, 7) for number in range(30)]
    gevent.joinall(coming, raise_error=True)
    assert sum(one.value for one in coming) == 7


def test_counts_of_a_killed_worker_expire_and_of_a_living_one_stay(worker: Worker, redis_server: RedisServer) -> None:
    assert LEASE <= 6
    lives, killed, other = worker("lives"), worker("killed"), worker("other")
    assert [lives.take(WHO, 2), killed.take(WHO, 2), other.take(WHO, 2)] == [True, True, False]
    with redis_server.client() as client:
        assert 0 < client.pttl("church:live:workers:killed") <= 600_000
        client.pexpire("church:live:workers:lives", 300_000)
        living = gevent.spawn(lives.run)
        run_until(lambda: client.pttl("church:live:workers:lives") > 300_000, "it says that it is there")
        client.delete("church:live:workers:killed")  # as its expiry does
    assert [other.take(WHO, 2), other.take(WHO, 2)] == [True, False]
    living.kill()


def test_store_down_counts_locally_and_reports_when_it_is_back(
    worker: Worker, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_limits, "_RENEWED", 0.02)
    one, two = worker("one"), worker("two")
    living = gevent.spawn(one.run)
    assert one.take(WHO, 2)
    redis_server.stop()
    assert [one.take(WHO, 2), one.take(WHO, 2)] == [True, False]
    assert two.take("member:eve", 2)
    redis_server.start()
    with redis_server.client() as client:
        run_until(lambda: client.hget("church:live:workers:one", WHO) == b"2", "what it has is known again")
    assert not two.take(WHO, 2)
    living.kill()
