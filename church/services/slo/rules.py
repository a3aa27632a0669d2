"""Make Prometheus' recording and alert rules from the objectives.

Every ratio is failed events over all events of its window, so a quiet night counts little. Windows up to six hours are
computed from the site's counters. Longer windows add up recorded shorter ones: to read every series of 30 days at each
evaluation would take Prometheus seconds. Without events a ratio is 0, never NaN.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from church.services.slo.spec import HIGHEST_BURN_RATE, Sli, Slo, Slos, break_selector

Rule = dict[str, Any]

_SHORT = ("5m", "30m", "1h", "2h", "6h")
_LONG = {"1d": "5m", "3d": "30m", "30d": "30m"}  # with the recorded windows that are added up
_DAYS = 30
_ERRORS, _TOTAL = "slo:sli_errors:increase", "slo:sli_total:increase"
# Factor, long window, short window: SRE workbook, table 5-8, as sloth uses it.
PAGE = ((HIGHEST_BURN_RATE, "1h", "5m"), (Decimal(6), "6h", "30m"))
TICKET = ((Decimal(3), "1d", "2h"), (Decimal(1), "3d", "6h"))
SEVERITIES = {"page": "critical", "ticket": "warning"}
UNMEASURED_FOR = "10m"


def make_rule_groups(slos: Slos) -> list[Rule]:
    """Make the rule groups of all objectives, three each, with sloth's names."""
    return [group for slo in slos.slos for group in _groups(slo, slos)]


def _groups(slo: Slo, slos: Slos) -> list[Rule]:
    ids = slos.ids(slo)
    return [
        {"name": f"sloth-slo-{kind}-{ids['sloth_id']}", "rules": rules}
        for kind, rules in (
            ("sli-recordings", _ratios(slo.sli, ids)),
            ("meta-recordings", _meta(slo, ids)),
            ("alerts", _alerts(slo, slos)),
        )
    ]


def alert_labels(severity: str, ids: dict[str, str]) -> dict[str, str]:
    """Return the labels of a firing alert; ``severity`` is page or ticket."""
    return ids | {"sloth_severity": severity, "severity": SEVERITIES[severity]}


def burn_annotations(slo: Slo, slos: Slos, severity: str) -> dict[str, str]:
    """Write the annotations of an alert about a budget that is being spent."""
    pace = "so fast that it will be used up in days" if severity == "page" else "too fast"
    return {
        "summary": f"({severity}) {slos.service} {slo.name}: the error budget is being spent {pace}",
        "description": f"{slo.description} The objective is {slo.objective:g}% of 30 days.",
        "runbook_url": f"{slos.runbooks}#an-error-budget-is-spent",
    }


def make_unmeasured_alert(slo: Slo, slos: Slos) -> tuple[str, dict[str, str], dict[str, str]]:
    """Return name, labels and annotations of the alert for an objective without data."""
    annotations = {
        "summary": f"{slos.service} {slo.name}: the objective is not measured",
        "description": f"Prometheus has no series for {slo.sli.measured_by.partition('{')[0]}.",
        "runbook_url": f"{slos.runbooks}#an-objective-is-not-measured",
    }
    return f"{slo.alert}Unmeasured", alert_labels("ticket", slos.ids(slo)), annotations


def _ratios(sli: Sli, ids: dict[str, str]) -> list[Rule]:
    rules = []
    for window in _SHORT:
        rules.append(_record(_ERRORS + window, _errors(sli, window), ids, window))
        rules.append(_record(_TOTAL + window, _increase(sli.total, window) + "\n", ids, window))
    for window, tile in _LONG.items():
        for name in (_ERRORS, _TOTAL):
            rules.append(_record(name + window, _added(_series(name + tile, ids), window, tile), ids, window))
    for window in (*_SHORT, *_LONG):
        errors, total = _series(_ERRORS + window, ids), _series(_TOTAL + window, ids)
        ratio = f"{errors}\n/\n({total} > 0)\nor\n{total} * 0\n"
        rules.append(_record(f"slo:sli_error:ratio_rate{window}", ratio, ids, window))
    return rules


