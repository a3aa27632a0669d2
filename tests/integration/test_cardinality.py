"""The number of series stays bounded, whatever clients request."""

from __future__ import annotations

import random
import string
import threading
from collections.abc import Callable

from tests.support import load
from tests.support.services_fixture import wait_until
from tests.support.site_fixture import Site

REQUESTS = 1_000
CONNECTIONS = 8
METHODS = ["GET", "POST", "PUT", "DELETE", "HEAD", "FOO1", "PROPFIND", "TRACE", "X-Y"]


def test_random_paths_methods_and_hosts_make_fewer_than_60_series(site: Callable[..., Site]) -> None:
    one = site(WEB_CONCURRENCY="1")
    one.get("/metrics")
    before = set(one.samples())

    def strange(seed: int) -> None:
        dice, connection = random.Random(seed), load.Connection(one.port)
        for _ in range(REQUESTS // CONNECTIONS):
            path = "/" + "".join(dice.choices(string.ascii_letters + string.digits + "/-_.~%", k=dice.randint(1, 40)))
            path = "/x" + path.replace("%", "%2")
            method = dice.choice(METHODS) if dice.random() < 0.5 else "".join(dice.choices(string.ascii_uppercase, k=6))
            host = f"{dice.randrange(1 << 30)}.example"
            connection.get(path, method, f"X-Forwarded-Host: {host}\r\n", host=host)
        connection.close()

    threads = [threading.Thread(target=strange, args=(seed,)) for seed in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_until(lambda: one.value("http_requests_total", route="_unmatched") >= REQUESTS, "all of them are counted")
    after = one.samples()
    new = set(after) - before
    assert len(new) < 60, sorted(name for name, _ in new)
    http = [dict(labels) for name, labels in new if name.startswith("http_")]
    assert {labels["route"] for labels in http} <= {"_unmatched", "/metrics"}
    assert {labels["method"] for labels in http if "status_code" in labels} <= {*METHODS[:5], "_OTHER"}
