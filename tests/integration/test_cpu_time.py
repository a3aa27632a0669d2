"""The CPU time of real workers, by what used it: most is of requests and jobs, and the sum is that of the system."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import load
from tests.support.services_fixture import wait_until
from tests.support.site_fixture import Site

PATHS = ["/", "/pages/", "/pages/terms", "/stripe/pricing", "/pages/search?q=church", "/nowhere"]
CONNECTIONS = 8


def by_work(site: Site) -> dict[str, float]:
    """Counted seconds by work, and as ``process`` those that the system has counted for the same processes."""
    found = {"process": 0.0}
    for (name, labels), value in site.samples().items():
        if name == "process_cpu_by_work_seconds_total":
            found[dict(labels)["work"]] = value
        elif name == "process_cpu_seconds_total":
            found["process"] += value
    return found


def named(seconds: dict[str, float]) -> float:
    return sum(value for work, value in seconds.items() if work != "process")


def test_cpu_time_under_load_is_of_requests_and_all_of_it_is_named(tmp_path: Path) -> None:
    one = Site(tmp_path)
    try:
        check_sums(one.start(work=True))
    finally:
        one.stop()


def check_sums(one: Site) -> None:
    before = by_work(one)
    tally = load.run(one.port, PATHS, CONNECTIONS, lambda asked: asked >= 600)
    assert tally.unanswered == 0
    seen: list[dict[str, float]] = []

    def agrees() -> bool:
        seen.append(by_work(one))
        return named(seen[-1]) == pytest.approx(seen[-1]["process"], rel=0.03)

    wait_until(agrees, "the sum of all work is what the system says")
    grown = {work: seconds - before[work] for work, seconds in seen[-1].items()}
    # What grows with the time of this test, not with its load: on a busy machine that is long.
    others = named(grown) - sum(grown[work] for work in ("scrape", "start", "background", "hub"))
    assert grown["request"] + grown["job"] + grown["live"] > 0.75 * others, grown
    assert grown["request"] > 0.5 * others, grown
    assert seen[-1]["job"] > 0
    assert grown["scrape"] > 0
