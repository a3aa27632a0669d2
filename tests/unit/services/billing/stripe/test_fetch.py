"""Fetching what an event may have changed: what belongs to it, whose it is, and what is not ours."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from sqlalchemy import update

from church.extensions import db
from church.models import Price, Product, User
from church.models.base import utc_now
from church.services.billing.errors import MissingObjectError, NotOursError, StripeDownError, StripeRefusedError
from church.services.billing.stripe.fetch import BUDGET, Facts, Fetcher, find_owner, find_product_plan, is_deleted
from church.services.billing.stripe.owners import UnmatchedPaymentError
from tests.support.billing_rows import add_customer, add_entry, add_invoice, add_subscription, store
from tests.support.people import add_user
from tests.support.stripe_fixture import START, FakeStripe, utc_time

NOW = utc_time(START)


def about(stripe: FakeStripe, kind: str, object_id: str, customer: str | None = None, **options: Any) -> Facts:
    return Fetcher(stripe, NOW, **options).about(kind, object_id, customer)


def add_product(stripe_id: str, plan: str) -> None:
    fields = {"name": plan, "description": "", "features": [], "active": True, "fetched_at": utc_now()}
    store(Product(stripe_id=stripe_id, plan=plan, **fields))


# -- payers whom nothing of ours names -----------------------------------------------------------------------------


def test_payer_by_payment_link_is_found_by_the_confirmed_address(stripe_objects: FakeStripe, ada: User) -> None:
    """However it is typed."""
    subscription = stripe_objects.subscription(stripe_objects.customer(None, email=str(ada.email).upper()))
    facts = about(stripe_objects, "subscription", subscription["id"])
    assert (facts.owner_id, facts.customer_id, facts.matched) == (ada.id, subscription["customer"], True)


def test_payer_whose_address_stands_only_in_the_checkout_is_found(stripe_objects: FakeStripe, ada: User) -> None:
    subscription = stripe_objects.subscription(stripe_objects.customer(None, email=None))
    session = stripe_objects.session(subscription, customer_details={"email": ada.email})
    for kind, name in (("checkout.session", session["id"]), ("subscription", subscription["id"])):
        assert about(stripe_objects, kind, name).owner_id == ada.id


def test_reference_of_a_payment_link_comes_before_the_address(
    at_work: Flask, stripe_objects: FakeStripe, ada: User
) -> None:
    """Whichever event comes first. A reference of something else than a member of ours says nothing."""
    bea = add_user(at_work, "bea@church.example")
    subscription = stripe_objects.subscription(stripe_objects.customer(None, email=ada.email))
    session = stripe_objects.session(subscription, client_reference_id=bea.ref)
    for kind, name in (("subscription", subscription["id"]), ("checkout.session", session["id"])):
        facts = about(stripe_objects, kind, name)
        assert (facts.owner_id, facts.matched) == (bea.id, False)
    session["client_reference_id"] = "campaign-7"
    assert about(stripe_objects, "subscription", subscription["id"]).owner_id == ada.id


def test_payer_is_found_with_a_key_that_may_not_read_checkouts(stripe_objects: FakeStripe, ada: User) -> None:
    def restricted(method: str) -> None:
        if method == "checkout.sessions.list":
            raise StripeRefusedError("more_permissions_required", http_status=403)

    stripe_objects.before = restricted
    subscription = stripe_objects.subscription(stripe_objects.customer(None, email=ada.email))
    assert about(stripe_objects, "subscription", subscription["id"]).owner_id == ada.id


@pytest.mark.parametrize("values", [{"verified_at": None}, {"email": "other@church.example", "email_key": "other@x"}])
def test_payer_whose_address_no_account_has_confirmed_is_nobody(
    stripe_objects: FakeStripe, ada: User, values: dict[str, Any]
) -> None:
    subscription = stripe_objects.subscription(stripe_objects.customer(None, email=ada.email))
    with db.write() as session:
        session.execute(update(User).where(User.id == ada.id).values(**values))
    with pytest.raises(UnmatchedPaymentError) as found:
        about(stripe_objects, "subscription", subscription["id"])
    payer = found.value.payer
    assert (payer.customer, payer.email, payer.plan) == (subscription["customer"], ada.email, "patron")


@pytest.mark.parametrize("kind", ["subscription", "checkout.session", "customer"])
def test_payer_of_something_else_is_not_matched(stripe_objects: FakeStripe, ada: User, kind: str) -> None:
    """A member may buy a book on the same Stripe account."""
    stripe_objects.product("prod_book")
    stripe_objects.price("price_book", "prod_book", 900)
    customer = stripe_objects.customer(None, email=ada.email)
    subscription = stripe_objects.subscription(customer, "price_book")
    named = {
        "subscription": subscription,
        "checkout.session": stripe_objects.session(subscription),
        "customer": customer,
    }
    with pytest.raises(NotOursError, match="something else") as found:
        about(stripe_objects, kind, named[kind]["id"])
    assert not isinstance(found.value, UnmatchedPaymentError)


# -- subscriptions and payments -------------------------------------------------------------------------------------


def test_subscription_brings_its_plan_owner_and_price(stripe_objects: FakeStripe, ada: User) -> None:
    """The customer at Stripe names the member."""
    subscription = stripe_objects.subscription(stripe_objects.customer(ada.ref))
    facts = about(stripe_objects, "subscription", subscription["id"])
    assert (facts.owner_id, facts.customer_id) == (ada.id, subscription["customer"])
    assert [fetched.plan for fetched in facts.subscriptions.values()] == ["patron"]
    assert list(facts.sold) == ["price_month"]
    assert facts.has_open_subscription()
    subscription["status"] = "canceled"
    assert not about(stripe_objects, "subscription", subscription["id"]).has_open_subscription()


def test_owner_is_found_by_the_callers_map_then_the_stored_customer(stripe_objects: FakeStripe, ada: User) -> None:
    """Neither needs a call to Stripe, which is asked only what the next invoice takes; the metadata is read last."""
    subscription = stripe_objects.subscription(stripe_objects.customer(None))
    customer, name = subscription["customer"], subscription["id"]
    with pytest.raises(UnmatchedPaymentError, match="payment without a member"):
        about(stripe_objects, "subscription", name)
    assert about(stripe_objects, "subscription", name, owners={customer: 77}).owner_id == 77
    add_customer(ada.id, customer)
    stripe_objects.calls.clear()
    assert about(stripe_objects, "subscription", name).owner_id == ada.id
    methods = [method for method, *_ in stripe_objects.calls]
    assert methods[:2] == ["subscriptions.retrieve", "invoices.create_preview"]


def test_subscription_to_another_product_is_not_ours(stripe_objects: FakeStripe, ada: User) -> None:
    """Unless it is stored: its plan may have lost its metadata since."""
    stripe_objects.product("prod_book")
    stripe_objects.price("price_book", "prod_book", 900)
    subscription = stripe_objects.subscription(stripe_objects.customer(ada.ref), "price_book")
    with pytest.raises(NotOursError, match="something else"):
        about(stripe_objects, "subscription", subscription["id"])
    add_subscription(add_customer(ada.id, subscription["customer"]), subscription["id"], plan="former")
    facts = about(stripe_objects, "subscription", subscription["id"])
    assert facts.subscriptions[subscription["id"]][1] == "former"


def test_unpaid_subscription_brings_its_invoice_until_that_is_stored(stripe_objects: FakeStripe, ada: User) -> None:
    """The page that reports the failed payment links to it; later changes have events of their own."""
    subscription = stripe_objects.subscription(stripe_objects.customer(ada.ref))
    invoice = stripe_objects.invoice(subscription)
    assert about(stripe_objects, "subscription", subscription["id"]).invoices == {}
    subscription["status"] = "past_due"
    assert list(about(stripe_objects, "subscription", subscription["id"]).invoices) == [invoice["id"]]
    add_invoice(add_subscription(add_customer(ada.id, subscription["customer"])), invoice["id"])
    assert about(stripe_objects, "subscription", subscription["id"]).invoices == {}


def test_refund_brings_its_payment_invoice_and_owner(stripe_objects: FakeStripe, ada: User) -> None:
    """A payment that is booked already needs no invoice; each refund is listed once."""
    invoice = stripe_objects.invoice(stripe_objects.subscription(stripe_objects.customer(ada.ref)), paid=1200)
    charge = stripe_objects.charge_of(invoice)
    first, second = stripe_objects.refund(charge, 300), stripe_objects.refund(charge, 200)
    facts = about(stripe_objects, "refund", first["id"])
    assert [refund["id"] for refund in facts.refunds] == [first["id"], second["id"]]
    assert (facts.owner_id, facts.payment, list(facts.invoices)) == (ada.id, charge["payment_intent"], [invoice["id"]])
    add_customer(ada.id, charge["customer"])
    add_entry(ada.id, 1200, stripe_payment=charge["payment_intent"])
    booked = about(stripe_objects, "charge", charge["id"])
    assert (booked.owner_id, booked.invoices) == (ada.id, {})


def test_payment_without_an_invoice_is_not_ours(stripe_objects: FakeStripe, ada: User) -> None:
    """The account at Stripe may sell other things too."""
    stripe_objects.put("charge", "ch_book", customer=stripe_objects.customer(ada.ref)["id"], payment_intent="pi_book")
    with pytest.raises(NotOursError, match="payment without an invoice"):
        about(stripe_objects, "charge", "ch_book")


def test_customer_brings_the_stored_open_subscriptions(stripe_objects: FakeStripe, ada: User) -> None:
    """An event about a payment method is about its customer."""
    customer = stripe_objects.customer(ada.ref)
    ours, ended = stripe_objects.subscription(customer), stripe_objects.subscription(customer, status="canceled")
    row = add_customer(ada.id, customer["id"])
    add_subscription(row, ours["id"])
    add_subscription(row, ended["id"], status="canceled")
    for facts in (
        about(stripe_objects, "customer", customer["id"]),
        about(stripe_objects, "payment_method", "pm_1", customer["id"]),
    ):
        assert (list(facts.subscriptions), facts.owner_id) == ([ours["id"]], ada.id)


@pytest.mark.parametrize(
    ("kind", "object_id", "reason"),
    [
        ("payout", "po_1", "an object of kind payout"),
        ("payment_method", "pm_1", "without a customer"),
        ("checkout.session", "cs_elsewhere", "not started here"),
        ("invoice", "in_bare", "without a subscription"),
        ("invoice_payment", "inpay_bare", "no object to fetch"),
    ],
)
def test_event_about_something_else_is_not_ours(
    stripe_objects: FakeStripe, kind: str, object_id: str, reason: str
) -> None:
    """The reason is stored with the event."""
    stripe_objects.put("checkout.session", "cs_elsewhere")
    stripe_objects.put("invoice", "in_bare")
    stripe_objects.put("invoice_payment", "inpay_bare")
    with pytest.raises(NotOursError, match=reason):
        about(stripe_objects, kind, object_id)


# -- products and prices --------------------------------------------------------------------------------------------


def test_price_deleted_is_withdrawn_if_it_is_stored(stripe_objects: FakeStripe) -> None:
    """A price that was never stored is not ours."""
    with pytest.raises(NotOursError, match="price without a plan"):
        about(stripe_objects, "price", "price_gone")
    fields = {"interval": "month", "interval_count": 1, "trial_days": 0, "tax_behavior": "unspecified", "active": True}
    ids = {"stripe_id": "price_gone", "stripe_product": "prod_gone"}
    store(Price(**ids, amount=500, currency="usd", created_at=NOW, fetched_at=NOW, **fields))
    assert about(stripe_objects, "price", "price_gone").gone_prices == ["price_gone"]
    assert list(about(stripe_objects, "price", "price_month").prices) == ["price_month"]


def test_product_without_metadata_stays_a_plan_while_no_other_has_any(stripe_objects: FakeStripe) -> None:
    """Metadata on one product makes it the only way to mark a plan."""
    add_product("prod_bare", "bare")
    stripe_objects.product("prod_bare")
    stripe_objects.product("prod_book")
    assert about(stripe_objects, "product", "prod_bare").gone_products == ["prod_bare"]
    stripe_objects.objects["prod_patron"]["metadata"] = {}
    assert about(stripe_objects, "product", "prod_bare").products["prod_bare"][1] == "bare"
    with pytest.raises(NotOursError, match="not a plan"):
        about(stripe_objects, "product", "prod_book")
    assert (find_product_plan("prod_bare"), find_product_plan("prod_book")) == ("bare", None)


# -- calls and rows -------------------------------------------------------------------------------------------------


def test_object_missing_at_stripe_is_told_from_other_refusals(stripe_objects: FakeStripe) -> None:
    """A refusal for another reason is tried again later."""
    with pytest.raises(MissingObjectError, match="STRIPE_SECRET_KEY"):
        about(stripe_objects, "subscription", "sub_gone")

    def refuse(_method: str) -> None:
        raise StripeRefusedError("api_key_expired", None, 401)

    stripe_objects.before = refuse
    with pytest.raises(StripeRefusedError):
        about(stripe_objects, "subscription", "sub_gone")


def test_event_that_takes_longer_than_its_budget_counts_as_down(stripe_objects: FakeStripe, ada: User) -> None:
    """The lease of its delivery would end."""
    now = [0.0]

    def slow(_method: str) -> None:
        now[0] += BUDGET + 1

    stripe_objects.before = slow
    subscription = stripe_objects.subscription(stripe_objects.customer(ada.ref))
    with pytest.raises(StripeDownError):
        about(stripe_objects, "subscription", subscription["id"], clock=lambda: now[0])
    assert len(stripe_objects.calls) == 1


def test_account_is_deleted_only_by_its_own_row(stripe_objects: FakeStripe, ada: User) -> None:
    """No account, and an unknown customer, have no owner to look at."""
    add_customer(ada.id, "cus_1")
    with db.write() as session:
        assert (find_owner(session, "cus_1"), find_owner(session, "cus_2")) == (ada.id, None)
        assert (is_deleted(session, ada.id), is_deleted(session, None)) == (False, False)
        gone = {"email": None, "email_key": None, "password_hash": None, "name": "", "deleted_at": NOW}
        for column, value in gone.items():
            setattr(session.get_one(User, ada.id), column, value)
        session.flush()
        assert is_deleted(session, ada.id)
