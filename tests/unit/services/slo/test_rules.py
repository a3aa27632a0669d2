"""The generated rules: budgets, labels, and when alerts fire."""

from __future__ import annotations

import re

from tests.support.slo_fixture import rules_of, write_spec


def test_budget_is_exact_and_labels_are_on_every_recorded_rule() -> None:
    found = rules_of(write_spec("labels", {"environment": "production"}))
    ids = {"sloth_id": "shop-orders", "sloth_service": "shop", "sloth_slo": "orders", "environment": "production"}
    assert found["slo:error_budget:ratio"] == {
        "record": "slo:error_budget:ratio",
        "expr": "vector(0.001)",
        "labels": ids,
    }
    assert all(ids.items() <= rule["labels"].items() for rule in found.values() if "record" in rule)
    assert found["slo:sli_error:ratio_rate6h"]["labels"] == ids | {"sloth_window": "6h"}


def test_alerts_need_each_factor_in_both_windows_and_traffic_in_the_long_one() -> None:
    found = rules_of(write_spec())
    for name, severity, pairs in (
        ("Orders page", "critical", [("14.4", "1h", "5m"), ("6", "6h", "30m")]),
        ("Orders ticket", "warning", [("3", "1d", "2h"), ("1", "3d", "6h")]),
    ):
        limits = re.findall(r"ratio_rate(\w+)\{.*?\} > \((\S+) \* 0\.001\)", found[name]["expr"])
        assert limits == [(window, factor) for factor, long, short in pairs for window in (short, long)]
        traffic = re.findall(r"slo:sli_total:increase(\w+)\{.*?\} >= 50", found[name]["expr"])
        assert traffic == [long for _, long, _ in pairs]
        assert found[name]["labels"]["severity"] == severity
