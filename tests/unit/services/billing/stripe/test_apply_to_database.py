"""Writing fetched objects: the newer state stays, the same facts change nothing, and a finished checkout stays so."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update

from church.extensions import db
from church.models import Checkout, Customer, Invoice, LedgerEntry, Price, Product, Subscription, User
from church.models.base import utc_now
from church.services.billing.errors import StripeDownError
from church.services.billing.stripe.apply_to_database import (
    Applied,
    apply_facts,
    refresh_subscription,
    settle_checkout,
)
from church.services.billing.stripe.fetch import Facts, Fetcher
from tests.support.billing_rows import store, stored
from tests.support.stripe_fixture import DAY, START, FakeStripe, Obj, utc_time

NOW = utc_time(START + DAY)


def write(facts: Facts, now: datetime = NOW) -> Applied:
    with db.write() as session:
        return apply_facts(session, facts, now)


def fetch(stripe: FakeStripe, kind: str, obj: Obj, at: datetime = NOW) -> Facts:
    return Fetcher(stripe, at).about(kind, obj["id"])


@pytest.fixture
def subscription(stripe_objects: FakeStripe, ada: User) -> Obj:
    """Ada's subscription, at Stripe only."""
    return stripe_objects.subscription(stripe_objects.customer(ada.ref))


def test_facts_are_stored_with_their_owner_and_booked(stripe_objects: FakeStripe, ada: User, subscription: Obj) -> None:
    """One call writes customer, subscription, invoice, plan and payment; the same facts again change nothing."""
    facts = fetch(stripe_objects, "invoice", stripe_objects.invoice(subscription, paid=1200))
    done = write(facts)
    assert (done.booked, done.stale, done.members) == (1, 0, {ada.id})
    [customer], [row], [invoice] = stored(Customer), stored(Subscription), stored(Invoice)
    assert {customer.user_id, row.user_id, invoice.user_id} == {ada.id}
    assert {row.customer_id, invoice.customer_id} == {customer.id}
    assert (row.plan, stored(Product)[0].plan, stored(Price)[0].amount) == ("patron", "patron", 1200)
    again = write(facts)
    assert (again.changed, again.booked, again.members) == (0, 0, set())
    assert len(stored(LedgerEntry)) == 1


def test_facts_fetched_earlier_do_not_replace_later_ones(stripe_objects: FakeStripe, subscription: Obj) -> None:
    """Of two workers, the one that fetched first may write last."""
    early = fetch(stripe_objects, "subscription", subscription, NOW - timedelta(seconds=2))
    subscription["status"] = "past_due"
    assert write(fetch(stripe_objects, "subscription", subscription, NOW - timedelta(seconds=1))).stale == 0
    assert write(early) == Applied(changed=0, stale=2)  # of the customer and the subscription
    assert stored(Subscription)[0].status == "past_due"


def test_row_from_before_the_clock_was_set_back_is_replaced(stripe_objects: FakeStripe, subscription: Obj) -> None:
    """It would refuse every change until the clock has caught up."""
    write(fetch(stripe_objects, "subscription", subscription, NOW + timedelta(hours=1)))
    subscription["status"] = "past_due"
    assert write(fetch(stripe_objects, "subscription", subscription)).stale == 0
    assert stored(Subscription)[0].status == "past_due"


def test_pages_are_notified_of_what_they_show_only(stripe_objects: FakeStripe, ada: User, subscription: Obj) -> None:
    """A renewal is nothing to show, and a subscription that never began is none."""
    subscription["status"] = "incomplete"
    assert write(fetch(stripe_objects, "subscription", subscription)).members == set()
    subscription["status"] = "active"
    assert write(fetch(stripe_objects, "subscription", subscription)).members == {ada.id}
    subscription["items"]["data"][0]["current_period_end"] += 30 * DAY
    renewed = write(fetch(stripe_objects, "subscription", subscription))
    assert (renewed.changed, renewed.members) == (1, set())


