"""DORA: how fast and how safely the site is delivered. From the database, so the same on every instance."""

from __future__ import annotations

from ops.grafana.parts import Board, graph, number
from ops.grafana.queries import Query, increase, one, quantile_of, site

IN = 'environment=~"$environment"'
DAY = 86400
LEGEND = "{{environment}}"


def _median(name: str, over: str) -> str:
    return quantile_of(0.5, one(increase(f"{name}_bucket", IN, over=over), "environment", "le"))


def _of(name: str, *matchers: str) -> Query:
    return Query(one(site(name, IN, *matchers), "environment"), LEGEND)


def _sample(metric: str) -> Query:
    return _of("dora_sample_size", f'metric="{metric}"')


NOW = (
    number(
        "Deployments a day",
        "Successful deployments over the last 30 days.",
        "none",
        _of("deployment_frequency"),
        width=6,
        decimals=2,
    ),
    number(
        "Lead time",
        "Median from a commit to the first deployment that delivered it, in the selected time. Elite below a day, high"
        " below a week (report of 2024). Approximate, because it comes from buckets; the page /dora has it exactly.",
        "s",
        Query(_median("lead_time_seconds", "$__range"), LEGEND),
        width=6,
        steps=((DAY, "yellow"), (7 * DAY, "orange"), (30 * DAY, "red")),
        empty="no deliveries",
    ),
    number(
        "Change failure rate",
        "Share of the last 30 days' successful deployments with at least one incident. Elite to 5%, high to 20% (report"
        " of 2024).",
        "percentunit",
        _of("change_failure_rate"),
        width=6,
        steps=((0.0501, "yellow"), (0.2001, "red")),
        empty="no deployments",
        decimals=1,
    ),
    number(
        "Time to restore",
        "Median from opened to resolved, for incidents resolved in the selected time.",
        "s",
        Query(_median("mttr_seconds", "$__range"), LEGEND),
        width=6,
        steps=((3600, "yellow"), (DAY, "red")),
        empty="no incidents",
    ),
    number(
        "Rework rate",
        "Share of the last 30 days' successful deployments that were hotfixes.",
        "percentunit",
        _of("deployment_rework_rate"),
        width=6,
        empty="no deployments",
        decimals=1,
    ),
    number(
        "Deployments",
        "Successful deployments of the last 30 days: the sample of frequency, failure rate and rework rate.",
        "none",
        _sample("deployment_frequency"),
        width=6,
    ),
    number(
        "Commits delivered",
        "In the last 30 days: the sample of the lead time.",
        "none",
        _sample("lead_time_seconds"),
        width=6,
    ),
    number(
        "Incidents resolved",
        "Of those opened in the last 30 days: the sample of the time to restore.",
        "none",
        _sample("mttr_seconds"),
        width=6,
    ),
)
TRENDS = (
    graph(
        "Deployments a day",
        "Over the 30 days before each moment.",
        "none",
        _of("deployment_frequency"),
    ),
    graph(
        "Lead time",
        "Median of commits delivered in the 7 days before each moment.",
        "s",
        Query(_median("lead_time_seconds", "7d"), LEGEND),
    ),
    graph(
        "Change failure rate and rework rate",
        "Over the 30 days before each moment.",
        "percentunit",
        Query(one(site("change_failure_rate", IN), "environment"), "{{environment}}: failures"),
        Query(one(site("deployment_rework_rate", IN), "environment"), "{{environment}}: rework"),
        top=1,
    ),
    graph(
        "Time to restore",
        "Median of incidents resolved in the 7 days before each moment.",
        "s",
        Query(_median("mttr_seconds", "7d"), LEGEND),
    ),
    graph(
        "Commits delivered in a week",
        "In the 7 days before each moment. An imported history appears at the time of the import.",
        "none",
        Query(one(increase("lead_time_seconds_count", IN, over="7d"), "environment"), LEGEND),
    ),
    graph(
        "Incidents resolved in a week",
        "In the 7 days before each moment.",
        "none",
        Query(one(increase("mttr_seconds_count", IN, over="7d"), "environment"), LEGEND),
    ),
)
BOARD = Board(
    "church-dora",
    "Church: DORA",
    "How fast and how safely the site is delivered. The page /dora has exact figures for any window.",
    (("Figures", NOW), ("Trends", TRENDS)),
    logs=r'| event=~"delivery\\..+" or event_name=~"delivery\\..+"',
    traces='{resource.service.name="church" && name=~"delivery\\\\..+"}',
    choices=(
        (
            "environment",
            "Environment",
            'label_values(lead_time_seconds_count{job=~"$job", instance=~"$instance"}, environment)',
        ),
    ),
    span="now-30d",
)
