"""A Stripe stand-in that has the usual endpoints, but expands and returns less."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest

from church.config import Settings
from church.extensions import db
from church.models import Checkout, Customer, Invoice, LedgerEntry, Price, Product, Subscription
from tests.support.stripe_fixture import START, Obj, SiteWithFakeStripe, add_member, make_event, utc_time

pytestmark = pytest.mark.services


@pytest.fixture
def shop(migrated_site: Settings) -> Iterator[SiteWithFakeStripe]:
    shop = SiteWithFakeStripe(migrated_site)

    def plain(found: Obj) -> Obj:
        """Expand nothing except the price of a subscription; an invoice has no list of payments."""
        answer = copy.deepcopy(found)
        for item in (answer.get("items") or {}).get("data", []):
            item["price"] = copy.deepcopy(shop.stripe.objects[item["price"]])
        answer.pop("payments", None)
        return answer

    shop.expanded = shop.stripe._expanded  # type: ignore[attr-defined]
    shop.stripe._expanded = plain  # type: ignore[method-assign]
    yield shop
    shop.close()


def test_subscription_to_an_unexpanded_new_product_is_ours(shop: SiteWithFakeStripe) -> None:
    user_id, subscription = shop.subscriber()
    for kind in ("created", "updated"):
        assert shop.deliver(make_event(f"customer.subscription.{kind}", subscription)).status == "processed"
    assert shop.premium(user_id)
    assert (shop.one(Product).plan, shop.one(Price).amount, shop.one(Subscription).plan) == ("patron", 1200, "patron")
    assert [method for method, _, _ in shop.stripe.calls].count("products.retrieve") == 1


def test_subscription_to_an_unexpanded_other_product_is_ignored(shop: SiteWithFakeStripe) -> None:
    shop.stripe.product("prod_book")
    shop.stripe.price("price_book", "prod_book", 900)
    _, subscription = shop.subscriber(price="price_book")
    assert shop.deliver(make_event("customer.subscription.created", subscription)).status == "ignored"
    assert shop.deliver(make_event("price.updated", shop.stripe.objects["price_book"])).status == "ignored"


def test_price_of_an_unexpanded_stored_product_is_stored(shop: SiteWithFakeStripe) -> None:
    shop.deliver(make_event("product.created", shop.stripe.objects["prod_patron"]))
    assert shop.deliver(make_event("price.created", shop.stripe.objects["price_month"])).status == "processed"
    assert shop.one(Price).stripe_product == "prod_patron"


@pytest.mark.parametrize("expanded_first", [False, True])
def test_invoice_without_payments_is_booked_once_from_any_event(shop: SiteWithFakeStripe, expanded_first: bool) -> None:
    _, subscription = shop.subscriber()
    invoice = shop.stripe.invoice(subscription, paid=1200)
    ways = [shop.stripe._expanded, shop.expanded]  # type: ignore[attr-defined]
    for way in ways[::-1] if expanded_first else ways:
        shop.stripe._expanded = way  # type: ignore[method-assign]
        for _ in range(2):
            assert shop.deliver(make_event("invoice.paid", invoice)).status == "processed"
    entry = shop.one(LedgerEntry)
    payment = invoice["payments"]["data"][0]["id"]
    assert entry.source_id == (f"in_payment:{payment}" if expanded_first else f"invoice:{invoice['id']}")
    assert (entry.kind, entry.amount, entry.currency, entry.stripe_invoice) == ("payment", 1200, "usd", invoice["id"])
    assert entry.occurred_at == utc_time(START)


def test_unpaid_invoice_without_payments_books_nothing(shop: SiteWithFakeStripe) -> None:
    _, subscription = shop.subscriber()
    shop.deliver(make_event("invoice.payment_failed", shop.stripe.invoice(subscription, amount_paid=700)))
    shop.deliver(make_event("invoice.paid", shop.stripe.invoice(subscription, status="paid")))
    assert len(shop.rows(Invoice)) == 2
    assert shop.rows(LedgerEntry) == []


def test_invoice_of_an_older_api_version_and_its_refund_are_booked(shop: SiteWithFakeStripe) -> None:
    _, subscription = shop.subscriber()
    invoice = shop.stripe.invoice(subscription, paid=1200)
    invoice["subscription"] = subscription["id"]
    charge = shop.stripe.charge_of(invoice)
    del invoice["parent"]
    charge["invoice"] = invoice["id"]
    invoice["payment_intent"] = charge["payment_intent"]
    refund = shop.stripe.refund(charge, 500)
    assert shop.deliver(make_event("refund.created", refund)).status == "processed"
    assert shop.deliver(make_event("invoice.paid", invoice)).status == "processed"
    assert shop.one(Invoice).stripe_subscription == subscription["id"]
    assert sorted(one.amount for one in shop.rows(LedgerEntry)) == [-500, 1200]


def test_checkout_without_metadata_finds_its_member_by_our_row(shop: SiteWithFakeStripe) -> None:
    user_id, _ = add_member(shop.app)
    subscription = shop.stripe.subscription(shop.stripe.customer(None))
    with shop.app.app_context(), db.write() as session:
        row = Checkout(ref="co1", user_id=user_id, stripe_price="price_month", stripe_session="cs_1")
        row.created_at = utc_time(START)
        session.add(row)
    found = shop.stripe.put(
        "checkout.session", "cs_1", customer=subscription["customer"], subscription=subscription["id"],
        status="complete", payment_status="paid",
    )  # fmt: skip
    assert shop.deliver(make_event("checkout.session.completed", found)).status == "processed"
    assert (shop.one(Checkout).state, shop.one(Customer).user_id) == ("completed", user_id)
    assert shop.premium(user_id)


def test_customer_may_be_an_object_or_an_id(shop: SiteWithFakeStripe) -> None:
    user_id, subscription = shop.subscriber()
    customer = shop.stripe.objects[subscription["customer"]]
    subscription["customer"] = customer
    assert shop.deliver(make_event("customer.subscription.created", subscription)).status == "processed"
    subscription["customer"] = customer["id"]
    assert shop.deliver(make_event("customer.subscription.updated", subscription)).status == "processed"
    assert (shop.one(Customer).stripe_id, shop.one(Customer).user_id) == (customer["id"], user_id)
