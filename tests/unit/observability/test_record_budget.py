"""The budget of records: shares by type and address, a bound for each, and one sum at the end of a window."""

from __future__ import annotations

import pytest

from church.observability import record_budget
from church.observability.record_budget import RecordBudget, Share, Withheld

SHARE = Share(address=3, first=4, repeated=5)


@pytest.fixture
def now() -> list[float]:
    """The time, to be set."""
    return [100.0]


@pytest.fixture
def budget(now: list[float]) -> RecordBudget:
    """A small budget."""
    return RecordBudget(ordinary=SHARE, high=Share(address=6, first=8, repeated=10), clock=lambda: now[0])


def _admitted(budget: RecordBudget, addresses: list[str], event_type: str = "probe", severity: str = "low") -> int:
    return sum(budget.admit(event_type, severity, address) for address in addresses)


def test_flood_of_an_address_gets_its_share_alone(budget: RecordBudget) -> None:
    assert _admitted(budget, ["192.0.2.1"] * 50) == 3
    assert _admitted(budget, ["192.0.2.2"] * 50) == 3


def test_flood_of_one_type_takes_nothing_from_another(budget: RecordBudget) -> None:
    _admitted(budget, ["192.0.2.1"] * 50)
    assert _admitted(budget, ["192.0.2.1"] * 3, event_type="token") == 3


def test_high_severity_has_a_larger_share_of_its_own(budget: RecordBudget) -> None:
    _admitted(budget, ["192.0.2.1"] * 50)
    assert _admitted(budget, ["192.0.2.1"] * 50, severity="high") == 6


def test_first_record_of_an_address_survives_the_repetitions_of_others(budget: RecordBudget) -> None:
    for address in ("192.0.2.1", "192.0.2.2", "192.0.2.3"):
        _admitted(budget, [address] * 50)
    assert _admitted(budget, ["192.0.2.4"] * 50) == 1


def test_flood_of_many_addresses_stops_at_the_ceiling_of_its_type(budget: RecordBudget) -> None:
    assert _admitted(budget, [f"10.{a}.{b}.1" for a in range(20) for b in range(100)]) == SHARE.first


def test_flood_of_many_addresses_keeps_memory_bounded(budget: RecordBudget) -> None:
    _admitted(budget, [f"10.{a}.{b}.1" for a in range(20) for b in range(100)])
    (window,) = budget._windows.values()
    assert (len(window._written), len(window._addresses)) == (SHARE.first, record_budget.MAX_ADDRESSES)


def test_addresses_of_one_ipv6_network_share(budget: RecordBudget) -> None:
    assert _admitted(budget, [f"2001:db8:0:7::{n:x}" for n in range(1, 50)]) == 3
    assert _admitted(budget, ["2001:db8:0:8::1"]) == 1


def test_ipv6_site_gets_some_shares_and_not_one_for_each_of_its_networks() -> None:
    budget = RecordBudget(ordinary=Share(address=3, first=100, repeated=100))
    assert _admitted(budget, [f"2001:db8:1:{n:x}::1" for n in range(90)]) == 3 * record_budget.SITE_FACTOR
    assert _admitted(budget, ["2001:db8:2::1"]) == 1
    (withheld,) = budget.take_withheld(everything=True)
    assert withheld.withheld == 90 - 3 * record_budget.SITE_FACTOR


def test_withheld_records_are_summed_up_when_the_window_ends(budget: RecordBudget, now: list[float]) -> None:
    _admitted(budget, ["192.0.2.1"] * 10 + ["192.0.2.2"] * 10)
    now[0] += record_budget.WINDOW - 1
    assert budget.take_withheld() == []
    now[0] += 1
    assert budget.take_withheld() == [Withheld("probe", "low", withheld=14, addresses=2)]
    assert budget.take_withheld() == []


def test_withheld_records_of_an_ended_window_survive_the_next_event(budget: RecordBudget, now: list[float]) -> None:
    _admitted(budget, ["192.0.2.1"] * 10)
    now[0] += record_budget.WINDOW
    assert _admitted(budget, ["192.0.2.1"]) == 1
    assert budget.take_withheld() == [Withheld("probe", "low", withheld=7, addresses=1)]


def test_withheld_records_of_open_windows_are_summed_up_at_the_end(budget: RecordBudget) -> None:
    _admitted(budget, ["192.0.2.1"] * 10)
    _admitted(budget, ["192.0.2.1"], event_type="token")
    assert budget.take_withheld(everything=True) == [Withheld("probe", "low", withheld=7, addresses=1)]
