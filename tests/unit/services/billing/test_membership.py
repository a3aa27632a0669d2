"""What a member has: the subscription that counts, the customer in use, and the plan that follows."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from flask import Flask

from church.extensions import db
from church.models import Grant, Price, Product, Subscription, User
from church.models.base import utc_now
from church.services.billing import membership as membership_rows
from church.services.billing.membership import MembershipData
from tests.support.billing_rows import add_customer, add_invoice, add_subscription, store
from tests.support.membership_fixture import Membership
from tests.support.people import add_user
from tests.support.stripe_fixture import DAY, START, utc_time

pytestmark = pytest.mark.sqlite_alone

NOW = utc_time(START + DAY)


def load(user_id: int) -> MembershipData:
    with db.read_connection() as connection:
        return membership_rows.load_membership(connection, user_id, NOW, 7)


def add_plan(product: str, price: str, name: str, amount: int | None) -> None:
    """Store a product with one monthly price."""
    product_values: dict[str, Any] = {"plan": name.lower(), "name": name, "description": "", "features": []}
    price_values = {"currency": "usd", "interval": "month", "interval_count": 1, "trial_days": 0}
    store(
        Product(stripe_id=product, active=True, fetched_at=NOW, **product_values),
        Price(
            stripe_id=price, stripe_product=product, amount=amount, tax_behavior="unspecified", active=True,
            created_at=NOW, fetched_at=NOW, **price_values,
        ),
    )  # fmt: skip


@pytest.mark.both_databases
def test_subscription_with_premium_counts_before_a_newer_one_without(membership: Membership) -> None:
    user = membership.add()
    membership.subscribed(user)
    good = membership.one(Subscription)
    values = {c.name: getattr(good, c.name) for c in Subscription.__table__.columns if c.name != "id"}
    later = {"created_at": utc_now() + timedelta(days=1)}
    membership.put(Subscription(**values | later | {"stripe_id": "sub_newer", "status": "unpaid"}))
    assert membership.status(user).state == "active"
    membership.put(Subscription(**values | later | {"stripe_id": "sub_ended", "status": "canceled"}))
    assert membership.status(user).state == "active"


@pytest.mark.both_databases
def test_grant_ended_or_revoked_does_not_count(membership: Membership) -> None:
    user = membership.add()
    now = utc_now()
    facts = {"user_id": user.id, "reason": "", "created_at": now}
    membership.put(Grant(**facts, until=now - timedelta(seconds=1)))
    membership.put(Grant(**facts, until=now + timedelta(days=9), revoked_at=now))
    assert membership.status(user).state == "none"
    membership.put(Grant(**facts, until=now + timedelta(days=9)))
    assert membership.status(user).state == "complimentary"
    assert membership.as_signed_in(user).premium


def test_member_without_any_row_has_nothing(ada: User) -> None:
    """Nothing is found, and no text is made up for it."""
    assert load(ada.id) == MembershipData(None, None, None, None, "", "", None, had_one=False)


def test_subscription_ended_or_incomplete_is_not_current(ada: User) -> None:
    """Only the paused one can still become premium; all count as had."""
    customer = add_customer(ada.id)
    for status in ("canceled", "incomplete", "incomplete_expired"):
        add_subscription(customer, status=status)
    assert load(ada.id).subscription is None
    assert load(ada.id).had_one
    paused = add_subscription(customer, status="paused")
    with db.read() as session:
        found = membership_rows.list_current_subscriptions(session, ada.id)
    assert [row.id for row in found] == [paused.id]


def test_subscription_of_another_member_is_not_loaded(at_work: Flask, ada: User) -> None:
    """Each query names the member."""
    other = add_user(at_work, "bob@church.example", password_hash="x")
    add_invoice(add_subscription(add_customer(other.id)))
    assert load(ada.id) == MembershipData(None, None, None, None, "", "", None, had_one=False)
    with db.read() as session:
        assert not membership_rows.had_subscription(session, ada.id)
        assert membership_rows.had_subscription(session, other.id)


def test_customer_in_use_is_the_newest_not_deleted(ada: User) -> None:
    """A customer that Stripe no longer has is passed over, even if it is newer."""
    add_customer(ada.id, "cus_old")
    add_customer(ada.id, "cus_used", created_at=utc_time(START + 1))
    add_customer(ada.id, "cus_gone", created_at=utc_time(START + 2), deleted_at=NOW)
    found = load(ada.id).customer
    assert found is not None
    assert found.stripe_id == "cus_used"


def test_next_plan_costs_its_price_for_the_quantity(ada: User) -> None:
    """The scheduled plan is named, and its amount is for all seats; a tiered price has no amount."""
    add_plan("prod_1", "price_1", "Friend", 500)
    add_plan("prod_2", "price_2", "Patron", 1200)
    add_plan("prod_3", "price_3", "Tiered", None)
    customer = add_customer(ada.id)
    add_subscription(customer, stripe_product="prod_1", next_price="price_2", quantity=3)
    found = load(ada.id)
    assert (found.plan_name, found.next_plan_name, found.next_amount) == ("Friend", "Patron", 3600)
    newer = {"created_at": utc_time(START + 9)}
    add_subscription(customer, plan="guest", next_price="price_3", **newer)
    found = load(ada.id)
    assert (found.plan_name, found.next_plan_name, found.next_amount) == ("Guest", "Tiered", None)


def test_invoice_shown_is_the_newest_that_is_no_draft(ada: User) -> None:
    """A draft is Stripe's own preparation, and another subscription's invoice explains nothing."""
    customer = add_customer(ada.id)
    add_invoice(add_subscription(customer, status="canceled"), created_at=NOW)
    subscription = add_subscription(customer, status="past_due")
    add_invoice(subscription, "in_older")
    add_invoice(subscription, "in_shown", created_at=utc_time(START + 1))
    add_invoice(subscription, "in_draft", created_at=utc_time(START + 2), status="draft")
    found = load(ada.id).invoice
    assert found is not None
    assert found.stripe_id == "in_shown"


def test_further_subscriptions_are_loaded_after_the_one_that_counts(ada: User) -> None:
    """Each with its own plan and invoice; one that has ended is none of them."""
    add_plan("prod_1", "price_1", "Friend", 500)
    customer = add_customer(ada.id)
    older = add_subscription(customer, stripe_product="prod_1")
    add_invoice(older, "in_older")
    newer = add_subscription(customer, created_at=utc_time(START + DAY))
    add_subscription(customer, status="canceled")
    found = load(ada.id)
    assert found.subscription is not None
    assert (found.subscription.id, len(found.others)) == (newer.id, 1)
    [other] = found.others
    assert other.subscription is not None
    assert other.invoice is not None
    assert (other.subscription.id, other.plan_name, other.invoice.stripe_id) == (older.id, "Friend", "in_older")
