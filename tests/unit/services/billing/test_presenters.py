"""The status sentence and the banner of a membership, and the result of a checkout."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update

from church.extensions import db
from church.models import Checkout, Customer, Grant, Invoice, Subscription, User
from church.models.billing import CheckoutState
from church.services import billing
from church.services.billing.membership import MembershipData
from church.services.billing.presenters import describe_membership
from tests.support.membership_fixture import PATRON, Membership

NOW = datetime(2026, 4, 20, 12, tzinfo=UTC)
MAY = datetime(2026, 5, 3, 9, tzinfo=UTC)
NOTHING = MembershipData(None, None, None, None, "", "", None, had_one=False)


def subscription(**values: Any) -> Subscription:
    defaults = {
        "status": "active", "amount": 800, "renewal_amount": 800, "currency": "usd", "interval": "month",
        "current_period_end": MAY, "stripe_price": "price_1", "plan": "friend", "quantity": 1,
    }  # fmt: skip
    return Subscription(**(defaults | values))


def data(**values: Any) -> MembershipData:
    return replace(NOTHING, subscription=subscription(**values), plan_name="Friend", had_one=True)


@pytest.mark.parametrize(
    ("values", "state", "sentence", "premium"),
    [
        ({}, "active", "Renews 3 May, $8.00", True),
        ({"renewal_amount": 640}, "active", "Renews 3 May, $6.40", True),
        ({"renewal_amount": None, "amount": None}, "active", "Renews 3 May", True),
        ({"currency": "jpy"}, "active", "Renews 3 May, ¥800", True),
        ({"currency": "kwd"}, "active", "Renews 3 May, KWD 0.800", True),
        ({"current_period_end": datetime(2027, 4, 19, tzinfo=UTC)}, "active", "Renews 19 April 2027, $8.00", True),
        ({"status": "trialing", "trial_end": MAY}, "trialing", "Trial until 3 May, then $8.00", True),
        ({"status": "trialing", "trial_end": MAY, "cancel_at": MAY}, "ending", "Ends 3 May", True),
        ({"cancel_at": MAY}, "ending", "Ends 3 May", True),
        ({"status": "past_due", "past_due_since": NOW}, "past_due", "Payment failed; premium until 27 April", True),
        (
            {"status": "past_due", "past_due_since": NOW - timedelta(days=7)},
            "closed",
            "Payment failed; no premium until you pay",
            False,
        ),
        ({"status": "past_due"}, "closed", "Payment failed; no premium until you pay", False),
        ({"status": "unpaid"}, "closed", "Payment failed; no premium until you pay", False),
        ({"status": "paused"}, "paused", "Paused; add a card to resume", False),
        ({"collection_paused": True}, "uncollected", "Payments are paused", True),
        ({"collection_paused": True, "resumes_at": MAY}, "uncollected", "Payments are paused until 3 May", True),
        (
            {"collection_paused": True, "status": "trialing", "trial_end": MAY},
            "uncollected",
            "Payments are paused",
            True,
        ),
        ({"collection_paused": True, "cancel_at": MAY}, "ending", "Ends 3 May", True),
        ({"renewal_amount": 0}, "active", "Renews 3 May, $0.00", True),
        ({"renewal_amount": None}, "active", "Renews 3 May", True),
        ({"renewal_at": MAY - timedelta(days=1)}, "active", "Renews 2 May, $8.00", True),
        ({"renewal_asked_at": NOW, "fetched_at": NOW + timedelta(hours=23)}, "active", "Renews 3 May, $8.00", True),
        (
            {"renewal_asked_at": NOW, "fetched_at": NOW + timedelta(hours=25)},
            "active",
            "Renews 3 May, $8.00 as of 20 April",
            True,
        ),
        ({"collection_method": "send_invoice"}, "active", "Renews 3 May, $8.00, by invoice", True),
        (
            {"collection_method": "send_invoice", "status": "past_due", "past_due_since": NOW},
            "past_due",
            "Invoice open; premium until 27 April",
            True,
        ),
        (
            {"collection_method": "send_invoice", "status": "unpaid"},
            "closed",
            "Invoice open; no premium until you pay",
            False,
        ),
    ],
)
def test_status_of_a_subscription_is_one_sentence(
    values: dict[str, Any], state: str, sentence: str, premium: bool
) -> None:
    found = describe_membership(data(**values), NOW, grace_days=7)
    assert (found.state, found.sentence, found.premium) == (state, sentence, premium)
    assert found.can_change is (state in {"active", "trialing"})


def test_status_with_a_scheduled_change_shows_its_amount() -> None:
    found = replace(data(next_price="price_2", next_price_at=MAY), next_plan_name="Patron", next_amount=1200)
    assert describe_membership(found, NOW, 7).sentence == "Changes to Patron 3 May, $12.00"
    assert describe_membership(replace(found, next_plan_name="", next_amount=None), NOW, 7).sentence == (
        "Changes to another plan 3 May"
    )
    told = data(next_price="price_2", next_price_at=MAY, renewal_at=MAY, renewal_amount=960)
    found = replace(told, next_plan_name="Patron", next_amount=1200)
    assert describe_membership(found, NOW, 7).sentence == "Changes to Patron 3 May, $9.60"


def test_several_subscriptions_are_shown_each_with_its_price() -> None:
    assert describe_membership(data(), NOW, 7).subscriptions == ()
    other = replace(data(stripe_id="sub_2", renewal_amount=500), plan_name="Patron")
    ending = replace(data(stripe_id="sub_3", cancel_at=MAY), plan_name="Third")
    shown = describe_membership(replace(data(stripe_id="sub_1"), others=(other, ending)), NOW, 7).subscriptions
    assert [(own.stripe_id, own.plan_name, own.sentence, own.is_ending) for own in shown] == [
        ("sub_1", "Friend", "Renews 3 May, $8.00", False),
        ("sub_2", "Patron", "Renews 3 May, $5.00", False),
        ("sub_3", "Third", "Ends 3 May", True),
    ]


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("active", "Your invoice of $7.00 is open, due 3 May."),
        ("past_due", "Your invoice of $7.00 is open, due 3 May. You keep premium until 27 April."),
        ("unpaid", "Your invoice of $7.00 is open, due 3 May. Pay it to get premium back."),
    ],
)
def test_banner_for_an_invoice_by_hand_names_its_day_and_no_failure(status: str, words: str) -> None:
    """Another card would not help; a paid invoice needs no banner."""
    row = data(collection_method="send_invoice", status=status, past_due_since=NOW if status == "past_due" else None)
    invoice = Invoice(
        status="open", hosted_url="https://stripe.example/i", amount_remaining=700, currency="usd", due_at=MAY
    )
    banner = describe_membership(replace(row, invoice=invoice), NOW, 7).banner
    assert banner is not None
    assert (banner.words, banner.pay_url, banner.by_card) == (words, "https://stripe.example/i", False)
    invoice.status = "paid"
    assert describe_membership(replace(row, invoice=invoice), NOW, 7).banner is None


def test_status_without_a_subscription_is_no_membership() -> None:
    found = describe_membership(NOTHING, NOW, 7)
    assert (found.state, found.sentence, found.premium, found.banner) == ("none", "No subscription", False, None)
    assert not found.has_portal


def test_status_with_a_grant_is_complimentary_unless_a_subscription_gives_premium() -> None:
    grant = Grant(until=MAY)
    assert describe_membership(replace(NOTHING, grant=grant), NOW, 7).sentence == "Complimentary until 3 May"
    failed = describe_membership(replace(data(status="unpaid"), grant=grant), NOW, 7)
    assert (failed.state, failed.premium) == ("complimentary", True)
    assert failed.banner is not None
    assert describe_membership(replace(data(), grant=grant), NOW, 7).sentence == "Renews 3 May, $8.00"


def test_banner_for_a_failed_payment_links_to_the_invoice() -> None:
    invoice = Invoice(status="open", problem="payment_failed", hosted_url="https://stripe.example/i")
    found = describe_membership(replace(data(status="past_due", past_due_since=NOW), invoice=invoice), NOW, 7)
    assert found.banner is not None
    assert found.banner.words == "Your last payment failed. You keep premium until 27 April."
    assert found.banner.pay_url == "https://stripe.example/i"
    late = describe_membership(
        replace(data(status="past_due", past_due_since=NOW), invoice=invoice), NOW + timedelta(days=7), 7
    )
    assert late.banner is not None
    assert "Pay it to get premium back" in late.banner.words


def test_banner_for_3d_secure_and_for_a_trial_without_a_card() -> None:
    invoice = Invoice(status="open", problem="action_required", hosted_url="https://stripe.example/i")
    asked = describe_membership(replace(data(status="past_due", past_due_since=NOW), invoice=invoice), NOW, 7).banner
    assert asked is not None
    assert "bank needs you to confirm" in asked.words
    assert asked.pay_url == "https://stripe.example/i"
    paused = describe_membership(data(status="paused"), NOW, 7).banner
    assert paused is not None
    assert "no card" in paused.words
    paid = Invoice(status="paid", hosted_url="https://stripe.example/i")
    assert describe_membership(replace(data(), invoice=paid), NOW, 7).banner is None


def test_status_shows_the_last_digits_of_the_card() -> None:
    customer = Customer(card_brand="visa", card_last4="4242")
    found = describe_membership(replace(data(), customer=customer), NOW, 7)
    assert (found.card, found.has_portal) == ("Visa •••• 4242", True)
    assert describe_membership(replace(data(), customer=Customer(card_last4="0002")), NOW, 7).card == "Card •••• 0002"


def test_status_is_read_from_stored_webhooks(membership: Membership) -> None:
    user = membership.add()
    assert membership.status(user).sentence == "No subscription"
    membership.subscribed(user, PATRON)
    found = membership.status(user)
    assert (found.state, found.plan_name, found.price, found.had_trial) == ("trialing", "Patron", PATRON, True)
    assert found.card == "Visa •••• 4242"


# -- back from the checkout -------------------------------------------------------------------------------------------


@pytest.mark.sqlite_alone
def test_arrival_waits_for_the_webhook_and_is_only_for_its_member(membership: Membership, user: User) -> None:
    other = membership.add("other@church.example")
    session = membership.start(membership.as_signed_in(user))
    membership.pay(session)
    with membership.app.app_context():
        found = billing.read_checkout_result(user.id, session)
        assert found is not None
        assert (found.state, found.status.premium) == ("waiting", False)
        assert billing.read_checkout_result(other.id, session) is None
        assert billing.read_checkout_result(user.id, "cs_of_nobody") is None
    membership.tell()
    with membership.app.app_context():
        found = billing.read_checkout_result(user.id, session)
    assert found is not None
    assert (found.state, found.status.premium) == ("done", True)


@pytest.mark.sqlite_alone
@pytest.mark.parametrize(("state", "shown"), [("pending", "pending"), ("failed", "failed"), ("expired", "expired")])
def test_arrival_shows_the_result_of_the_checkout(membership: Membership, user: User, state: str, shown: str) -> None:
    session = membership.start(membership.as_signed_in(user))
    with membership.app.app_context():
        with db.write() as database:
            database.execute(update(Checkout).values(state=CheckoutState(state).value))
        found = billing.read_checkout_result(user.id, session)
    assert found is not None
    assert found.state == shown
