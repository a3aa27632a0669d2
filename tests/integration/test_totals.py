"""Totals in /metrics of two workers equal the counts of their clients: idle, through reloads, after kill -9."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from tests.support import load
from tests.support.services_fixture import wait_until
from tests.support.site_fixture import Site, running

PATHS = ["/", "/pages/", "/pages/terms", "/health", "/pages/no-such-page", "/nowhere", "/feed.xml", "/robots.txt"]
ROUTES = {
    "/pages/terms": "/pages/<path:slug>",
    "/pages/no-such-page": "/pages/<path:slug>",
    "/nowhere": "_unmatched",
}
CONNECTIONS = 16
PAUSE = 0.2  # seconds between two requests of a client, while workers come and go
Start = Callable[..., Site]


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """For the tests that count what is new; each leaves two workers that answer."""
    with running(tmp_path_factory.mktemp("site")) as found:
        yield found


def counted(site: Site) -> Counter[tuple[str, str]]:
    """http_requests_total by route and status, without the tests' own requests for it."""
    totals: Counter[tuple[str, str]] = Counter()
    for (name, labels), value in site.samples().items():
        if name == "http_requests_total":
            by = dict(labels)
            if by["route"] not in {"/metrics", "/ready"}:
                totals[by["route"], by["status_code"]] += int(value)
    return totals


def seen(tally: load.Tally) -> Counter[tuple[str, str]]:
    totals: Counter[tuple[str, str]] = Counter()
    for (path, status), count in tally.answers.items():
        totals[ROUTES.get(path, path), str(status)] += count
    return totals


def test_totals_of_two_workers_equal_what_clients_counted(one: Site) -> None:
    before, timed = counted(one), {"route": "/feed.xml", "status_class": "2xx"}
    timed_before = one.value("http_request_duration_seconds_count", **timed)
    tally = load.run(one.port, PATHS, CONNECTIONS, lambda asked: asked >= 50)
    assert sum(tally.answers.values()) == 800
    assert tally.unanswered == 0
    wait_until(lambda: counted(one) - before == seen(tally), f"totals {counted(one) - before} are {seen(tally)}")
    timed_now = timed_before + seen(tally)["/feed.xml", "200"]
    wait_until(lambda: one.value("http_request_duration_seconds_count", **timed) == timed_now, "each is timed once")
    wait_until(lambda: one.value("http_requests_in_flight") == 1, "nothing is in flight but the scrape that asks")
    assert len(one.worker_pids()) == one.value("gunicorn_workers") == 2


def test_totals_are_exact_through_a_reload_under_load_and_no_request_fails(one: Site) -> None:
    before = counted(one)
    stop = threading.Event()
    background = load.in_background(lambda: load.run(one.port, PATHS, CONNECTIONS, lambda _asked: stop.is_set(), PAUSE))
    next(background)
    for _ in range(2):
        old = set(one.worker_pids())
        one.gunicorn.send_signal(signal.SIGHUP)
        wait_until(lambda old=old: not old & set(one.worker_pids()), "the old workers are gone", 90)
        wait_until(lambda: one.value("gunicorn_workers") == 2, "the new workers count", 90)
    stop.set()
    tally = next(background)
    assert tally.unanswered == 0
    wait_until(lambda: counted(one) - before == seen(tally), f"totals {counted(one) - before} are {seen(tally)}")
    wait_until(lambda: one.value("http_requests_in_flight") == 1, "nothing is in flight but the scrape")


def test_totals_after_kill_9_miss_at_most_the_requests_in_flight(one: Site) -> None:
    for round_ in range(1, 3):
        before = counted(one)
        victim = one.worker_pids()[0]
        stop = threading.Event()
        background = load.in_background(
            lambda stop=stop: load.run(one.port, PATHS, CONNECTIONS, lambda _: stop.is_set(), PAUSE)
        )
        next(background)
        started = sum(before.values())
        wait_until(lambda s=started: sum(counted(one).values()) > s + 50, "load is on")
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda v=victim: v not in one.worker_pids() and len(one.worker_pids()) == 2, "a new worker", 90)
        wait_until(lambda: one.value("gunicorn_workers") == 2, "it counts", 90)
        stop.set()
        tally = next(background)
        assert tally.unanswered <= CONNECTIONS, f"round {round_}"
        wait_until(lambda: one.value("http_requests_in_flight") == 1, "nothing is in flight but the scrape")
        difference = sum(counted(one).values()) - sum(before.values()) - sum(seen(tally).values())
        assert -CONNECTIONS <= difference <= tally.unanswered, f"round {round_}: {difference}"


def test_ready_workers_answer_without_the_store(site: Start) -> None:
    one = site(store=False)
    assert one.get("/pages/terms")[0] == 200
    assert one.value("store_up") == 0
