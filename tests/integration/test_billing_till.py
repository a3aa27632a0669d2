"""The services against the test till with the official SDK, with events in several orders."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest

from church.config import Settings
from church.extensions import db
from church.models import Customer, Invoice, LedgerEntry, Price, Product, StripeEvent, Subscription
from church.models.base import utc_now
from church.services import billing
from church.services.billing.stripe.client import StripeGateway
from church.services.entitlements import member_has_premium
from tests.support.stripe_fixture import SiteWithFakeStripe, add_member
from tests.support.till_fixture import FRIEND, InProcessTill

pytestmark = pytest.mark.services

Order = Callable[[list[Any]], list[Any]]
ORDERS: dict[str, Order] = {
    "as they happened": list,
    "backwards": lambda events: events[::-1],
    "shuffled": lambda events: Random(7).sample(events, len(events)),
    "each twice": lambda events: events + events,
}


class Site:
    """A site and a till; the test decides when and in which order webhooks are delivered."""

    def __init__(self, settings: Settings, order: Order) -> None:
        self.shop = SiteWithFakeStripe(settings)
        self.till = InProcessTill(self.shop.settings)
        self.stripe = StripeGateway("sk_test_till")
        self.stripe._client = self.till.stripe
        self.shop.app.extensions["stripe"] = self.stripe
        self.user_id, self.ref = add_member(self.shop.app)
        self._order = order
        self._sent: set[str] = set()

    def subscribe(self, price: str = FRIEND, trial: int | None = None) -> dict[str, Any]:
        """Pay at the till. Session and subscription name the member; the customer does not."""
        data: dict[str, Any] = {"metadata": {"church_user": self.ref}}
        if trial is not None:
            data["trial_period_days"] = trial
        return self.till.subscribe(price, client_reference_id=self.ref, subscription_data=data)

    def deliver(self) -> list[str]:
        """Deliver the events since the last time. Returns their outcomes."""
        found = [event.to_dict(for_json=True) for event in self._events() if event.id not in self._sent]
        self._sent |= {event["id"] for event in found}
        outcomes = [self.shop.deliver(json.dumps(event).encode()) for event in self._order(found[::-1])]
        assert {outcome.http for outcome in outcomes} <= {200}, outcomes
        return [outcome.status for outcome in outcomes]

    def premium(self) -> bool:
        with self.shop.app.app_context(), db.read() as session:
            return member_has_premium(session, self.user_id, utc_now())

    def _events(self) -> Iterator[Any]:
        return self.till.stripe.v1.events.list({"limit": 100}).auto_paging_iter()


@pytest.fixture(params=ORDERS)
def site(request: pytest.FixtureRequest, migrated_site: Settings) -> Iterator[Site]:
    site = Site(migrated_site, ORDERS[request.param])
    yield site
    site.till.desk.store.close()
    site.shop.close()


def test_member_has_premium_from_payment_to_the_end_of_the_period(site: Site) -> None:
    site.deliver()
    assert {one.plan for one in site.shop.rows(Product)} == {"friend", "patron"}
    assert sorted(one.amount or 0 for one in site.shop.rows(Price)) == [500, 1200, 5000, 12000]
    subscription = site.subscribe()
    site.deliver()
    row = site.shop.one(Subscription)
    assert (row.status, row.plan, row.renewal_amount, row.user_id) == ("active", "friend", 500, site.user_id)
    assert site.premium()
    assert site.shop.one(Customer).card_last4 == "4242"
    assert (site.shop.one(Invoice).status, site.shop.one(Invoice).amount_paid) == ("paid", 500)
    site.till.stripe.v1.subscriptions.update(subscription["id"], {"cancel_at_period_end": True})
    site.deliver()
    assert site.shop.one(Subscription).cancel_at == row.current_period_end
    assert site.premium()
    site.till.operate("clock", days="40")
    site.deliver()
    assert site.shop.one(Subscription).status == "canceled"
    assert not site.premium()
    assert [one.amount for one in site.shop.rows(LedgerEntry)] == [500]


def test_failed_renewal_is_past_due_with_an_open_invoice(site: Site) -> None:
    site.subscribe()
    site.till.operate("knobs", decline="on")
    site.till.operate("clock", days="32")
    site.deliver()
    row = site.shop.one(Subscription)
    assert (row.status, row.past_due_since is not None) == ("past_due", True)
    unpaid = next(one for one in site.shop.rows(Invoice) if one.status == "open")
    assert (unpaid.problem, unpaid.amount_remaining) == ("payment_failed", 500)
    assert unpaid.hosted_url


def test_refunds_and_disputes_are_booked_once(site: Site) -> None:
    subscription = site.subscribe()
    charge = site.till.charge(site.till.latest_invoice(subscription["id"]))["id"]
    site.till.operate("refund", charge=charge, amount="200")
    site.till.operate("dispute", charge=charge)
    dispute = site.till.stripe.v1.disputes.list({"charge": charge}).data[0].id
    site.till.operate("dispute", dispute=dispute, outcome="won")
    refund = site.till.stripe.v1.refunds.list({"charge": charge}).data[0].id
    site.till.operate("refund/fail", refund=refund)
    site.deliver()
    entries = sorted((one.kind, one.amount) for one in site.shop.rows(LedgerEntry))
    assert entries == [
        ("dispute", -500),
        ("dispute_reversal", 500),
        ("payment", 500),
        ("refund", -200),
        ("refund_failed", 200),
    ]


def test_reconcile_repairs_everything_without_webhooks_and_nothing_after_them(site: Site) -> None:
    site.subscribe()
    with site.shop.app.app_context():
        assert billing.reconcile_with_stripe().failed == 0
        assert site.premium()
        found = (site.shop.one(Subscription).status, [one.amount for one in site.shop.rows(LedgerEntry)])
        assert found == ("active", [500])
        site.deliver()
        assert billing.reconcile_with_stripe().repaired == 0


def test_checkout_of_a_trial_gives_premium_and_books_nothing(site: Site) -> None:
    site.subscribe("price_patron_month", trial=14)
    site.deliver()
    row = site.shop.one(Subscription)
    assert (row.status, row.plan, row.amount) == ("trialing", "patron", 1200)
    assert row.trial_end == row.current_period_end
    assert site.premium()
    assert site.shop.rows(LedgerEntry) == []
    assert {one.state for one in site.shop.rows(StripeEvent)} <= {"processed", "ignored"}


def test_deleted_customer_leaves_no_event_that_fails(site: Site) -> None:
    """In whatever order the events arrive: of a customer that came without a checkout, and of a subscriber."""
    made = site.till.stripe.v1.customers.create({"email": "kim@example.org", "metadata": {"church_user": site.ref}})
    site.till.stripe.v1.customers.update(made.id, {"name": "Kim"})
    site.till.stripe.v1.customers.delete(made.id)
    subscription = site.subscribe()
    site.deliver()
    assert site.premium()
    site.till.stripe.v1.customers.delete(subscription["customer"])
    site.deliver()
    states = {row.type: row.state for row in site.shop.rows(StripeEvent)}
    assert (states["customer.deleted"], "failed" in states.values()) == ("processed", False)
    assert [row.deleted_at is None for row in site.shop.rows(Customer)] == [False, False]
    assert [row.status for row in site.shop.rows(Subscription)] == ["canceled"]
    assert not site.premium()