def test_further_unpaid_invoice_does_not_restart_the_grace_period(
    stripe_objects: FakeStripe, subscription: Obj
) -> None:
    """It restarts once the former invoice is paid."""
    subscription["status"] = "past_due"
    first = stripe_objects.invoice(subscription, status_transitions={"finalized_at": START + 5})
    write(fetch(stripe_objects, "subscription", subscription))
    stripe_objects.invoice(subscription, status_transitions={"finalized_at": START + 500})
    write(fetch(stripe_objects, "subscription", subscription))
    assert stored(Subscription)[0].past_due_since == utc_time(START + 5)
    first["status"] = "paid"
    with db.write() as session:
        session.execute(update(Subscription).values(latest_invoice=first["id"]))
    write(fetch(stripe_objects, "subscription", subscription))
    assert stored(Subscription)[0].past_due_since == utc_time(START + 500)


def test_plans_gone_are_withdrawn_and_a_customer_gone_is_marked(
    stripe_objects: FakeStripe, ada: User, subscription: Obj
) -> None:
    """The rows stay: subscriptions and the ledger refer to them."""
    write(fetch(stripe_objects, "subscription", subscription))
    assert (stored(Product)[0].active, stored(Price)[0].active) == (True, True)
    write(Facts(NOW, gone_products=["prod_patron"], gone_prices=["price_month"]))
    assert (stored(Product)[0].active, stored(Price)[0].active) == (False, False)
    name = subscription["customer"]
    write(Facts(NOW, owner_id=ada.id, customer_id=name, customer={"id": name, "deleted": True}))
    assert stored(Customer)[0].deleted_at == NOW


# -- checkouts ------------------------------------------------------------------------------------------------------


def add_checkout(user: User, state: str = "open", stripe_session: str | None = "cs_1") -> None:
    ids = {"ref": "co1", "user_id": user.id, "stripe_price": "price_1", "stripe_session": stripe_session}
    store(Checkout(**ids, state=state, created_at=NOW))


def settle(payment_failed: bool = False, **found: Any) -> bool:
    with db.write() as session:
        return settle_checkout(session, {"id": "cs_1", **found}, payment_failed=payment_failed)


@pytest.mark.parametrize(
    ("found", "failed", "state"),
    [
        ({"status": "complete", "payment_status": "paid"}, False, "completed"),
        ({"status": "complete", "payment_status": "no_payment_required"}, False, "completed"),
        ({"status": "complete", "payment_status": "unpaid"}, False, "pending"),
        ({"status": "complete", "payment_status": "unpaid"}, True, "failed"),
        ({"status": "expired"}, False, "expired"),
        ({"status": "open"}, False, "open"),
    ],
)
def test_checkout_takes_the_state_of_its_session(ada: User, found: Obj, failed: bool, state: str) -> None:
    """A slow payment leaves it unfinished."""
    add_checkout(ada)
    assert settle(failed, **found) is (state != "open")
    [row] = stored(Checkout)
    assert (row.state, row.finished_at is None) == (state, state in {"open", "pending"})


@pytest.mark.parametrize("state", ["completed", "failed", "expired"])
def test_checkout_that_has_finished_stays_so(ada: User, state: str) -> None:
    """Events arrive in any order."""
    add_checkout(ada, state)
    assert not settle(status="complete", payment_status="paid")
    assert stored(Checkout)[0].state == state


def test_checkout_is_found_by_our_ref_before_its_session_is_stored(ada: User) -> None:
    """The event may arrive before Stripe's answer to the call."""
    add_checkout(ada, stripe_session=None)
    assert not settle(status="expired")
    assert settle(status="expired", metadata={"church_checkout": "co1"})
    assert (stored(Checkout)[0].state, stored(Checkout)[0].stripe_session) == ("expired", "cs_1")


def test_refresh_stores_the_subscription_or_reports_failure(stripe_objects: FakeStripe, subscription: Obj) -> None:
    """A failure is no error: the webhook will bring the same."""

    def down(_method: str) -> None:
        raise StripeDownError

    stripe_objects.before = down
    assert not refresh_subscription(subscription["id"])
    stripe_objects.before = lambda _method: None
    assert not refresh_subscription("sub_of_nobody")
    assert stored(Subscription) == []
    assert refresh_subscription(subscription["id"])
    assert stored(Subscription)[0].fetched_at <= utc_now()
