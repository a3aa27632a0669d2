"""The file of objectives: errors name their place."""

from __future__ import annotations

from decimal import Decimal

import pytest

from church.errors import FieldErrors
from church.services.slo.spec import break_selector, read_spec
from tests.support.slo_fixture import MINIMAL, write_spec


@pytest.mark.parametrize(
    ("place", "value", "field"),
    [
        ("service", None, "service"),
        ("service", "The Shop", "service"),
        ("extra", "more", "extra"),
        ("slos", [], "slos"),
        ("labels", {"sloth_id": "mine"}, "labels.sloth_id"),
        ("labels", {"team": 7}, "labels.team"),
        ("slos.0.objective", 100, "slos[0].objective"),
        ("slos.0.objective", 93, "slos[0].objective"),
        ("slos.0.objective", float("nan"), "slos[0].objective"),
        ("slos.0.objective", "99.9", "slos[0].objective"),
        ("slos.0.minimum", 0, "slos[0].minimum"),
        ("slos.0.description", "two\nlines", "slos[0].description"),
        ("slos.0.description", "{{ $value }}", "slos[0].description"),
        ("slos.0.alert", "orders burn", "slos[0].alert"),
        ("slos.0.sli.total", "rate(orders_total[5m])", "slos[0].sli.total"),
        ("slos.0.sli.errors", 'orders_total{outcome=~"do"ne"}', "slos[0].sli.errors"),
        ("slos.0.sli.errors", None, "slos[0].sli"),
        ("slos.0.sli.good", "orders_total", "slos[0].sli"),
        ("slos.0.samples.good", ['orders_total{outcome=~"done"}'], "slos[0].samples.good[0]"),
        ("slos.0.samples.error", [], "slos[0].samples.error"),
        ("slos", [*MINIMAL["slos"], MINIMAL["slos"][0] | {"alert": "Others"}], "slos[1].name"),
        ("slos", [*MINIMAL["slos"], MINIMAL["slos"][0] | {"name": "others"}], "slos[1].alert"),
    ],
)
def test_invalid_field_is_named(place: str, value: object, field: str) -> None:
    with pytest.raises(FieldErrors) as refused:
        read_spec(write_spec(place, value))
    assert list(refused.value.errors) == [field]


@pytest.mark.parametrize(("objective", "budget"), [(99.9, "0.001"), (99.95, "0.0005"), (95, "0.05")])
def test_budget_is_an_exact_decimal(objective: float, budget: str) -> None:
    (slo,) = read_spec(write_spec("slos.0.objective", objective)).slos
    assert slo.budget == Decimal(budget)


def test_metrics_are_the_names_of_all_selectors() -> None:
    (slo,) = read_spec(write_spec("slos.0.sli", {"total": 'a_total{x="1"}', "good": "b_total", "absent": "up"})).slos
    assert slo.metrics == {"a_total", "b_total", "up"}
    assert slo.sli.measured_by == "up"


def test_long_selector_is_broken_at_its_matchers() -> None:
    short = 'orders_total{outcome="done"}'
    assert break_selector(short) == short
    long = f'orders_total{{a="{"x" * 50}", b=~"{"y" * 50}"}}'
    assert break_selector(long).splitlines() == [
        "orders_total{",
        f'  a="{"x" * 50}",',
        f'  b=~"{"y" * 50}"',
        "}",
    ]
