"""SLO: what was promised, what is left of the error budget, and how fast it burns. Recorded series alone."""

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
        "Of the period's errors that the objective allows. Below zero it is broken.",
        "percentunit",
        Query(_recorded("slo:period_error_budget_remaining:ratio"), LEGEND),
        width=12,
        start="red",
        steps=((0, "orange"), (0.25, "yellow"), (0.5, "green")),
        decimals=1,
    ),
    number(
        "Objective",
        "Share of good events that was promised for the period.",
        "percentunit",
        Query(_recorded("slo:objective:ratio"), LEGEND),
        width=12,
        decimals=2,
    ),
    number(
        "Good in the period",
        "Share of good events so far, each event counted alike, whenever it was.",
        "percentunit",
        Query(f"1 - {_recorded('slo:sli_error:ratio_rate30d')}", LEGEND),
        width=12,
        decimals=3,
    ),
    number(
        "Burning now",
        "Times as fast as would just use the budget up by the end of the period. Above 14.4 for an hour somebody is"
        " woken.",
        "none",
        Query(_recorded("slo:current_burn_rate:ratio"), LEGEND),
        width=12,
        steps=((1, "yellow"), (6, "orange"), (14.4, "red")),
        decimals=2,
    ),
)
BURN = (
    graph(
        "Burn of an hour",
        "At 14.4, with that of 5 minutes, the alert pages: two percent of the budget in an hour.",
        "none",
        _burn("1h"),
    ),
    graph(
        "Burn of 6 hours",
        "At 6, with that of 30 minutes, the alert pages: five percent in six hours.",
        "none",
        _burn("6h"),
    ),
    graph("Burn of a day", "At 3, with that of 2 hours, there is a ticket: ten percent in a day.", "none", _burn("1d")),
    graph(
        "Burn of 3 days",
        "At 1, with that of 6 hours, there is a ticket: ten percent in three days.",
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
        "How many there were in the hour before each moment: a share of few says little.",
        "short",
        Query(_recorded("slo:sli_total:increase1h"), LEGEND),
    ),
    graph(
        "Alerts",
        "Of the chosen objectives, those that fire.",
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
    (("Now", NOW), ("Burn rates", BURN), ("Course", COURSE)),
    logs='| level="ERROR"',
    traces='{resource.service.name="church" && status=error}',
    choices=(
        ("service", "Service", "label_values(sloth_slo_info, sloth_service)"),
        ("slo", "Objective", 'label_values(sloth_slo_info{sloth_service=~"$service"}, sloth_slo)'),
    ),
    span="now-7d",
    instances=False,
)
