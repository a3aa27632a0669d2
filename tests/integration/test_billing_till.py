"""The services against the test till, by the official SDK: a member's whole way, however its events arrive."""

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
from church.services.entitlements import premium_of
from tests.support.stripe_fixture import Shop, member
from tests.support.till_fixture import FRIEND, InProcessTill

pytestmark = pytest.mark.services

Order = Callable[[list[Any]], list[Any]]
ORDERS: dict[str, Order] = {
    "as they happened": list,
    "backwards": lambda events: events[::-1],
    "shuffled": lambda events: Random(7).sample(events, len(events)),
    "each twice": lambda events: events + events,
}


class Street:
    """A site and a till, and the webhooks between them, which go when and as a test says."""

    def __init__(self, site: Settings, order: Order) -> None:
        self.shop = Shop(site)
        self.till = InProcessTill(self.shop.settings)
        self.stripe = StripeGateway("sk_test_till")
        self.stripe._client = self.till.stripe
        self.shop.app.extensions["stripe"] = self.stripe
        self.user_id, self.ref = member(self.shop.app)
        self._order = order
        self._sent: set[str] = set()

    def subscribe(self, price: str = FRIEND, trial: int | None = None) -> dict[str, Any]:
        """Pay at the till; the member is named by the session and the subscription, the customer names nobody."""
        data: dict[str, Any] = {"metadata": {"church_user": self.ref}}
        if trial is not None:
            data["trial_period_days"] = trial
        return self.till.subscribe(price, client_reference_id=self.ref, subscription_data=data)

    def deliver(self) -> list[str]:
        """Every event since the last time; what came of them."""
        found = [event.to_dict(for_json=True) for event in self._events() if event.id not in self._sent]
        self._sent |= {event["id"] for event in found}
        outcomes = [self.shop.deliver(json.dumps(event).encode()) for event in self._order(found[::-1])]
        assert {outcome.http for outcome in outcomes} <= {200}, outcomes
        return [outcome.status for outcome in outcomes]

    def premium(self) -> bool:
        with self.shop.app.app_context(), db.read() as session:
            return premium_of(session, self.user_id, utc_now())

    def _events(self) -> Iterator[Any]:
        return self.till.stripe.v1.events.list({"limit": 100}).auto_paging_iter()


@pytest.fixture(params=ORDERS)
def street(request: pytest.FixtureRequest, migrated_site: Settings) -> Iterator[Street]:
    street = Street(migrated_site, ORDERS[request.param])
    yield street
    street.till.desk.store.close()
    street.shop.close()


def test_member_who_pays_gets_in_and_is_out_at_the_end_of_the_period(street: Street) -> None:
    street.deliver()
    assert {one.plan for one in street.shop.rows(Product)} == {"friend", "patron"}
    assert sorted(one.amount or 0 for one in street.shop.rows(Price)) == [500, 1200, 5000, 12000]
    subscription = street.subscribe()
    street.deliver()
    row = street.shop.one(Subscription)
    assert (row.status, row.plan, row.renewal_amount, row.user_id) == ("active", "friend", 500, street.user_id)
    assert street.premium()
    assert street.shop.one(Customer).card_last4 == "4242"
    assert (street.shop.one(Invoice).status, street.shop.one(Invoice).amount_paid) == ("paid", 500)
    street.till.stripe.v1.subscriptions.update(subscription["id"], {"cancel_at_period_end": True})
    street.deliver()
    assert street.shop.one(Subscription).cancel_at == row.current_period_end
    assert street.premium()
    street.till.operate("clock", days="40")
    street.deliver()
    assert street.shop.one(Subscription).status == "canceled"
    assert not street.premium()
    assert [one.amount for one in street.shop.rows(LedgerEntry)] == [500]


def test_renewal_that_fails_is_past_due_and_is_told_by_its_invoice(street: Street) -> None:
    street.subscribe()
    street.till.operate("knobs", decline="on")
    street.till.operate("clock", days="32")
    street.deliver()
    row = street.shop.one(Subscription)
    assert (row.status, row.past_due_since is not None) == ("past_due", True)
    unpaid = next(one for one in street.shop.rows(Invoice) if one.status == "open")
    assert (unpaid.problem, unpaid.amount_remaining) == ("payment_failed", 500)
    assert unpaid.hosted_url


def test_money_that_goes_back_is_in_the_ledger_once(street: Street) -> None:
    subscription = street.subscribe()
    charge = street.till.charge(street.till.latest_invoice(subscription["id"]))["id"]
    street.till.operate("refund", charge=charge, amount="200")
    street.till.operate("dispute", charge=charge)
    dispute = street.till.stripe.v1.disputes.list({"charge": charge}).data[0].id
    street.till.operate("dispute", dispute=dispute, outcome="won")
    refund = street.till.stripe.v1.refunds.list({"charge": charge}).data[0].id
    street.till.operate("refund/fail", refund=refund)
    street.deliver()
    entries = sorted((one.kind, one.amount) for one in street.shop.rows(LedgerEntry))
    assert entries == [
        ("dispute", -500),
        ("dispute_reversal", 500),
        ("payment", 500),
        ("refund", -200),
        ("refund_failed", 200),
    ]


def test_reconcile_finds_nothing_after_the_webhooks_and_everything_without_them(street: Street) -> None:
    street.subscribe()
    with street.shop.app.app_context():
        assert billing.reconcile().failed == 0
        assert street.premium()
        found = (street.shop.one(Subscription).status, [one.amount for one in street.shop.rows(LedgerEntry)])
        assert found == ("active", [500])
        street.deliver()
        assert billing.reconcile().repaired == 0


def test_checkout_of_a_trial_opens_premium_and_books_nothing(street: Street) -> None:
    street.subscribe("price_patron_month", trial=14)
    street.deliver()
    row = street.shop.one(Subscription)
    assert (row.status, row.plan, row.amount) == ("trialing", "patron", 1200)
    assert row.trial_end == row.current_period_end
    assert street.premium()
    assert street.shop.rows(LedgerEntry) == []
    assert {one.state for one in street.shop.rows(StripeEvent)} <= {"processed", "ignored"}
