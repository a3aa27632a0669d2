"""Make tests of the generated rules for ``promtool test rules``: events by the minute, and which alerts then fire.

promtool evaluates all rules in each test, which would take minutes. So objectives with different metrics share a test,
and rules are evaluated every five minutes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_UP, Decimal
from pathlib import Path
from typing import Any

from church.services.slo.rules import SEVERITIES, alert_labels, burn_annotations, make_unmeasured_alert
from church.services.slo.spec import HIGHEST_BURN_RATE, Slo, Slos

PromtoolTest = dict[str, Any]
_HOUR = 60
_STEP = 5
_RATIOS = 8
"""Number of windows that have a ratio."""


@dataclass(frozen=True)
class Phase:
    """Some minutes, with the number of good, failed and ignored events in each."""

    minutes: int
    good: Decimal | int = 0
    bad: Decimal | int = 0
    ignored: Decimal | int = 0


@dataclass(frozen=True)
class Story:
    """What happens, which severities fire at a minute, and which values expressions have at a minute."""

    name: str
    phases: tuple[Phase, ...]
    fires: dict[int, tuple[str, ...]]
    gives: tuple[tuple[int, str, int], ...] = ()
    ends_stale: bool = False
    """Whether its series disappear at the end."""


def make_promtool_tests(slos: Slos, rules: Path) -> PromtoolTest:
    """Make promtool's test file; ``rules`` is the path of the rules relative to it."""
    tests = []
    for group in _group_by_metrics(slos.slos):
        for stories in zip(*(_stories(slo, slos) for slo in group), strict=True):
            tests.append(_trial(list(zip(group, stories, strict=True)), slos))
    order = [f"sloth-slo-{kind}-{slos.ids(slo)['sloth_id']}" for kind in _KINDS for slo in slos.slos]
    return {"rule_files": [str(rules)], "evaluation_interval": "5m", "group_eval_order": order, "tests": tests}


def _group_by_metrics(all_slos: list[Slo]) -> list[list[Slo]]:
    """Group the objectives so that no group has a metric twice: stories in a group must not count in each other."""
    groups: list[list[Slo]] = []
    for slo in all_slos:
        free = (group for group in groups if not any(slo.metrics & other.metrics for other in group))
        group = next(free, None)
        if group is None:
            groups.append([slo])
        else:
            group.append(slo)
    return groups


_KINDS = ("sli-recordings", "meta-recordings", "alerts")


def _stories(slo: Slo, slos: Slos) -> tuple[Story, ...]:
    busy = max(slo.minimum, 100)
    ratios = f'{{__name__=~"slo:sli_error:ratio_rate.+", sloth_id="{slos.ids(slo)["sloth_id"]}"}}'
    return (
        _outage(slo, busy),
        Story(
            "slow burn tickets",
            (Phase(3 * _HOUR, busy * (1 - 2 * slo.budget), busy * 2 * slo.budget),),
            {3 * _HOUR: ("ticket",)},
        ),
        Story(
            "idle is silent",
            (Phase(30, busy), Phase(75)),
            {30: (), 105: ()},
            ((105, f"count({ratios} == 0)", _RATIOS),),
        ),
        Story("too little traffic is silent", (Phase(_HOUR, bad=_few(slo.minimum)), Phase(5)), {30: (), _HOUR: ()}),
        Story(
            "what does not count is silent",
            (Phase(30, ignored=busy),),
            {30: ()},
            ((30, f"count({ratios} == 0)", _RATIOS),),
        ),
        Story("absence alerts", (Phase(30, busy),), {30: (), 50: ("unmeasured",)}, ends_stale=True),
        _uneven_traffic(slo, slos, busy),
    )


def _outage(slo: Slo, busy: int) -> Story:
    until_page = (int((HIGHEST_BURN_RATE * slo.budget * _HOUR / _STEP).to_integral_value(ROUND_UP)) + 1) * _STEP
    before = 6 * _HOUR  # so that the slower page stays silent and only the fast one fires
    over = before + until_page
    return Story(
        "full outage pages, recovery clears",
        (Phase(before, busy), Phase(until_page, bad=busy), Phase(6 * _HOUR + 10, busy)),
        {before: (), over: ("page", "ticket"), over + 35: ("ticket",), over + 6 * _HOUR + 10: ()},
    )


