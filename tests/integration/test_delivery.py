"""Deliveries on both databases: figures of a worked example, concurrent reports, and the metrics of a scrape."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask
from prometheus_client.parser import text_string_to_metric_families

from church import create_app
from church.config import Settings
from church.extensions import db
from church.models.accounts import Role
from church.observability.metrics import worker_files
from tests.support.delivery_fixture import FIGURES, WEEK, Machine, at
from tests.support.helpers import with_settings
from tests.support.people import add_user, client_of

pytestmark = pytest.mark.services


@pytest.fixture
def site(patient_database: None, migrated_site: Settings) -> Iterator[Flask]:
    app = create_app(with_settings(migrated_site, limit_telemetry_api="1000000/minute"))
    app.testing = True
    yield app
    forget_scrape()
    with app.app_context():
        db.dispose()


def forget_scrape() -> None:
    """Clear the scrape cache, which all apps of this process share for some seconds."""
    assert worker_files.SLOTS.directory is not None
    (worker_files.SLOTS.directory / "state.json").unlink(missing_ok=True)


def scraped(app: Flask, accept: str = "text/plain") -> dict[tuple[str, tuple[str, ...]], float]:
    forget_scrape()
    text = app.test_client().get("/metrics", headers={"Accept": accept}).text
    wanted = ("lead_time_seconds", "mttr_seconds", "deployment_", "change_failure_rate", "dora_")
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        if family.name.startswith(wanted)
        for sample in family.samples
    }


def figures(app: Flask, **query: Any) -> dict[str, tuple[float | None, int]]:
    admin = client_of(app, add_user(app, f"{len(query)}-{id(query)}@church.example", role=Role.ADMIN.value))
    found = admin.get("/dora", query_string={**WEEK, **query}, headers={"Accept": "application/json"}).get_json()
    return {name: (one["value"], one["n"]) for name, one in found["metrics"].items()}


@pytest.mark.parametrize("backwards", [False, True])
def test_figures_of_a_week_match_those_computed_by_hand(site: Flask, backwards: bool) -> None:
    Machine(site).tell_the_week(backwards=backwards)
    assert figures(site) == FIGURES
    staging = figures(site, environment="staging")
    assert staging["lead_time_seconds"] == (3600, 1)
    assert staging["mttr_seconds"] == (None, 0)


def test_histograms_are_the_same_twice_and_in_another_app(site: Flask, migrated_site: Settings) -> None:
    assert scraped(site)["lead_time_seconds_count", ("production",)] == 0  # a rate needs a zero to rise from
    Machine(site).tell_the_week()
    found = scraped(site)
    assert found["lead_time_seconds_count", ("production",)] == 6
    assert found["lead_time_seconds_sum", ("production",)] == 7200 + 1800 + 86400 + 7200 + 600 + 3600
    assert found["lead_time_seconds_bucket", ("production", "3600.0")] == 3
    assert found["lead_time_seconds_bucket", ("production", "+Inf")] == 6
    assert found["lead_time_seconds_count", ("staging",)] == 1
    assert (found["mttr_seconds_count", ("production",)], found["mttr_seconds_count", ("staging",)]) == (3, 0)
    assert found["mttr_seconds_sum", ("production",)] == 155400 + 5400 + 7200
    assert found["deployment_frequency", ("production",)] == 0  # it had deployments, but none in these 30 days
    assert ("change_failure_rate", ("production",)) not in found
    assert found["dora_sample_size", ("production", "change_failure_rate")] == 0
    another = create_app(migrated_site)
    assert scraped(another) == found == scraped(site)
    with another.app_context():
        db.dispose()
    Machine(site).tell("incident", {"id": "I4", "resolved_at": at("08T11:00")}, 200)
    assert scraped(site, "application/openmetrics-text")["mttr_seconds_count", ("production",)] == 4


def test_gauges_cover_the_last_30_days(site: Flask) -> None:
    machine = Machine(site)
    for number, kind in enumerate(("normal", "hotfix", "normal")):
        machine.tell("deployment", {"id": f"d{number}", "environment": "staging", "status": "success", "kind": kind})
    machine.tell("incident", {"id": "i", "environment": "staging", "title": "Broken", "deployment": "d0"}, 201)
    found = scraped(site)
    assert found["deployment_frequency", ("staging",)] == pytest.approx(3 / 30)
    assert ("deployment_frequency", ("production",)) not in found
    assert found["change_failure_rate", ("staging",)] == pytest.approx(1 / 3)
    assert found["deployment_rework_rate", ("staging",)] == pytest.approx(1 / 3)
    assert found["dora_sample_size", ("staging", "deployment_rework_rate")] == 3


def test_concurrent_reports_are_recorded_once(site: Flask) -> None:
    commits = [{"sha": f"{number:x}", "committed_at": at("04T08:00")} for number in range(1, 20)]
    base = {"environment": "production", "status": "success"}
    reports = [
        {
            "id": f"d{number % 4}",
            **base,
            "finished_at": at(f"04T1{number % 4}:00"),
            "commits": commits[:: number % 2 * -2 + 1],
        }
        for number in range(16)
    ]
    alert = {
        "status": "firing",
        "fingerprint": "f00",
        "startsAt": at("04T14:00"),
        "labels": {"alertname": "Down", "severity": "critical"},
    }
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda report: Machine(site).tell("deployment", report)["outcome"], reports))
        heard = list(pool.map(lambda _: Machine(site).tell("alerts", {"alerts": [alert]}, 200), range(8)))
    assert sorted(answers) == ["recorded"] * 4 + ["unchanged"] * 12
    assert sorted(one["alerts"][0]["outcome"] for one in heard) == ["opened"] + ["unchanged"] * 7
    assert figures(site)["lead_time_seconds"] == (7200, 19)
