"""Values that a scrape reads from the database, the store and the disks."""

from __future__ import annotations

from decimal import Decimal

import pytest
from flask import Flask

from church import jobs, scrape_values
from church.config import Settings
from church.extensions import db
from church.models.jobs import Job, JobState
from tests.support.people import add_user, sign_in


def scrape(app: Flask) -> dict[str, float]:
    """All samples of /metrics, by their name and labels."""
    lines = app.test_client().get("/metrics").text.splitlines()
    samples = [line.rpartition(" ") for line in lines if not line.startswith("#")]
    return {name: float(value) for name, _, value in samples}


def test_database_is_up_and_a_missing_store_is_down(app: Flask) -> None:
    found = scrape(app)
    assert (found["database_up"], found["store_up"]) == (1, 0)


def test_sign_ins_are_counted(app: Flask) -> None:
    user = add_user(app)
    sign_in(app, user)
    sign_in(app, user)
    assert scrape(app)["auth_sessions_active"] == 2


def test_jobs_are_counted_by_kind_and_state(app: Flask) -> None:
    with app.app_context(), db.write() as session:
        jobs.enqueue(session, "jobs.purge")
        session.query(Job).update({"state": JobState.DEAD.value})
        jobs.enqueue(session, "jobs.purge")
        jobs.enqueue(session, "jobs.purge")
    found = scrape(app)
    assert found['jobs_pending{kind="jobs.purge"}'] == 2
    assert found['jobs_dead{kind="jobs.purge"}'] == 1


def test_free_space_is_shown_for_folders_that_exist(app: Flask, settings: Settings) -> None:
    folders = {name for name in scrape(app) if name.startswith("disk_free_bytes")}
    expected = {"instance": settings.instance, "logs": settings.log_dir, "videos": settings.video_dir}
    assert folders == {f'disk_free_bytes{{path="{name}"}}' for name, path in expected.items() if path.exists()}
    assert 'disk_free_bytes{path="instance"}' in folders


def test_money_is_read_by_currency(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrape_values.billing, "sum_payments_by_currency", lambda: [("usd", Decimal("12.50"))])
    monkeypatch.setattr(scrape_values.billing, "sum_refunds_by_currency", lambda: [("eur", Decimal(3))])
    found = scrape(app)
    assert found['stripe_payment_value_total{currency="usd"}'] == 12.5
    assert found['stripe_refund_value_total{currency="eur"}'] == 3
