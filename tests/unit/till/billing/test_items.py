"""Subscriptions with several items, discounts, currencies, a pause, and invoices that are paid by hand."""

from __future__ import annotations

import pytest
import stripe

from church.till.billing.periods import DAY
from tests.support.till_calls import item, to
from tests.support.till_fixture import FRIEND, PATRON


@pytest.fixture
def add_on(till):
    """A price of 3 dollars a month that is no plan."""
    product = till.stripe.v1.products.create({"name": "Printed letter"})
    return till.stripe.v1.prices.create(
        {"product": product.id, "currency": "usd", "unit_amount": 300, "recurring": {"interval": "month"}}
    )


def coupon(till, **values):
    return till.stripe.v1.coupons.create({"duration": "forever", **values}).id


def next_due(till, subscription, **params):
    return till.stripe.v1.invoices.create_preview({"subscription": subscription["id"], **params}).amount_due


def renewed(till, subscription):
    till.operate("clock", to="renewal")
    return till.latest_invoice(subscription["id"])


def test_item_is_added_changed_and_removed(till, add_on):
    subscription = till.subscribe()
    update = till.stripe.v1.subscriptions.update
    both = update(subscription["id"], {"items": [{"price": add_on.id}], "proration_behavior": "none"}).to_dict()
    assert [one["price"]["id"] for one in both["items"]["data"]] == [FRIEND, add_on.id]
    assert next_due(till, subscription) == 800
    added = both["items"]["data"][1]["id"]
    update(subscription["id"], {"items": [{"id": added, "quantity": 0}], "proration_behavior": "none"})
    assert next_due(till, subscription) == 500
    update(subscription["id"], {"items": [{"id": added, "deleted": True}], "proration_behavior": "none"})
    assert len(till.subscription(subscription["id"])["items"]["data"]) == 1
    with pytest.raises(stripe.InvalidRequestError):
        update(subscription["id"], {"items": [{"id": item(subscription)["id"], "deleted": True}]})


def test_change_of_one_item_leaves_the_others(till, add_on):
    """Only the changed one is prorated; the renewal takes all."""
    subscription = till.subscribe()
    update = till.stripe.v1.subscriptions.update
    update(subscription["id"], {"items": [{"price": add_on.id}], "proration_behavior": "none"})
    details = to(subscription, PATRON, proration_behavior="always_invoice")
    assert next_due(till, subscription, subscription_details=details) == 700
    assert next_due(till, subscription, subscription_details=details, preview_mode="recurring") == 1500
    update(subscription["id"], details)
    invoice = till.latest_invoice(subscription["id"])
    assert [line["amount"] for line in invoice["lines"]["data"]] == [-500, 1200]
    assert renewed(till, subscription)["total"] == 1500


def test_subscription_is_created_with_items_and_discounts(till, add_on):
    payer = till.subscribe()
    wanted = [{"price": add_on.id, "discounts": [{"coupon": coupon(till, percent_off=50)}]}, {"price": PATRON}]
    made = till.stripe.v1.subscriptions.create(
        {
            "customer": payer["customer"],
            "items": wanted,
            "default_payment_method": payer["default_payment_method"],
            "discounts": [{"coupon": coupon(till, amount_off=100, currency="usd")}],
        }
    ).to_dict()
    assert (made["status"], till.latest_invoice(made["id"])["amount_paid"]) == ("active", 1250)
    assert renewed(till, made)["total"] == 1250


def test_coupon_applies_to_its_products_alone(till):
    subscription = till.subscribe()
    for product, due in (("prod_patron", 500), ("prod_friend", 250)):
        name = coupon(till, percent_off=50, applies_to={"products": [product]})
        found = till.stripe.v1.coupons.retrieve(name, {"expand": ["applies_to"]}).to_dict()
        assert found["applies_to"] == {"products": [product]}
        assert "applies_to" not in till.stripe.v1.coupons.retrieve(name)
        till.stripe.v1.subscriptions.update(subscription["id"], {"discounts": [{"coupon": name}]})
        assert next_due(till, subscription) == due


def test_discount_of_the_customer_applies_where_the_subscription_has_none(till):
    subscription = till.subscribe()
    address = f"/v1/customers/{subscription['customer']}/discount"
    till.stripe.raw_request("post", address, coupon=coupon(till, percent_off=50))
    assert next_due(till, subscription) == 250
    till.stripe.v1.subscriptions.update(subscription["id"], {"discounts": [{"coupon": coupon(till, percent_off=20)}]})
    assert next_due(till, subscription) == 400
    till.stripe.v1.subscriptions.update(subscription["id"], {"discounts": ""})
    till.stripe.v1.customers.delete_discount(subscription["customer"])
    assert next_due(till, subscription) == 500
    assert {"customer.discount.created", "customer.discount.deleted"} <= set(till.events())


