"""The payment check of the doctor and the admin area: state, finding and fix."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr
from sqlalchemy import update

from church.config import Settings
from church.doctor.payments import check_payments
from church.extensions import db
from church.models import StripeEvent
from church.models.base import utc_now
from church.services.billing.health import PaymentFacts
from church.services.billing.health import check_payments as payment_health
from tests.support.helpers import with_settings
from tests.support.membership_fixture import Membership

WELL = PaymentFacts(failed=0, last_webhook=datetime(2030, 1, 31, 9, 5, tzinfo=UTC), plans=2)
LIVE = {"stripe_secret_key": SecretStr("sk_live_hunter2"), "stripe_webhook_secret": SecretStr("whsec_hunter2")}
TEST = {**LIVE, "stripe_secret_key": SecretStr("rk_test_hunter2")}
REAL = {"environment": "production", "site_url": "https://church.example"}


def test_health_working_payments_show_key_plans_and_last_webhook(settings: Settings) -> None:
    found = payment_health(with_settings(settings, **REAL, **LIVE), WELL)
    assert (found.state, found.fix) == ("ok", "")
    assert found.finding == "Stripe with a live key; 2 plans; last webhook 2030-01-31 09:05 UTC"


def test_health_without_payments_is_ok(settings: Settings) -> None:
    found = payment_health(with_settings(settings, **REAL), replace(WELL, failed=3, plans=0))
    assert (found.state, found.finding.partition(":")[0]) == ("ok", "off")


def test_health_test_till_in_development_is_ok(settings: Settings) -> None:
    found = payment_health(settings, WELL)
    assert (found.state, found.finding.startswith(f"test till at {settings.till_address};")) == ("ok", True)


@pytest.mark.parametrize(
    ("changes", "facts", "state", "finding", "fix"),
    [
        (REAL | LIVE, {"failed": 2}, "warn", "2 events failed within a day", "replay --failed"),
        (REAL | LIVE, {"unmatched": 1}, "warn", "1 payment without a member", "/admin/membership/unmatched"),
        (REAL | LIVE, {"last_webhook": None}, "warn", "no webhook received", "https://church.example/stripe/webhook"),
        (REAL | LIVE, {"plans": 0}, "warn", "0 plans", "church_plan"),
        (REAL | TEST, {}, "warn", "a test key", "live"),
        (LIVE, {}, "warn", "payments are real", "test key"),
        (TEST | {"stripe_webhook_secret": None}, {"failed": 1}, "fail", "every webhook is rejected", "STRIPE_WEBHOOK_"),
        (
            REAL | LIVE,
            {"paying_twice": 2},
            "warn",
            "2 members with several subscriptions",
            "/admin/membership?several=1",
        ),
        ({}, {"last_webhook": None}, "warn", "no webhook received", "make run"),
    ],
)
def test_health_problem_is_reported_with_its_fix_and_no_secret(
    settings: Settings, changes: dict[str, object], facts: dict[str, object], state: str, finding: str, fix: str
) -> None:
    found = payment_health(with_settings(settings, **changes), replace(WELL, **facts))  # type: ignore[arg-type]
    assert found.state == state
    assert finding in found.finding
    assert fix in found.fix
    assert "hunter2" not in found.finding + found.fix


def test_doctor_reads_payment_facts_from_the_database(membership: Membership) -> None:
    state, finding, _ = check_payments(membership.settings)
    assert (state, "2 plans" in finding, f"last webhook {utc_now():%Y-}" in finding) == ("ok", True, True)
    first, second, *_ = membership.rows(StripeEvent)
    with membership.app.app_context(), db.write() as session:
        session.execute(update(StripeEvent).where(StripeEvent.id.in_([first.id, second.id])).values(state="failed"))
        old = {"received_at": utc_now() - timedelta(hours=25)}
        session.execute(update(StripeEvent).where(StripeEvent.id == first.id).values(**old))
    state, finding, fix = check_payments(membership.settings)
    assert (state, "1 event failed within a day" in finding, "replay" in fix) == ("warn", True, True)


def test_doctor_without_a_database_does_not_judge_payments(settings: Settings) -> None:
    assert check_payments(settings)[0] == "fail"
