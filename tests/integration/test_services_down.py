"""The site with PostgreSQL and Redis, and without them: what needs them answers 503, the rest works."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from tests.support.services_fixture import Postgres, RedisServer, wait_until
from tests.support.site_fixture import Site

Start = Callable[..., Site]


def test_site_on_postgresql_and_redis_survives_a_restart_of_both(
    site: Start, postgres: Postgres, postgres_url: str, redis_server: RedisServer
) -> None:
    urls = {"DATABASE_URL": postgres_url, "REDIS_URL": redis_server.url}
    one = site(store=False, CHURCH_LIMIT_SEARCH="1000000/minute", **urls)
    assert one.get("/pages/?q=nothing-of-the-kind")[0] == 200
    wait_until(lambda: (one.value("database_up"), one.value("store_up")) == (1, 1), "both are up")
    postgres.stop()
    redis_server.stop()
    try:
        # each worker reuses its last probe for a second
        wait_until(lambda: database_check(one) is False, "/ready reports the database as down")
        wait_until(lambda: (one.value("database_up"), one.value("store_up")) == (0, 0), "so does the scrape")
        assert one.get("/pages/terms")[0] == one.get("/health")[0] == 200
        assert one.get("/pages/?q=backup")[0] == 503
        wait_until(lambda: "jobs_pending" not in {name for name, _ in one.samples()}, "what is not known is absent")
    finally:
        postgres.start()
        redis_server.start()
    wait_until(lambda: one.get("/ready")[0] == 200, "the pool recovers by itself")
    wait_until(lambda: one.value("store_up") == 1, "the store is found again")
    wait_until(lambda: one.get("/pages/?q=backup")[0] == 200, "so does the search, on either worker")


def database_check(one: Site) -> bool:
    status, body = one.get("/ready", Accept="application/json")
    found: bool = json.loads(body)["checks"]["database"]
    assert (status == 200) == found
    return found


def test_limit_holds_across_workers_and_while_the_store_is_down(site: Start, redis_server: RedisServer) -> None:
    one = site(store=False, REDIS_URL=redis_server.url, CHURCH_LIMIT_SEARCH="5/hour")
    answers = [one.get("/pages/?q=x")[0] for _ in range(30)]
    assert set(answers) == {200, 429}
    assert 5 <= answers.count(200) <= 5 * one.settings.workers  # each worker hears of the others within a moment
    redis_server.pause()
    try:
        with ThreadPoolExecutor(14) as visitors:
            answers += visitors.map(lambda _: one.get("/pages/?q=x")[0], range(14))
        assert 429 in answers[-14:]
        assert answers.count(200) <= 5 * one.settings.workers  # each worker counts on by itself until it is back
    finally:
        redis_server.go_on()
    wait_until(lambda: one.get("/pages/?q=x")[0] == 429, "the shared count is in force again")
