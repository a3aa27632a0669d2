"""Monitoring end to end: a site in use with its test till, a real Prometheus with the shipped rules, a real
Alertmanager that reports problems to the site, and the site's figures that show them.
"""

from __future__ import annotations

import math
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from sqlalchemy import select

from church.extensions import db
from church.models import Incident
from church.models.base import utc_now
from tests.support import load, promql
from tests.support.environment import forget_the_shell
from tests.support.life import LIMITS, TOKEN, Life
from tests.support.monitoring_fixture import (
    Expression,
    Watch,
    annotations,
    as_grafana_asks,
    boards,
    panels,
    rules,
    shorten_seconds,
    watching,
)
from tests.support.programs import needing
from tests.support.services_fixture import Postgres, free_port, wait_until
from tests.support.site_fixture import Site
from tests.support.till_fixture import TillProcess

pytestmark = pytest.mark.services

HOURS = 2


@dataclass(frozen=True)
class World:
    """A site that ran from ``start`` to ``end``, with its monitoring."""

    site: Site
    life: Life
    watch: Watch
    postgres: Postgres
    start: float
    end: float

    def course(self, expr: str) -> list[dict[str, Any]]:
        """Query the whole time, once a second."""
        return self.watch.prometheus.course(expr, self.start, self.end)

    def shown(self, one: Expression) -> list[dict[str, Any]]:
        """Query the whole time as a dashboard does."""
        return self.course(as_grafana_asks(one.expr, self.end - self.start))

    def series(self, selector: str) -> list[dict[str, str]]:
        """List the label sets of the whole time."""
        found: list[dict[str, str]] = self.watch.prometheus.ask(
            "series", **{"match[]": selector, "start": self.start, "end": time.time()}
        )
        return found


