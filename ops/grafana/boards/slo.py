"""SLO: objectives, remaining error budgets and burn rates, from recorded series only."""

from __future__ import annotations

from ops.grafana.parts import Board, graph, number
from ops.grafana.queries import Query

OF = 'sloth_service=~"$service", sloth_slo=~"$slo"'
LEGEND = "{{sloth_slo}}"


def _recorded(name: str) -> str:
    return f"max by (sloth_slo) ({name}{{{OF}}})"


def _burn(window: str) -> Query:
    """How many times as fast as allowed the errors of ``window`` came."""
    return Query(f"{_recorded(f'slo:sli_error:ratio_rate{window}')} / {_recorded('slo:error_budget:ratio')}", LEGEND)


NOW = (
    number(
        "Budget left",
        "Share of the errors that the objective allows in the period. Below zero the objective is missed.",
        "percentunit",
        Query(_recorded("slo:period_error_budget_remaining:ratio"), LEGEND),
        width=12,
        start="red",
        steps=((0, "orange"), (0.25, "yellow"), (0.5, "green")),
        decimals=1,
    ),
    number(
        "Objective",
        "Promised share of good events in the period.",
        "percentunit",
        Query(_recorded("slo:objective:ratio"), LEGEND),
        width=12,
        decimals=2,
    ),
    number(
        "Good in the period",
        "Share of good events so far; every event counts the same.",
        "percentunit",
        Query(f"1 - {_recorded('slo:sli_error:ratio_rate30d')}", LEGEND),
        width=12,
        decimals=3,
    ),
    number(
        "Burn rate now",
        "1 uses up exactly the whole budget by the end of the period. Above 14.4 for an hour the alert pages.",
        "none",
        Query(_recorded("slo:current_burn_rate:ratio"), LEGEND),
        width=12,
        steps=((1, "yellow"), (6, "orange"), (14.4, "red")),
        decimals=2,
    ),
)
BURN = (
    graph(
        "Burn rate, 1 hour",
        "The alert pages at 14.4, if also in the last 5 minutes: 2% of the budget in an hour.",
        "none",
        _burn("1h"),
    ),
    graph(
        "Burn rate, 6 hours",
        "The alert pages at 6, if also in the last 30 minutes: 5% in six hours.",
        "none",
        _burn("6h"),
    ),
    graph("Burn rate, 1 day", "A ticket opens at 3, if also in the last 2 hours: 10% in a day.", "none", _burn("1d")),
    graph(
        "Burn rate, 3 days",
        "A ticket opens at 1, if also in the last 6 hours: 10% in three days.",
        "none",
        _burn("3d"),
    ),
)
COURSE = (
    graph(
        "Budget left",
        "Over the period before each moment.",
        "percentunit",
        Query(_recorded("slo:period_error_budget_remaining:ratio"), LEGEND),
        top=1,
    ),
    graph(
        "Errors",
        "Share of bad events in the 5 minutes before each moment.",
        "percentunit",
        Query(_recorded("slo:sli_error:ratio_rate5m"), LEGEND),
    ),
    graph(
        "Events",
        "Events in the hour before each moment. With few events the shares mean little.",
        "short",
        Query(_recorded("slo:sli_total:increase1h"), LEGEND),
    ),
    graph(
        "Alerts",
        "Firing alerts of the selected objectives.",
        "none",
        Query(
            f'sum by (alertname, sloth_severity) (ALERTS{{alertstate="firing", {OF}}}) or vector(0)',
            "{{alertname}} {{sloth_severity}}",
        ),
    ),
)
BOARD = Board(
    "church-slo",
    "Church: SLO",
    "Objectives, error budgets and burn rates, from the rules that `flask church slo generate` writes.",
    (("Now", NOW), ("Burn rates", BURN), ("Over time", COURSE)),
    logs='| level="ERROR" or severity_text="ERROR"',
    traces='{resource.service.name="church" && status=error}',
    choices=(
        ("service", "Service", "label_values(sloth_slo_info, sloth_service)"),
        ("slo", "Objective", 'label_values(sloth_slo_info{sloth_service=~"$service"}, sloth_slo)'),
    ),
    span="now-7d",
    instances=False,
)
