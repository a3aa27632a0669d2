"""Emails about a membership: which event or change sends one, what it says, and that it is sent once."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, update

from church.extensions import db
from church.models import Mail, Notice, StripeEvent, Subscription, User
from church.services.billing import emails
from church.services.billing.stripe.event_types import IncomingEvent
from church.services.billing.stripe.fetch import Facts
from tests.support.billing_rows import add_customer, add_event, add_invoice, add_subscription, stored
from tests.support.helpers import with_settings
from tests.support.stripe_fixture import DAY, START, utc_time

NOW = utc_time(START + DAY)


def queue(event_type: str, object_id: str, event_id: int = 0, now: datetime = NOW) -> list[tuple[str, dict[str, Any]]]:
    """Queue the email of an event, and return all emails queued so far."""
    event = IncomingEvent("evt_1", event_type, object_id, event_type.partition(".")[0], now, {})
    with db.write() as session:
        emails.queue_email(session, event, event_id, Facts(now), now)
    return queued()


def queued() -> list[tuple[str, dict[str, Any]]]:
    return [(mail.template, mail.context) for mail in stored(Mail)]


def change(row: Subscription, before: dict[str, Any] | None, **facts: Any) -> list[tuple[str, dict[str, Any]]]:
    """Queue the emails for a subscription that was ``before`` different, and return all emails queued so far."""
    with db.write() as session:
        after = dict(session.execute(select(Subscription.__table__).filter_by(id=row.id)).mappings().one())
        former = None if before is None else {**after, **before}
        emails.queue_change(session, Facts(NOW, **facts), former, after, NOW)
    return queued()


def templates(found: list[tuple[str, dict[str, Any]]]) -> list[str]:
    return [template for template, _ in found]


def turn_off(app: Flask, **settings: object) -> None:
    app.config["CHURCH"] = with_settings(app.config["CHURCH"], **settings)


@pytest.fixture
def late(ada: User) -> Subscription:
    """Ada's subscription, past due for an hour, with its unpaid invoice."""
    since = NOW - timedelta(hours=1)
    row = add_subscription(add_customer(ada.id), status="past_due", past_due_since=since, latest_invoice="in_late")
    add_invoice(row, "in_late", amount_remaining=700)
    return row


def test_failed_payment_names_plan_amount_and_end_of_grace(ada: User, late: Subscription) -> None:
    """After the grace period no day is named, because premium has ended."""
    [(template, context)] = queue("invoice.payment_failed", "in_late")
    assert (template, context) == (
        "payment_failed", {"plan": "Patron", "amount": "$7.00", "until": "29 September 2026"},
    )  # fmt: skip
    add_invoice(late, "in_later")
    assert queue("invoice.payment_failed", "in_later", now=NOW + timedelta(days=30))[-1][1]["until"] == ""


@pytest.mark.parametrize(
    ("invoice", "subscription"),
    [
        ({"status": "paid"}, {}),
        ({}, {"status": "active", "past_due_since": None}),
    ],
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
        ({}, "$12.00"),
        ({"renewal_amount": 900}, "$9.00"),
        ({"renewal_amount": None}, ""),
    ],
)
def test_trial_ending_names_its_day_and_the_first_payment(ada: User, values: dict[str, Any], price: str) -> None:
    """It is the amount of the next invoice, with tax and discounts."""
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
    former = add_event("evt_former", "invoice.payment_failed", "in_late")
    assert queue("invoice.payment_failed", "in_late", own.id) == []
    with db.write() as session:
        session.execute(update(StripeEvent).where(StripeEvent.id == former.id).values(state="ignored"))
    assert templates(queue("invoice.payment_failed", "in_late", own.id)) == ["payment_failed"]


@pytest.mark.parametrize("values", [{"deleted_at": NOW, "email": None, "email_key": None}, {"verified_at": None}])
def test_account_deleted_or_unconfirmed_gets_no_email(ada: User, late: Subscription, values: dict[str, Any]) -> None:
    """No address is left, or it may be a stranger's. A confirmation later still finds the occasion unused."""
    with db.write() as session:
        session.execute(update(User).where(User.id == ada.id).values(**values))
    assert queue("invoice.payment_failed", "in_late") == []
    assert stored(Notice) == []


def test_change_and_its_event_send_one_email_in_all(late: Subscription) -> None:
    """Whichever comes first: the event, the one about the subscription, or the nightly comparison."""
    assert templates(change(late, {"status": "active"})) == ["payment_failed"]
    assert len(change(late, {"status": "active"})) == 1
    assert len(queue("invoice.payment_failed", "in_late")) == 1