@pytest.fixture(scope="module")
@needing("prometheus", "prometheus-alertmanager")
def world(_postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    _postgres.start()
    folder = tmp_path_factory.mktemp("loop")
    with pytest.MonkeyPatch.context() as patch:
        forget_the_shell(patch)
        settings = {"DATABASE_URL": _postgres.new_database(), "METRICS_TOKEN": TOKEN, "CHURCH_DORA_PUBLIC": "true"}
        site = Site(folder, CHURCH_TILL_BIND=f"127.0.0.1:{free_port()}", **settings, **LIMITS)
        till = TillProcess(folder, site.settings.bind, CHURCH_TILL_BIND=site.settings.till_address)
        try:
            site.start(work=True)
            with watching(folder, site, TOKEN) as watch:
                till.start()
                with Life(site, till) as life:
                    yield lived(site, life, watch, _postgres)
        finally:
            if hasattr(till, "process"):
                till.stop()
            site.stop()


def lived(site: Site, life: Life, watch: Watch, postgres: Postgres) -> World:
    """Let the site run for some hours, monitored from before the start."""
    wait_until(lambda: watch.prometheus.now('up{job="church"}') == 1, "Prometheus has scraped")
    start = time.time() - 2
    for hour in range(1, HOURS + 1):
        life.an_hour()
        wait_until_seen(watch, hour)
    return World(site, life, watch, postgres, start, time.time())


def wait_until_seen(watch: Watch, hours: int) -> None:
    """Wait until the till has sent everything of these hours, and Prometheus has scraped what the site caches."""
    refunds, incidents = "max(stripe_refund_value_total)", 'max(mttr_seconds_count{environment="production"})'
    wait_until(lambda: (watch.prometheus.now(refunds) or 0) >= 2 * hours, "the refunds are sent and scraped", 90)
    wait_until(lambda: (watch.prometheus.now(incidents) or 0) >= hours, "so are the incidents")


def has_data(series: list[dict[str, Any]]) -> bool:
    return any(not math.isnan(float(value)) for one in series for _, value in one["values"])


def has_more_than_zero(series: list[dict[str, Any]]) -> bool:
    return any(float(value) > 0 for one in series for _, value in one["values"])


# -- what is read is there ------------------------------------------------------------------------------------------

RULES = [Expression(rule.get("alert") or rule["record"], rule["expr"]) for rule in rules()]
NO_ERROR_YET = 'status_code =~ "5.."'
"""Matches series of server errors: they exist from the first error on, which the fault below causes."""
NOTHING_FIRES_YET = "ALERTS"
"""Prometheus' own series, which exist once an alert does."""
ZERO = {
    "Church: Authentication: Emails waiting": "the worker process sends at once",
    "Church: Authentication: Sign-in errors": "the database was there",
    "Church: HTTP: Damaged files, refused series": "no file was damaged",
    "Church: HTTP: Dropped telemetry": "none was dropped",
    "Church: HTTP: Errors": "there was none",
    "Church: HTTP: Errors by route": "there was none",
    "Church: HTTP: Queue": "no job gave up; mails are sent at once",
    "Church: HTTP: Workers": "none began anew",
    "Church: SLO: Alerts": "none fires",
    "Church: SLO: Burn rate, 3 days": "all promises were kept",
    "Church: SLO: Burn rate, 6 hours": "all promises were kept",
    "Church: SLO: Burn rate, 1 day": "all promises were kept",
    "Church: SLO: Burn rate, 1 hour": "all promises were kept",
    "Church: SLO: Burn rate now": "all promises were kept",
    "Church: SLO: Errors": "all promises were kept",
    "Church: Stripe payments: Past due": "everybody pays",
    "Church: Stripe payments: Failed webhooks": "none failed",
    "Church: WebSocket: Dropped": "all clients read fast enough",
}
"""Panels with a line that is zero all the time, and why that is right."""


def test_every_expression_names_only_existing_series_and_labels(world: World) -> None:
    wrong = []
    for one in (*panels(), *annotations(), *RULES):
        expression = as_grafana_asks(one.expr, 1)
        known = {"environment"}  # Prometheus adds it to its alerts
        reading = promql.read(expression)
        for selector in reading.selectors:
            labels = {label for each in world.series(selector.metric) for label in each}
            known |= labels
            if unknown := selector.labels - labels:
                wrong.append(f"{one.place}: {selector.text} has no {unknown}")
            if not world.series(selector.text) and NO_ERROR_YET not in selector.text:
                wrong.append(f"{one.place}: no series is {selector.text}")
        if unknown := reading.grouped - known:
            wrong.append(f"{one.place}: grouped by {unknown}, which nothing has")
    assert [words for words in wrong if NOTHING_FIRES_YET not in words] == []


def test_choices_of_the_dashboards_have_values(world: World) -> None:
    for board in boards():
        for variable in board["templating"]["list"]:
            if variable_query := re.fullmatch(r"label_values\((.+), (\w+)\)", str(variable.get("query"))):
                series = world.series(as_grafana_asks(variable_query[1], 1))
                assert any(variable_query[2] in labels for labels in series), variable_query[0]


def test_every_panel_has_data_after_ordinary_use(world: World) -> None:
    courses = {one: world.shown(one) for one in (*panels(), *annotations())}
    assert [one for one, course in courses.items() if not has_data(course)] == []
    flat = {one.place for one, course in courses.items() if not has_more_than_zero(course)}
    assert flat - ZERO.keys() == set()
    for one, course in courses.items():
        named = set(re.findall(r"\{\{(\w+)\}\}", one.legend)) if one.place not in flat else set()
        assert any(named <= each["metric"].keys() for each in course), f"{one.place}: nothing is called {one.legend}"


def test_every_rule_has_data_and_none_fails(world: World) -> None:
    groups = world.watch.prometheus.ask("rules")["groups"]
    loaded = [one for group in groups for one in group["rules"]]
    assert len(loaded) == len(RULES)
    assert [(one["name"], one.get("lastError")) for one in loaded if one["health"] != "ok"] == []
    measured = [(rule.place, part) for rule in RULES for part in promql.compared_parts(rule.expr)]
    empty = [
        (place, part)
        for place, part in measured
        if not has_data(world.course(promql.with_durations(part, shorten_seconds)))
    ]
    assert [one for one in empty if NO_ERROR_YET not in one[1] and "absent (" not in one[1]] == []


# -- problems are reported -------------------------------------------------------------------------------------------

ERRORS, OUTAGE = "requests fail", "database does not answer"
FIRING, RESOLVED = "[FIRING:1] ChurchErrors (production)", "[RESOLVED] ChurchErrors (production)"
REPAIRED = 'max(mttr_seconds_count{environment="production"})'


@contextmanager
def visitors(site: Site, *paths: str) -> Iterator[None]:
    """Request these pages all the time in three threads: in three seconds far more than the ten that an alert needs."""
    over = threading.Event()
    thread = threading.Thread(target=load.run, args=(site.port, paths, 3, lambda _: over.is_set(), 0.03))
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(90)


@contextmanager
def errors(world: World) -> Iterator[None]:
    """Break the database schema while visitors request the page that needs it."""
    with psycopg.connect(world.site.environment["DATABASE_URL"], autocommit=True) as connection:
        connection.execute("ALTER TABLE videos RENAME TO videos_away")
        try:
            with visitors(world.site, "/video/"):
                yield
        finally:
            connection.execute("ALTER TABLE videos_away RENAME TO videos")


def incident(world: World, words: str) -> Incident | None:
    """Return the newest incident with these words in its title."""
    query = select(Incident).where(Incident.title.contains(words)).order_by(Incident.id.desc()).limit(1)
    with world.life.app.app_context(), db.read() as session:
        return session.scalar(query)


def closed(world: World, words: str) -> bool:
    """Whether the newest incident with these words in its title is resolved."""
    known = incident(world, words)
    return known is not None and known.resolved_at is not None


def refused(site: Site) -> bool:
    """Whether the site refused any alert."""
    return site.value("http_requests_total", route="/api/telemetry/alerts", status_code="503") > 0


def repairs(world: World) -> int:
    """Return how many incidents were resolved, from /dora."""
    return int(world.life.machine.ask("/dora")["metrics"]["mttr_seconds"]["n"])


def test_errors_fire_an_alert_that_opens_an_incident_and_their_end_resolves_it(world: World) -> None:
    prometheus, site = world.watch.prometheus, world.site
    before, counted = repairs(world), site.value("mttr_seconds_count", environment="production")
    with errors(world):
        wait_until(lambda: incident(world, ERRORS) is not None, "an incident is open", 120)
        opened = incident(world, ERRORS)
        wait_until(lambda: prometheus.firing("ChurchErrors"), "the alert fires")
        wait_until(lambda: b"still open" in site.get("/dora")[1], "the delivery page says so")
        # Alertmanager sends nothing about alerts that are over within the second in which it groups them
        wait_until(lambda: world.watch.ears.received("/chat", FIRING), "the chat gets the alert")
    assert opened is not None
    assert (opened.environment, opened.severity, opened.resolved_at) == ("production", "critical", None)
    assert opened.deployment_id is not None  # the last successful deployment
    wait_until(lambda: closed(world, ERRORS), "the end of the errors is reported", 120)
    assert repairs(world) > before
    wait_until(lambda: site.value("mttr_seconds_count", environment="production") > counted, "/metrics shows it")
    wait_until(lambda: (prometheus.now(REPAIRED) or 0) > counted, "and Prometheus scrapes it")
    wait_until(lambda: not prometheus.firing("ChurchErrors"), "the alert is over")


def test_errors_and_their_end_are_reported_in_a_chat_and_by_email(world: World) -> None:
    ears = world.watch.ears
    for words in (FIRING, RESOLVED):
        wait_until(lambda w=words: ears.received("/chat", w), f"the chat gets {words}")
        wait_until(lambda w=words: w in [one.message["Subject"] for one in ears.mail.received], f"a mail says {words}")
    wait_until(lambda: ears.received("/church", "Watchdog"), "the heartbeat arrives")


def test_database_outage_is_recorded_afterwards_with_its_own_times(world: World) -> None:
    away = utc_now()
    world.postgres.stop()
    try:
        wait_until(lambda: world.watch.prometheus.firing("ChurchDatabaseDown"), "the alert fires", 120)
        wait_until(lambda: refused(world.site), "the site can't take it", 90)
    finally:
        world.postgres.start()
    back = utc_now()
    wait_until(lambda: world.site.get("/ready")[0] == 200, "the site is back")
    wait_until(lambda: closed(world, OUTAGE), "the outage is written down, from its beginning to its end", 120)
    known = incident(world, OUTAGE)
    assert known is not None
    assert away < known.opened_at < back
    assert known.resolved_at is not None
