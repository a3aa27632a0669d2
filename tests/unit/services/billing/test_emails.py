"""Emails about a membership: which event sends one, and when the nightly comparison sends it instead."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update

from church.extensions import db
from church.models import Mail, Subscription, User
from church.models.base import utc_now
from church.services.billing import emails
from church.services.billing.stripe.event_types import IncomingEvent
from tests.support.billing_rows import add_customer, add_event, add_invoice, add_subscription, stored
from tests.support.stripe_fixture import DAY, START, utc_time

NOW = utc_time(START + DAY)


def queue(event_type: str, object_id: str, event_id: int = 0, now: datetime = NOW) -> list[tuple[str, dict[str, Any]]]:
    """Queue the email of an event, and return all emails queued so far."""
    event = IncomingEvent("evt_1", event_type, object_id, event_type.partition(".")[0], now, {})
    with db.write() as session:
        emails.queue_email(session, event, event_id, now)
    return queued()


def queued() -> list[tuple[str, dict[str, Any]]]:
    return [(mail.template, mail.context) for mail in stored(Mail)]


def miss(before: dict[str, str]) -> list[str]:
    """Let the nightly comparison queue what no webhook has reported; return the templates of all emails."""
    with db.write() as session:
        emails.queue_missed_emails(session, before, NOW)
    return [template for template, _ in queued()]


@pytest.fixture
def late(ada: User) -> Subscription:
    """Ada's subscription, past due for an hour, with its unpaid invoice."""
    since = NOW - timedelta(hours=1)
    row = add_subscription(add_customer(ada.id), status="past_due", past_due_since=since, latest_invoice="in_late")
    add_invoice(row, "in_late", amount_remaining=700)
    return row


def test_failed_payment_names_plan_amount_and_end_of_grace(late: Subscription) -> None:
    """After the grace period no day is named, because premium has ended."""
    [(template, context)] = queue("invoice.payment_failed", "in_late")
    assert (template, context) == (
        "payment_failed", {"plan": "Patron", "amount": "$7.00", "until": "29 September 2026"},
    )  # fmt: skip
    assert queue("invoice.payment_failed", "in_late", now=NOW + timedelta(days=30))[-1][1]["until"] == ""


@pytest.mark.parametrize(
    ("invoice", "subscription"), [({"status": "paid"}, {}), ({}, {"status": "active", "past_due_since": None})]
)
def test_failed_payment_paid_meanwhile_sends_nothing(
    ada: User, invoice: dict[str, Any], subscription: dict[str, Any]
) -> None:
    """The event may be old: what counts is what is stored now."""
    row = add_subscription(add_customer(ada.id), **{"status": "past_due", "past_due_since": NOW} | subscription)
    add_invoice(row, "in_1", **invoice)
    assert queue("invoice.payment_failed", "in_1") == []
    assert queue("invoice.payment_failed", "in_of_nobody") == []


@pytest.mark.parametrize(
    ("values", "price"),
    [
        ({}, "$12.00 a month"),
        ({"renewal_amount": 900}, "$9.00 a month"),
        ({"interval_count": 3}, "$12.00 every 3 months"),
        ({"interval": "year"}, "$12.00 a year"),
        ({"amount": None}, ""),
    ],
)
def test_trial_ending_names_its_day_and_the_price_that_follows(ada: User, values: dict[str, Any], price: str) -> None:
    """The price is for one period, with continuing discounts."""
    trial = {"status": "trialing", "trial_end": NOW + timedelta(days=3)}
    row = add_subscription(add_customer(ada.id), **trial | values)
    assert queue("customer.subscription.trial_will_end", row.stripe_id) == [
        ("trial_ending", {"plan": "Patron", "day": "25 September 2026", "price": price})
    ]


@pytest.mark.parametrize("values", [{"cancel_at": NOW}, {"trial_end": NOW}, {"status": "active"}])
def test_trial_that_charges_nothing_or_is_over_sends_nothing(ada: User, values: dict[str, Any]) -> None:
    """It would warn of a charge that does not come."""
    trial = {"status": "trialing", "trial_end": NOW + timedelta(days=3)}
    row = add_subscription(add_customer(ada.id), **trial | values)
    assert queue("customer.subscription.trial_will_end", row.stripe_id) == []


def test_end_of_a_subscription_sends_nothing_while_another_lasts(ada: User) -> None:
    """The member still has a membership; once both have ended, an email says so."""
    customer = add_customer(ada.id)
    ended, other = add_subscription(customer, status="canceled"), add_subscription(customer)
    assert queue("customer.subscription.deleted", ended.stripe_id) == []
    with db.write() as session:
        session.execute(update(Subscription).where(Subscription.id == other.id).values(status="canceled"))
    assert queue("customer.subscription.deleted", ended.stripe_id) == [
        ("membership_ended", {"plan": "Patron", "premium": False})
    ]


def test_event_already_reported_by_another_sends_nothing(late: Subscription) -> None:
    """Stripe retries an invoice several times. The event itself, and an ignored one, do not count."""
    own = add_event("evt_own", "invoice.payment_failed", "in_late")
    add_event("evt_ignored", "invoice.payment_failed", "in_late", state="ignored")
    assert len(queue("invoice.payment_failed", "in_late", own.id)) == 1
    add_event("evt_former", "invoice.payment_failed", "in_late")
    assert len(queue("invoice.payment_failed", "in_late", own.id)) == 1


def test_account_deleted_or_without_an_address_gets_no_email(ada: User, late: Subscription) -> None:
    """No address is left."""
    with db.write() as session:
        gone = {"email": None, "email_key": None, "password_hash": None, "deleted_at": utc_now(), "name": ""}
        session.execute(update(User).where(User.id == ada.id).values(**gone))
    assert queue("invoice.payment_failed", "in_late") == []


def test_change_without_its_event_sends_one_email_in_all(late: Subscription) -> None:
    """The comparison sends it once, and the event that arrives later sends no second one."""
    with db.read() as session:
        assert emails.read_statuses(session, [late.stripe_id, "sub_new"]) == {late.stripe_id: "past_due"}
    assert miss({late.stripe_id: "active"}) == ["payment_failed"]
    assert queue("invoice.payment_failed", "in_late")[0][1]["about"] == "in_late"
    assert len(queued()) == 1


@pytest.mark.parametrize("former", ["past_due", "unpaid", "incomplete", "canceled"])
def test_change_that_is_no_news_is_not_emailed(late: Subscription, former: str) -> None:
    """It was unpaid before, or had never begun."""
    assert miss({late.stripe_id: former, "sub_unknown": "active"}) == []


def test_end_without_its_event_is_emailed(ada: User) -> None:
    """The subscription was active when it was last compared."""
    row = add_subscription(add_customer(ada.id), status="canceled")
    assert miss({row.stripe_id: "active"}) == ["membership_ended"]