def _increase(selector: str, window: str) -> str:
    """Write the expression for the events of a window; 0 if the counter has no series yet."""
    return (
        f"(\n  sum(\n    increase(\n{_indented(break_selector(selector), 6)}[{window}]\n    )\n  )\n  or vector(0)\n)"
    )


def _errors(sli: Sli, window: str) -> str:
    if sli.errors is not None:
        return _increase(sli.errors, window) + "\n"
    rest = f"{_increase(sli.total, window)}\n-\n{_increase(sli.good or '', window)}"
    return f"clamp_min(\n{_indented(rest, 2)},\n  0\n)\n"


def _added(tiles: str, window: str, tile: str) -> str:
    """Write the expression that adds up a long window from its parts; only the latest until the first is over."""
    return f"sum_over_time({tiles}[{window}:{tile}])\nor\n{tiles}\n"


def _meta(slo: Slo, ids: dict[str, str]) -> list[Rule]:
    budget = _series("slo:error_budget:ratio", ids)

    def burn(window: str) -> str:
        ratio = _series(f"slo:sli_error:ratio_rate{window}", ids)
        return f"{ratio}\n/ on (sloth_id, sloth_slo, sloth_service) group_left\n{budget}\n"

    info = {"sloth_mode": "cli-gen-prom", "sloth_spec": "church/v1", "sloth_version": "church"}
    return [
        _record("slo:objective:ratio", f"vector({1 - slo.budget})", ids),
        _record("slo:error_budget:ratio", f"vector({slo.budget})", ids),
        _record("slo:time_period:days", f"vector({_DAYS})", ids),
        _record("slo:current_burn_rate:ratio", burn("5m"), ids),
        _record("slo:period_burn_rate:ratio", burn(f"{_DAYS}d"), ids),
        _record("slo:period_error_budget_remaining:ratio", f"1 - {_series('slo:period_burn_rate:ratio', ids)}", ids),
        _record("sloth_slo_info", "vector(1)", ids | info | {"sloth_objective": f"{slo.objective:g}"}),
    ]


def _alerts(slo: Slo, slos: Slos) -> list[Rule]:
    ids = slos.ids(slo)
    burns = [
        {
            "alert": slo.alert,
            "expr": _burns(slo, ids, pairs),
            "labels": {"sloth_severity": severity, "severity": SEVERITIES[severity]},
            "annotations": burn_annotations(slo, slos, severity),
        }
        for severity, pairs in (("page", PAGE), ("ticket", TICKET))
    ]
    name, labels, annotations = make_unmeasured_alert(slo, slos)
    absent = {"alert": name, "expr": f"max(absent({slo.sli.measured_by}))", "for": UNMEASURED_FOR}
    return [*burns, absent | {"labels": labels, "annotations": annotations}]


def _burns(slo: Slo, ids: dict[str, str], pairs: tuple[tuple[Decimal, str, str], ...]) -> str:
    """Make one series for all windows, so that the alert does not end and start again between them."""
    either = "\n  or ignoring (sloth_window)\n".join(_burns_in(slo, ids, *pair) for pair in pairs)
    return f"max without (sloth_window) (\n{either}\n)\n"


def _burns_in(slo: Slo, ids: dict[str, str], factor: Decimal, long: str, short: str) -> str:
    limit = f"({factor} * {slo.budget})"
    parts = (
        f"{_series(f'slo:sli_error:ratio_rate{short}', ids)} > {limit}",
        f"{_series(f'slo:sli_error:ratio_rate{long}', ids)} > {limit}",
        f"{_series(_TOTAL + long, ids)} >= {slo.minimum}",
    )
    return "  (\n    " + "\n    and ignoring (sloth_window)\n    ".join(parts) + "\n  )"


def _series(name: str, ids: dict[str, str]) -> str:
    return f'{name}{{sloth_id="{ids["sloth_id"]}"}}'


def _record(name: str, expr: str, ids: dict[str, str], window: str | None = None) -> Rule:
    return {"record": name, "expr": expr, "labels": ids | ({"sloth_window": window} if window else {})}


def _indented(text: str, by: int) -> str:
    return "\n".join(" " * by + line for line in text.splitlines())