def _uneven_traffic(slo: Slo, slos: Slos, busy: int) -> Story:
    """Make a busy good hour and a quiet bad one: 1 of 11 events failed, in half of the time."""
    ids = f'{{sloth_id="{slos.ids(slo)["sloth_id"]}"}}'
    return Story(
        "events weigh, and not minutes",
        (Phase(_HOUR, busy), Phase(_HOUR, bad=Decimal(busy) / 10)),
        {},
        (
            (2 * _HOUR, f"count(abs(slo:sli_error:ratio_rate30d{ids} * 11 - 1) < 0.1)", 1),
            (
                2 * _HOUR,
                f"count(abs((1 - slo:period_error_budget_remaining:ratio{ids}) * {11 * slo.budget} - 1) < 0.1)",
                1,
            ),
        ),
    )


def _few(minimum: int) -> Decimal:
    """Return a number of events a minute that stays below half the minimum in an hour."""
    return (Decimal(minimum) / 130).quantize(Decimal("0.0001"))


def _trial(pairs: list[tuple[Slo, Story]], slos: Slos) -> PromtoolTest:
    alerts = [alert for slo, story in pairs for alert in _expected_alerts(story, slo, slos)]
    inputs = [series for slo, story in pairs for series in _inputs(story, slo).items()]
    gives = [value for _, story in pairs for value in story.gives]
    return {
        "name": f"{pairs[0][1].name}: {', '.join(slo.name for slo, _ in pairs)}",
        "interval": "1m",
        "input_series": [{"series": series, "values": values} for series, values in inputs],
        "alert_rule_test": [
            {"eval_time": f"{at}m", "alertname": alert, "exp_alerts": expected} for at, alert, expected in alerts
        ],
        "promql_expr_test": [
            {"expr": expr, "eval_time": f"{at}m", "exp_samples": [{"value": value}]} for at, expr, value in gives
        ],
    }


def _expected_alerts(story: Story, slo: Slo, slos: Slos) -> Iterator[tuple[int, str, list[dict[str, Any]]]]:
    """Yield minute, name of the alert, and what promtool expects of it then."""
    name, labels, annotations = make_unmeasured_alert(slo, slos)
    for at, fires in story.fires.items():
        yield at, slo.alert, _burning(fires, slo, slos)
        yield at, name, [{"exp_labels": labels, "exp_annotations": annotations}] if "unmeasured" in fires else []


def _burning(fires: tuple[str, ...], slo: Slo, slos: Slos) -> list[dict[str, Any]]:
    return [
        {"exp_labels": alert_labels(severity, slos.ids(slo)), "exp_annotations": burn_annotations(slo, slos, severity)}
        for severity in SEVERITIES
        if severity in fires
    ]


def _inputs(story: Story, slo: Slo) -> dict[str, str]:
    samples = slo.samples
    all_series = dict.fromkeys((*samples.good, *samples.error, *samples.ignored))
    return {series: _values(story, slo, series) for series in all_series}


def _values(story: Story, slo: Slo, series: str) -> str:
    """Write a series in promtool's notation; it increases with each kind of event that it is a sample of."""
    samples, at, parts = slo.samples, Decimal(0), []
    for phase in story.phases:
        step = Decimal(0)
        for kind, rate in ((samples.good, phase.good), (samples.error, phase.bad), (samples.ignored, phase.ignored)):
            step += rate if series in kind else 0
        parts.append(f"{_number(at)}+{_number(step)}x{phase.minutes - 1}")
        at += step * phase.minutes
    last = "stale" if story.ends_stale else _number(at)
    return " ".join((*parts, last))


def _number(value: Decimal) -> str:
    return f"{value.normalize():f}"
