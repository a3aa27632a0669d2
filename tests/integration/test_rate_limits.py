"""Rate limits over two hosts with a worker each and one Redis: exact ones, settled ones, and a failing store.

Two hosts, because one host's kernel may give all requests to one of its workers.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.environment import forget_the_shell
from tests.support.services_fixture import RedisServer, wait_until
from tests.support.site_fixture import Site

Hosts = tuple[Site, Site]
LIMITS = {
    "CHURCH_LIMIT_LOGIN": "20/hour",
    "CHURCH_LIMIT_API": "20/hour",
    "CHURCH_LIMIT_REGISTER": "2/hour",
    "CHURCH_LIMIT_SEARCH": "2/hour",
}
PATHS = {"login": "/auth/login", "api": "/robots.txt", "register": "/auth/register", "search": "/pages/?q=x"}
EXACT = {"login", "register"}


@pytest.fixture(scope="module")
def _hosts(_redis: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    """Two hosts that trust the addresses that the tests send."""
    _redis.start()
    shared = {"REDIS_URL": _redis.url, "WEB_CONCURRENCY": "1", "CHURCH_TRUSTED_PROXIES": "127.0.0.1/32", **LIMITS}
    with pytest.MonkeyPatch.context() as patch:
        forget_the_shell(patch)
        first, second = (Site(tmp_path_factory.mktemp(name), **shared) for name in ("one", "two"))
    try:
        yield first.start(store=False), second.start(store=False)
    finally:
        first.stop()
        second.stop()


@pytest.fixture
def redis_server(_redis: RedisServer) -> Iterator[RedisServer]:
    """The server of the hosts. A test may stop it."""
    _redis.start()
    yield _redis
    _redis.go_on()


@pytest.fixture
def hosts(_hosts: Hosts, redis_server: RedisServer) -> Hosts:
    """The two hosts. Each test needs addresses of its own."""
    return _hosts


def fetch(site: Site, limit: str, address: str) -> tuple[int, str | None]:
    """Send a request that counts against ``limit``, as from ``address``; returns its status and Retry-After."""
    body = json.dumps({}).encode() if limit in EXACT else None
    headers = {"X-Forwarded-For": address, "Content-Type": "application/json"}
    try:
        with urllib.request.urlopen(
            urllib.request.Request(site.url + PATHS[limit], body, headers), timeout=60
        ) as found:
            return found.status, None
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Retry-After"]


def send(site: Site, limit: str, address: str) -> int:
    """Send a request; returns its status."""
    return fetch(site, limit, address)[0]


def let_by(sites: Sequence[Site], limit: str, addresses: Sequence[str]) -> list[int]:
    """Send a request of each address, all at once and to the hosts in turn; how many each host lets by."""
    turns = [(number % len(sites), address) for number, address in enumerate(addresses)]
    with ThreadPoolExecutor(len(turns)) as clients:
        statuses = list(clients.map(lambda turn: send(sites[turn[0]], limit, turn[1]), turns))
    found = Counter(host for (host, _), status in zip(turns, statuses, strict=True) if status != 429)
    return [found[host] for host in range(len(sites))]


def stored(redis_server: RedisServer, limit: str, key: str) -> int:
    with redis_server.client() as client:
        return int(client.get(f"church:limit:{limit}:client:{key}") or 0)


def test_exact_limit_lets_by_exactly_its_number_of_parallel_requests(hosts: Hosts) -> None:
    assert sum(let_by(hosts, "login", ["192.0.2.1"] * 50)) == 20


def test_settled_limit_in_parallel_exceeds_it_by_one_limit_for_each_other_worker_at_most(
    hosts: Hosts, redis_server: RedisServer
) -> None:
    found = let_by(hosts, "api", ["192.0.2.2"] * 80)
    assert all(0 < count <= 20 for count in found)
    wait_until(lambda: stored(redis_server, "api", "192.0.2.2") == sum(found), "both have settled")
    for host in hosts:
        wait_until(lambda host=host: send(host, "api", "192.0.2.2") == 429, "it knows the total")  # type: ignore[misc]
    assert stored(redis_server, "api", "192.0.2.2") <= 40


def test_settled_limit_used_up_on_one_host_is_exceeded_only_until_the_other_settles(
    hosts: Hosts, redis_server: RedisServer
) -> None:
    first, second = hosts
    assert [send(first, "api", "192.0.2.3") for _ in range(25)].count(200) == 20
    wait_until(lambda: stored(redis_server, "api", "192.0.2.3") == 20, "the first has settled")
    assert send(second, "api", "192.0.2.3") == 200
    wait_until(lambda: stored(redis_server, "api", "192.0.2.3") == 21, "the second has settled")
    wait_until(lambda: send(second, "api", "192.0.2.3") == 429, "and knows the total a moment later")
    assert stored(redis_server, "api", "192.0.2.3") <= 40


@pytest.mark.parametrize(("limit", "site"), [("register", "2001:db8:1"), ("search", "2001:db8:2")])
def test_limit_of_an_ipv6_site_is_eight_times_that_of_a_subnet(
    hosts: Hosts, redis_server: RedisServer, limit: str, site: str
) -> None:
    found = let_by(hosts, limit, [f"{site}:{number:x}::1" for number in range(48)])
    if limit in EXACT:
        assert sum(found) == 16
    else:
        assert all(0 < count <= 16 for count in found)
    wait_until(lambda: stored(redis_server, limit, f"{site}::/48") == sum(found), "the site has one count")


@pytest.mark.parametrize("limit", ["register", "search"])
def test_retry_after_is_within_the_window(hosts: Hosts, limit: str) -> None:
    *_, (status, retry_after) = [fetch(hosts[0], limit, "192.0.2.4") for _ in range(3)]
    assert status == 429
    assert retry_after is not None
    assert 1 <= int(retry_after) <= 3600


def test_hung_store_lets_each_worker_count_on_and_gets_the_counts_when_it_goes_on(
    hosts: Hosts, redis_server: RedisServer
) -> None:
    first, second = hosts
    assert send(first, "api", "192.0.2.5") == send(second, "api", "192.0.2.5") == 200
    wait_until(lambda: stored(redis_server, "api", "192.0.2.5") == 2, "both have settled")
    redis_server.pause()
    assert [send(first, "api", "192.0.2.5") for _ in range(30)].count(200) in {18, 19}, "it knows one or both"
    assert [send(second, "api", "192.0.2.5") for _ in range(30)].count(200) in {18, 19}
    redis_server.go_on()
    wait_until(lambda: stored(redis_server, "api", "192.0.2.5") >= 38, "both settle without another request")


@pytest.mark.parametrize(("limit", "address"), [("login", "192.0.2.6"), ("api", "192.0.2.7")])
def test_each_worker_counts_alone_while_the_store_is_down_and_settles_when_it_is_back(
    hosts: Hosts, redis_server: RedisServer, limit: str, address: str
) -> None:
    first, second = hosts
    redis_server.stop()
    assert [send(first, limit, address) for _ in range(15)].count(429) == 0
    assert [send(second, limit, address) for _ in range(30)].count(429) == 10
    redis_server.start()
    wait_until(lambda: stored(redis_server, limit, address) == 35, "both settle without another request")
    for host in hosts:
        wait_until(lambda host=host: send(host, limit, address) == 429, "it knows the total")  # type: ignore[misc]
    assert stored(redis_server, limit, address) <= 40
