"""What each event changes in the database, on SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from church.config import Settings
from church.extensions import db
from church.models import Checkout, Customer, Invoice, Price, Product, Subscription
from church.services.entitlements import member_has_premium
from tests.support.stripe_fixture import DAY, START, Obj, SiteWithFakeStripe, add_member, make_event, utc_time

pytestmark = pytest.mark.services


@pytest.fixture
def shop(migrated_site: Settings) -> Iterator[SiteWithFakeStripe]:
    shop = SiteWithFakeStripe(migrated_site)
    yield shop
    shop.close()


@pytest.mark.parametrize(
    ("status", "premium"),
    [("trialing", True), ("active", True), ("unpaid", False), ("paused", False), ("incomplete", False)],
)
def test_subscription_event_stores_status_and_premium(shop: SiteWithFakeStripe, status: str, premium: bool) -> None:
    user_id, subscription = shop.subscriber(status=status)
    for kind in ("created", "updated", "paused", "resumed", "trial_will_end"):
        assert shop.deliver(make_event(f"customer.subscription.{kind}", subscription)).status == "processed"
    row = shop.one(Subscription)
    assert (row.status, row.plan, row.user_id, row.amount) == (status, "patron", user_id, 1200)
    assert row.current_period_end == utc_time(START + 30 * DAY)
    assert shop.premium(user_id) is premium


def test_subscription_event_stores_its_plan(shop: SiteWithFakeStripe) -> None:
    _, subscription = shop.subscriber()
    shop.deliver(make_event("customer.subscription.created", subscription))
    assert (shop.one(Product).plan, shop.one(Product).name, shop.one(Product).position) == ("patron", "Patron", 2)
    assert (shop.one(Price).amount, shop.one(Price).interval) == (1200, "month")


def test_subscription_past_due_keeps_premium_in_the_grace_period(shop: SiteWithFakeStripe) -> None:
    user_id, subscription = shop.subscriber()
    shop.deliver(make_event("invoice.paid", shop.stripe.invoice(subscription, paid=1200)))
    unpaid = shop.stripe.invoice(subscription, created=START + 30 * DAY)
    unpaid["status_transitions"]["finalized_at"] = START + 30 * DAY
    subscription["status"] = "past_due"
    shop.deliver(make_event("customer.subscription.updated", subscription))
    assert shop.rows(Invoice)[-1].hosted_url == unpaid["hosted_invoice_url"]  # its own event may be late
    shop.deliver(make_event("invoice.payment_failed", unpaid))
    assert shop.one(Subscription).past_due_since == utc_time(START + 30 * DAY)

    def premium(days: float) -> bool:
        with shop.app.app_context(), db.read() as session:
            return member_has_premium(session, user_id, utc_time(START) + timedelta(days=30 + days))

    assert (premium(6.9), premium(7.1)) == (True, False)
    later = shop.stripe.invoice(subscription, created=START + 60 * DAY)
    later["status_transitions"]["finalized_at"] = START + 60 * DAY
    shop.deliver(make_event("invoice.payment_failed", later))
    assert not premium(31)  # the next unpaid invoice gives no further days
    subscription["status"] = "active"
    shop.deliver(make_event("customer.subscription.updated", subscription))
    assert shop.one(Subscription).past_due_since is None
    assert premium(31)


@pytest.mark.parametrize(("earlier", "premium"), [("paid", True), ("open", False)])
def test_subscription_past_due_again_restarts_grace_if_the_former_invoice_was_paid(
    shop: SiteWithFakeStripe, earlier: str, premium: bool
) -> None:
    user_id, subscription = shop.subscriber(status="past_due")
    first = shop.stripe.invoice(subscription, status_transitions={"finalized_at": START - 40 * DAY})
    shop.deliver(make_event("customer.subscription.updated", subscription))
    assert not shop.premium(user_id)
    first["status"] = earlier
    shop.stripe.invoice(subscription, status_transitions={"finalized_at": START})
    for _ in range(2):
        shop.deliver(make_event("customer.subscription.updated", subscription))
        assert shop.premium(user_id) is premium
    assert shop.one(Subscription).past_due_since == utc_time(START if premium else START - 40 * DAY)
    assert shop.rows(Invoice)[0].status == earlier


@pytest.mark.parametrize(
    ("kind", "values", "problem"),
    [
        ("invoice.payment_failed", {"status": "open"}, "payment_failed"),
        ("invoice.voided", {"status": "void"}, None),
        ("invoice.marked_uncollectible", {"status": "uncollectible"}, None),
        ("invoice.finalization_failed", {"status": "draft", "last_finalization_error": {"code": "tax"}}, "tax"),
    ],
)
def test_invoice_event_stores_invoice_and_subscription(
    shop: SiteWithFakeStripe, kind: str, values: Obj, problem: str | None
) -> None:
    _, subscription = shop.subscriber()
    invoice = shop.stripe.invoice(subscription, **values)
    shop.deliver(make_event(kind, invoice))
    row = shop.one(Invoice)
    assert (row.status, row.problem, row.hosted_url) == (values["status"], problem, "https://stripe.example/i")
    assert row.stripe_subscription == shop.one(Subscription).stripe_id == subscription["id"]


def test_customer_event_stores_the_card_and_a_deletion_ends_the_subscription(shop: SiteWithFakeStripe) -> None:
    user_id, subscription = shop.subscriber()
    customer = shop.stripe.objects[subscription["customer"]]
    shop.deliver(make_event("customer.updated", customer))
    row = shop.one(Customer)
    assert (row.card_brand, row.card_last4, row.card_expires, row.user_id) == ("visa", "4242", "04/2031", user_id)
    shop.deliver(make_event("customer.subscription.created", subscription))
    subscription.update(status="canceled", ended_at=START + DAY)
    shop.stripe.objects[customer["id"]] = {"id": customer["id"], "object": "customer", "deleted": True}
    assert shop.deliver(make_event("customer.deleted", customer)).status == "processed"
    assert shop.one(Customer).deleted_at is not None
    assert shop.one(Subscription).status == "canceled"
    assert not shop.premium(user_id)


def test_card_of_the_subscription_is_preferred_to_the_customers(shop: SiteWithFakeStripe) -> None:
    card = {"brand": "mastercard", "last4": "4444", "exp_month": 12, "exp_year": 2032}
    _, subscription = shop.subscriber(default_payment_method={"id": "pm_1", "card": card})
    shop.deliver(make_event("customer.subscription.updated", subscription))
    method = {"id": "pm_1", "object": "payment_method", "customer": subscription["customer"]}
    assert shop.deliver(make_event("payment_method.automatically_updated", method)).status == "processed"
    row = shop.one(Customer)
    assert (row.card_brand, row.card_last4, row.card_expires) == ("mastercard", "4444", "12/2032")


def test_catalogue_events_add_change_and_withdraw_plans(shop: SiteWithFakeStripe) -> None:
    product, price = shop.stripe.objects["prod_patron"], shop.stripe.objects["price_month"]
    shop.deliver(make_event("price.created", price))  # before its product
    shop.deliver(make_event("product.created", product))
    assert (shop.one(Product).active, shop.one(Price).active) == (True, True)
    product["name"] = "Benefactor"
    shop.deliver(make_event("product.updated", product))
    assert shop.one(Product).name == "Benefactor"
    price["active"] = False
    shop.deliver(make_event("price.updated", price))
    assert not shop.one(Price).active
    del shop.stripe.objects["price_month"]
    assert shop.deliver(make_event("price.deleted", price)).status == "processed"
    product["metadata"] = {}
    assert shop.deliver(make_event("product.updated", product)).status == "processed"
    assert shop.one(Product).active  # without any metadata, a stored plan stays one
    shop.stripe.put("product", "prod_other", name="Other", active=True, metadata={"church_plan": "other"})
    assert shop.deliver({**make_event("product.updated", product), "id": "evt_again"}).status == "processed"
    assert not shop.one(Product).active


def test_price_of_a_plan_without_metadata_is_updated(shop: SiteWithFakeStripe) -> None:
    product, price = shop.stripe.objects["prod_patron"], shop.stripe.objects["price_month"]
    shop.deliver(make_event("product.created", product))
    product["metadata"] = {}
    price["unit_amount"] = 1500
    assert shop.deliver(make_event("price.updated", price)).status == "processed"
    assert shop.one(Price).amount == 1500


def _checkout(shop: SiteWithFakeStripe, user_id: int, stripe_session: str | None = "cs_1") -> None:
    with shop.app.app_context(), db.write() as session:
        session.add(
            Checkout(
                ref="co1",
                user_id=user_id,
                stripe_price="price_month",
                stripe_session=stripe_session,
                created_at=utc_time(START),
            )
        )


def _session(shop: SiteWithFakeStripe, subscription: Obj | None = None, **values: object) -> Obj:
    name = subscription["id"] if subscription else None
    customer = subscription["customer"] if subscription else None
    return shop.stripe.put("checkout.session", "cs_1", subscription=name, customer=customer, **values)


@pytest.mark.parametrize("stripe_session", ["cs_1", None])
def test_paid_checkout_stores_everything_at_once(shop: SiteWithFakeStripe, stripe_session: str | None) -> None:
    user_id, ref = add_member(shop.app)
    subscription = shop.stripe.subscription(shop.stripe.customer(None))
    invoice = shop.stripe.invoice(subscription, paid=1200)
    _checkout(shop, user_id, stripe_session)
    found = _session(
        shop, subscription, status="complete", payment_status="paid", invoice=invoice["id"],
        client_reference_id=ref, metadata={"church_checkout": "co1"},
    )  # fmt: skip
    assert shop.deliver(make_event("checkout.session.completed", found)).status == "processed"
    row = shop.one(Checkout)
    assert (row.state, row.stripe_session) == ("completed", "cs_1")
    assert (shop.one(Customer).user_id, shop.one(Invoice).status) == (user_id, "paid")
    assert shop.premium(user_id)


@pytest.mark.parametrize(
    ("last", "paid", "state"),
    [("async_payment_succeeded", "paid", "completed"), ("async_payment_failed", "unpaid", "failed")],
)
def test_checkout_with_a_slow_payment_ends_as_the_payment_does(
    shop: SiteWithFakeStripe, last: str, paid: str, state: str
) -> None:
    user_id, ref = add_member(shop.app)
    subscription = shop.stripe.subscription(shop.stripe.customer(ref), status="incomplete")
    _checkout(shop, user_id)
    found = _session(shop, subscription, status="complete", payment_status="unpaid")
    completed = make_event("checkout.session.completed", found)
    shop.deliver(completed)
    assert shop.one(Checkout).state == "pending"
    found["payment_status"] = paid
    shop.deliver(make_event(f"checkout.session.{last}", found))
    shop.deliver({**completed, "id": "evt_late"})
    assert shop.one(Checkout).state == state


def test_expired_checkout_allows_another(shop: SiteWithFakeStripe) -> None:
    user_id, _ = add_member(shop.app)
    _checkout(shop, user_id)
    found = _session(shop, status="expired", payment_status="unpaid")
    assert shop.deliver(make_event("checkout.session.expired", found)).status == "processed"
    assert shop.one(Checkout).state == "expired"
    assert shop.rows(Customer) == []


def test_checkout_started_elsewhere_is_ignored(shop: SiteWithFakeStripe) -> None:
    found = _session(shop, status="expired")
    assert shop.deliver(make_event("checkout.session.expired", found)).status == "ignored"


def test_subscription_to_a_former_plan_stays_ours(shop: SiteWithFakeStripe) -> None:
    _, subscription = shop.subscriber()
    shop.deliver(make_event("customer.subscription.created", subscription))
    shop.stripe.objects["prod_patron"]["metadata"] = {}
    subscription["status"] = "canceled"
    assert shop.deliver(make_event("customer.subscription.deleted", subscription)).status == "processed"
    assert shop.one(Subscription).status == "canceled"
