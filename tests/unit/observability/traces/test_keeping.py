"""Which traces are kept: all that failed, were asked for or slow, and now and then a typical one."""

from __future__ import annotations

import random

import pytest

from church.observability.traces import keeping
from church.observability.traces.keeping import Traffic


def judge(traffic: Traffic, seconds: float, now: float = 0.5, failed: bool = False, asked: bool = False) -> str | None:
    return traffic.judge(seconds, now, failed, asked)


@pytest.fixture
def busy() -> Traffic:
    """A route whose requests take 10 to 20 ms, on whose typical ones nobody waits."""
    traffic = Traffic("/pages/<slug>")
    for number in range(1000):
        judge(traffic, 0.010 + number / 100_000)
    traffic._next_typical = 1e9
    return traffic


def test_each_that_fails_is_kept() -> None:
    traffic = Traffic("/")
    assert [judge(traffic, 0.001, failed=True) for _ in range(3)] == ["failed"] * 3


def test_each_that_is_asked_for_is_kept() -> None:
    traffic = Traffic("/")
    assert [judge(traffic, 0.001, asked=True) for _ in range(3)] == ["asked"] * 3
    assert judge(traffic, 0.001, failed=True, asked=True) == "failed"


def test_each_over_a_second_is_slow_from_the_first_on() -> None:
    traffic = Traffic("/")
    assert [judge(traffic, seconds) for seconds in (1.1, 5.0, 0.9)] == ["slow", "slow", None]


def test_one_over_the_percentile_of_its_route_is_slow(busy: Traffic) -> None:
    assert [judge(busy, seconds) for seconds in (0.012, 0.019, 0.024, 0.2)] == [None, None, "slow", "slow"]


def test_about_one_in_a_hundred_is_over_the_percentile() -> None:
    traffic, dice = Traffic("/"), random.Random(7)
    traffic._next_typical = 1e9
    verdicts = [judge(traffic, dice.lognormvariate(-4.6, 0.8)) for _ in range(20_000)]
    assert 60 <= verdicts[2_000:].count("slow") <= 250


def test_few_requests_have_no_percentile() -> None:
    traffic = Traffic("/")
    assert [judge(traffic, 0.001 * number, asked=False) for number in range(99)].count("slow") == 0


def test_percentile_is_of_the_last_hour(busy: Traffic) -> None:
    assert judge(busy, 0.2) == "slow"
    for now in (2_000.0, 4_000.0):  # two windows later
        for _ in range(600):
            judge(busy, 0.3, now)
    assert judge(busy, 0.2, 4_001.0) is None


def test_percentile_survives_one_window_and_no_pause_of_hours(busy: Traffic) -> None:
    judge(busy, 0.010, 1_900.0)
    assert judge(busy, 0.2, 1_901.0) == "slow"
    judge(busy, 0.010, 90_000.0)
    assert judge(busy, 0.2, 90_001.0) is None


def test_typical_ones_are_few_and_never_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(keeping.random, "expovariate", lambda rate: pauses.append(1 / rate) or 1 / rate)
    traffic = Traffic("/")
    verdicts = [judge(traffic, 0.001, float(now)) for now in range(1, 1000)]
    assert verdicts[0] is None
    assert [now for now, verdict in enumerate(verdicts, 1) if verdict == "typical"] == [31, 331, 631, 931]
    assert pauses[0] == pytest.approx(30)


@pytest.mark.parametrize("route", ["/health", "/ready", "/metrics"])
def test_probes_are_kept_if_they_fail_alone(route: str) -> None:
    traffic = Traffic(route)
    assert judge(traffic, 5.0, asked=True) is None
    assert judge(traffic, 0.001, failed=True) == "failed"


@pytest.mark.parametrize("seconds", [0.0, 1e-9, 1e-4, 1.0, 1e6])
def test_any_duration_is_counted(seconds: float) -> None:
    traffic = Traffic("/")
    judge(traffic, seconds)
    assert sum(traffic._counts) == 1


def test_routes_have_traffic_of_their_own() -> None:
    one = keeping.traffic_of("GET", "/one")
    assert keeping.traffic_of("GET", "/one") is one
    assert keeping.traffic_of("POST", "/one") is not one
