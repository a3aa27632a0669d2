"""Values that a scrape reads from the database, the store and the disks."""

from __future__ import annotations

from decimal import Decimal

import pytest
from flask import Flask

from church import jobs, scrape_values
from church.config import Settings
from church.database.engines import sqlite_path
from church.extensions import db
from church.models.jobs import Job, JobState
from church.telemetry import Telemetry
from tests.support.people import add_user, sign_in


def read(app: Flask, name: str) -> dict[tuple[str, ...], float]:
    """Read the value of a metric, by the values of its labels."""
    telemetry = Telemetry()
    scrape_values.register(app, telemetry)
    [metric] = [one for one in telemetry.state.metrics if one.name == name]
    with app.app_context():
        return dict(metric.read())


def test_database_is_up_and_a_missing_store_is_down(app: Flask, settings: Settings) -> None:
    assert read(app, "database_up") == {(): 1}
    assert read(app, "store_up") == {(): 0}


def test_database_that_is_missing_is_down(app: Flask, settings: Settings) -> None:
    sqlite_path(settings).unlink()
    assert read(app, "database_up") == {(): 0}


def test_sign_ins_are_counted(app: Flask) -> None:
    user = add_user(app)
    sign_in(app, user)
    sign_in(app, user)
    assert read(app, "auth_sessions_active") == {(): 2}


def test_jobs_are_counted_by_kind_and_state(app: Flask) -> None:
    with app.app_context(), db.write() as session:
        jobs.enqueue(session, "jobs.purge")
        session.query(Job).update({"state": JobState.DEAD.value})
        jobs.enqueue(session, "jobs.purge")
        jobs.enqueue(session, "jobs.purge")
    assert read(app, "jobs_pending")["jobs.purge",] == 2
    assert read(app, "jobs_dead")["jobs.purge",] == 1


def test_free_space_is_shown_for_folders_that_exist(app: Flask, settings: Settings) -> None:
    assert ("logs",) not in read(app, "disk_free_bytes")
    settings.log_dir.mkdir()
    found = read(app, "disk_free_bytes")
    assert set(found) >= {("instance",), ("logs",)}
    assert min(found.values()) > 0


def test_payments_and_refunds_are_counters_by_currency(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("payments", [("usd", Decimal("12.50"))]), ("refunds", [("eur", Decimal(3))])):
        monkeypatch.setattr(scrape_values.billing, f"sum_{name}_by_currency", lambda value=value: value)
    assert read(app, "stripe_payment_value") == {("usd",): 12.5}
    assert read(app, "stripe_refund_value") == {("eur",): 3}
