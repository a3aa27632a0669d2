"""The doctor's check of payments, on the database of a site."""

from __future__ import annotations

from sqlalchemy import insert

from church.config import Settings
from church.database.engines import make_upkeep_engine, sqlite_path
from church.doctor.payments import check_payments
from church.models import StripeEvent
from church.models.base import utc_now
from tests.support.databases import bring_to_head


def add_event(settings: Settings, state: str) -> None:
    """Add a webhook event that arrived just now."""
    times = {"created_at": utc_now(), "received_at": utc_now()}
    row = {"stripe_id": "evt_1", "type": "product.created", "payload": {}, "state": state, "attempts": 1, **times}
    engine = make_upkeep_engine(settings)
    with engine.begin() as connection:
        connection.execute(insert(StripeEvent).values(**row))
    engine.dispose()


def test_site_without_webhooks_warns_with_a_fix(settings: Settings) -> None:
    bring_to_head(settings)
    state, finding, fix = check_payments(settings)
    assert state == "warn"
    assert "0 plans" in finding
    assert fix.startswith("start it: ")


def test_event_that_failed_warns(settings: Settings) -> None:
    bring_to_head(settings)
    add_event(settings, "failed")
    state, finding, _ = check_payments(settings)
    assert (state, "1 event failed within a day" in finding) == ("warn", True)


def test_missing_database_fails_and_refers_to_its_check(settings: Settings) -> None:
    assert not sqlite_path(settings).exists()
    assert check_payments(settings) == ("fail", "webhook events could not be read", "see database")
