"""The generated tests of the rules."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from church.services.slo import rule_files
from church.services.slo.simulations import make_promtool_tests
from church.services.slo.spec import read_spec
from tests.support.slo_fixture import MINIMAL, write_spec


@pytest.mark.parametrize(("total", "tests"), [("letters_total", 7), ("orders_total", 14)])
def test_objectives_with_the_same_metric_are_tested_separately(total: str, tests: int) -> None:
    other = MINIMAL["slos"][0] | {"name": "letters", "alert": "Letters", "sli": {"total": total, "errors": total}}
    made = rule_files.generate_files(write_spec("slos", [*MINIMAL["slos"], other]))[rule_files.TESTS]
    assert len(yaml.safe_load(made)["tests"]) == tests


def test_simulations_of_an_objective_are_evaluated_in_the_order_of_its_rules() -> None:
    made = make_promtool_tests(read_spec(write_spec()), Path("../rules.yml"))
    assert made["rule_files"] == ["../rules.yml"]
    assert made["group_eval_order"] == [
        f"sloth-slo-{kind}-shop-orders" for kind in ("sli-recordings", "meta-recordings", "alerts")
    ]


def test_simulation_of_an_outage_fires_both_alerts_and_clears_them() -> None:
    outage = make_promtool_tests(read_spec(write_spec()), Path("rules.yml"))["tests"][0]
    fired = [
        [alert["exp_labels"]["severity"] for alert in check["exp_alerts"]]
        for check in outage["alert_rule_test"]
        if check["alertname"] == "Orders"
    ]
    assert fired == [[], ["critical", "warning"], ["warning"], []]


def test_simulation_of_too_little_traffic_stays_below_the_minimum() -> None:
    tests = {
        test["name"].partition(":")[0]: test
        for test in make_promtool_tests(read_spec(write_spec()), Path("rules.yml"))["tests"]
    }
    quiet = tests["too little traffic is silent"]
    assert all(check["exp_alerts"] == [] for check in quiet["alert_rule_test"])