@pytest.mark.parametrize("former", ["past_due", "unpaid", "incomplete", "canceled"])
def test_change_that_is_no_news_is_not_emailed(late: Subscription, former: str) -> None:
    """It was unpaid before, or had never begun."""
    assert change(late, {"status": former}) == []


def test_overdue_invoice_of_a_member_who_pays_by_hand_is_no_failed_payment(late: Subscription) -> None:
    """No card was charged. A try on the invoice's page that failed changes nothing of that."""
    with db.write() as session:
        session.execute(update(Subscription).values(collection_method="send_invoice"))
    context = {"plan": "Patron", "amount": "$7.00", "until": "29 September 2026"}
    assert change(late, {"status": "active"}) == [("invoice_open", context)]
    event = IncomingEvent("evt_1", "invoice.payment_failed", "in_late", "invoice", NOW, {})
    with db.write() as session:
        emails.queue_email(session, event, 0, Facts(NOW), NOW)
    assert len(queued()) == 1


def test_end_without_its_event_is_emailed_once(ada: User) -> None:
    """The subscription was active when it was last stored; its event may still come."""
    row = add_subscription(add_customer(ada.id), status="canceled")
    assert templates(change(row, {"status": "active"})) == ["membership_ended"]
    assert len(queue("customer.subscription.deleted", row.stripe_id)) == 1


@pytest.mark.parametrize(
    ("before", "values", "context"),
    [
        (None, {}, {"trial": "", "ends": "", "price": "$12.00"}),
        ({"status": "incomplete"}, {}, {"trial": "", "ends": "", "price": "$12.00"}),
        (
            None, {"status": "trialing", "trial_end": NOW + timedelta(days=14), "cancel_at": NOW + timedelta(days=14)},
            {"trial": "6 October 2026", "ends": "6 October 2026", "price": "$12.00"},
        ),
    ],
)  # fmt: skip
def test_subscription_that_begins_is_welcomed_once(
    ada: User, before: dict[str, Any] | None, values: dict[str, Any], context: dict[str, Any]
) -> None:
    """A first payment may take days: then it begins when that is through."""
    row = add_subscription(add_customer(ada.id), **values)
    welcome = ("welcome", {"plan": "Patron", **context})
    assert change(row, before) == [welcome]
    assert change(row, before) == [welcome]
    assert change(row, {"status": "active", "current_period_end": NOW}) == [welcome]


@pytest.mark.parametrize(
    ("before", "values"),
    [
        (None, {"started_at": NOW - timedelta(days=8)}),
        (None, {"status": "incomplete"}),
        ({"status": "past_due"}, {}),
        ({"status": "paused"}, {}),
    ],
)
def test_subscription_known_before_or_unpaid_is_not_welcomed(
    ada: User, before: dict[str, Any] | None, values: dict[str, Any]
) -> None:
    """An old one that the site did not have was brought along, or its webhooks were lost."""
    assert change(add_subscription(add_customer(ada.id), **values), before) == []


def test_old_payment_that_is_matched_with_its_member_is_welcomed(ada: User) -> None:
    """To the member it is news: until then they had no access."""
    row = add_subscription(add_customer(ada.id), started_at=NOW - timedelta(days=90))
    assert templates(change(row, None, matched=True)) == ["welcome"]


def test_cancellation_says_until_when_premium_stays(ada: User) -> None:
    """Each cancellation once; one that was taken back and made again is another."""
    customer = add_customer(ada.id)
    row = add_subscription(customer, cancel_at=NOW + timedelta(days=29))
    asked, again = ({"subscriptions": {row.stripe_id: ({"canceled_at": at}, "patron")}} for at in (START, START + 9))
    cancelled = ("membership_cancelled", {"plan": "Patron", "until": "21 October 2026", "another": False})
    assert change(row, {"cancel_at": None}, **asked) == [cancelled]
    assert change(row, {"cancel_at": None}, **asked) == [cancelled]
    assert change(row, {}, **asked) == [cancelled]
    add_subscription(customer)
    found = change(row, {"cancel_at": None}, **again)
    assert [context["another"] for _, context in found] == [False, True]


@pytest.mark.parametrize(
    ("setting", "values", "before"),
    [
        ("email_welcome", {}, None),
        ("email_cancelled", {"cancel_at": NOW + timedelta(days=3)}, {"cancel_at": None}),
        ("email_ended", {"status": "canceled"}, {"status": "active"}),
    ],
)
def test_email_that_a_setting_turns_off_is_not_sent(
    at_work: Flask, ada: User, setting: str, values: dict[str, Any], before: dict[str, Any] | None
) -> None:
    """Turned on again, it is not sent late either: what happened is no longer news."""
    turn_off(at_work, **{setting: False})
    assert change(add_subscription(add_customer(ada.id), **values), before) == []