def test_price_in_several_currencies_charges_that_of_the_subscription(till):
    price = till.stripe.v1.prices.create(
        {
            "product": "prod_patron",
            "currency": "usd",
            "unit_amount": 1200,
            "recurring": {"interval": "month"},
            "currency_options": {"eur": {"unit_amount": 1100}},
        }
    )
    assert "currency_options" not in price
    expanded = till.stripe.v1.prices.retrieve(price.id, {"expand": ["currency_options"]}).to_dict(for_json=True)
    assert {name: one["unit_amount"] for name, one in expanded["currency_options"].items()} == {
        "usd": 1200, "eur": 1100,
    }  # fmt: skip
    payer = till.subscribe()
    made = till.stripe.v1.subscriptions.create(
        {
            "customer": payer["customer"],
            "items": [{"price": price.id}],
            "currency": "eur",
            "default_payment_method": payer["default_payment_method"],
        }
    ).to_dict()
    invoice = till.latest_invoice(made["id"])
    assert (invoice["currency"], invoice["amount_paid"]) == ("eur", 1100)


def test_quantity_is_transformed(till):
    price = till.stripe.v1.prices.create(
        {
            "product": "prod_patron",
            "currency": "usd",
            "unit_amount": 1200,
            "recurring": {"interval": "month"},
            "transform_quantity": {"divide_by": 10, "round": "up"},
        }
    )
    details = {"items": [{"price": price.id, "quantity": 15}], "proration_behavior": "none"}
    assert next_due(till, till.subscribe(), subscription_details=details) == 2900


@pytest.mark.parametrize(
    ("behavior", "status"), [("void", "void"), ("keep_as_draft", "draft"), ("mark_uncollectible", "uncollectible")]
)
def test_paused_collection_charges_nothing_until_it_resumes(till, behavior, status):
    subscription = till.subscribe()
    end = item(subscription)["current_period_end"]
    pause = {"behavior": behavior, "resumes_at": end + DAY}
    paused = till.stripe.v1.subscriptions.update(subscription["id"], {"pause_collection": pause})
    assert (paused.status, paused.pause_collection.behavior) == ("active", behavior)
    assert renewed(till, subscription)["status"] == status
    till.operate("clock", days="2")
    assert till.subscription(subscription["id"])["pause_collection"] is None
    invoice = renewed(till, subscription)
    assert (invoice["status"], invoice["amount_paid"]) == ("paid", 500)
    till.stripe.v1.subscriptions.update(subscription["id"], {"pause_collection": {"behavior": "void"}})
    again = till.stripe.v1.subscriptions.update(subscription["id"], {"pause_collection": ""})
    assert again.pause_collection is None


def test_invoice_by_hand_is_past_due_after_its_day(till):
    subscription = till.subscribe()
    by_hand = {"collection_method": "send_invoice", "days_until_due": 5}
    till.stripe.v1.subscriptions.update(subscription["id"], by_hand)
    invoice = renewed(till, subscription)
    assert (invoice["status"], invoice["attempt_count"], invoice["due_date"]) == (
        "open", 0, invoice["created"] + 5 * DAY,
    )  # fmt: skip
    assert till.subscription(subscription["id"])["status"] == "active"
    till.operate("clock", days="6")
    assert till.subscription(subscription["id"])["status"] == "past_due"
    assert till.post(f"/invoice/{invoice['id']}", do="pay")[0] == 303
    assert till.subscription(subscription["id"])["status"] == "active"
    assert {"invoice.sent", "invoice.overdue"} <= set(till.events())


def test_schedule_keeps_all_items_and_their_discounts(till, add_on):
    subscription = till.subscribe()
    named = [{"coupon": coupon(till, percent_off=50)}]
    added = {"items": [{"price": add_on.id, "discounts": named}], "proration_behavior": "none"}
    till.stripe.v1.subscriptions.update(subscription["id"], added)
    schedule = till.stripe.v1.subscription_schedules.create({"from_subscription": subscription["id"]})
    first = schedule.to_dict(for_json=True)["phases"][0]
    kept = [
        {"price": one["price"], "discounts": [{"discount": each["discount"]} for each in one["discounts"]]}
        for one in first["items"]
    ]
    phases = [
        {"items": kept, "start_date": first["start_date"], "end_date": first["end_date"]},
        {"items": [{"price": PATRON}, kept[1]]},
    ]
    till.stripe.v1.subscription_schedules.update(schedule.id, {"phases": phases})
    assert next_due(till, subscription) == 1350
    assert renewed(till, subscription)["total"] == 1350
    ids = [one["id"] for one in till.subscription(subscription["id"])["items"]["data"]]
    assert ids[0] == item(subscription)["id"]


def test_portal_opens_at_the_subscription_to_cancel(till):
    first = till.subscribe()
    flow = {"type": "subscription_cancel", "subscription_cancel": {"subscription": first["id"]}}
    params = {"customer": first["customer"], "flow_data": flow}
    session = till.stripe.v1.billing_portal.sessions.create(params)
    assert session.flow.subscription_cancel.subscription == first["id"]
    till.post(f"/portal/{session.id}", do="cancel", subscription=first["id"])
    with pytest.raises(stripe.InvalidRequestError):
        till.stripe.v1.billing_portal.sessions.create(params)
