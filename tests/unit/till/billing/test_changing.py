"""Changes of plan: prorations, previews, and schedules."""

from __future__ import annotations

import pytest
import stripe

from church.till.billing.periods import DAY
from tests.support.till_fixture import FRIEND, PATRON


def item(subscription):
    return subscription["items"]["data"][0]


def to(subscription, price, **params):
    return {"items": [{"id": item(subscription)["id"], "price": price}], **params}


def half_way(till, subscription):
    start, end = item(subscription)["current_period_start"], item(subscription)["current_period_end"]
    till.operate("clock", hours=str((end - start) // 3600 // 2))
    return (end - till.operate("knobs")["now"]) / (end - start)


def test_upgrade_now_charges_the_proration_and_keeps_the_period(till):
    subscription = till.subscribe()
    left = half_way(till, subscription)
    changed = till.stripe.v1.subscriptions.update(
        subscription["id"], to(subscription, PATRON, proration_behavior="always_invoice")
    ).to_dict()
    assert item(changed)["price"]["id"] == item(changed)["plan"]["id"] == PATRON
    assert item(changed)["current_period_end"] == item(subscription)["current_period_end"]
    invoice = till.latest_invoice(subscription["id"])
    assert [line["amount"] for line in invoice["lines"]["data"]] == pytest.approx([-500 * left, 1200 * left], abs=1)
    assert all(line["parent"]["subscription_item_details"]["proration"] for line in invoice["lines"]["data"])
    assert (invoice["status"], invoice["billing_reason"]) == ("paid", "subscription_update")
    till.operate("clock", to="renewal")
    assert till.latest_invoice(subscription["id"])["total"] == 1200


def test_preview_equals_the_charge_of_the_change(till):
    subscription = till.subscribe()
    half_way(till, subscription)
    at = till.operate("knobs")["now"]
    details = to(subscription, PATRON, proration_behavior="always_invoice", proration_date=at)
    preview = till.stripe.v1.invoices.create_preview(
        {"customer": subscription["customer"], "subscription": subscription["id"], "subscription_details": details}
    )
    assert till.subscription(subscription["id"]) == subscription
    till.stripe.v1.subscriptions.update(subscription["id"], details)
    assert till.latest_invoice(subscription["id"])["amount_paid"] == preview.amount_due > 300


def test_preview_without_a_change_is_the_next_renewal(till):
    subscription = till.subscribe()
    preview = till.stripe.v1.invoices.create_preview({"subscription": subscription["id"]})
    assert (preview.amount_due, preview.billing_reason, preview.status) == (500, "upcoming", "draft")
    assert preview.lines.data[0].period.start == item(subscription)["current_period_end"]
    till.stripe.v1.subscriptions.update(subscription["id"], {"cancel_at_period_end": True})
    with pytest.raises(stripe.InvalidRequestError) as caught:
        till.stripe.v1.invoices.create_preview({"subscription": subscription["id"]})
    assert caught.value.code == "invoice_upcoming_none"


def test_proration_not_invoiced_is_added_to_the_renewal(till):
    subscription = till.subscribe()
    half_way(till, subscription)
    till.stripe.v1.subscriptions.update(subscription["id"], to(subscription, PATRON))
    assert till.latest_invoice(subscription["id"])["id"] == subscription["latest_invoice"]
    preview = till.stripe.v1.invoices.create_preview({"subscription": subscription["id"]})
    till.operate("clock", to="renewal")
    invoice = till.latest_invoice(subscription["id"])
    assert len(invoice["lines"]["data"]) == 3
    assert invoice["total"] == preview.total > 1200


def test_change_without_proration_costs_nothing_now(till):
    subscription = till.subscribe()
    till.stripe.v1.subscriptions.update(subscription["id"], to(subscription, PATRON, proration_behavior="none"))
    till.operate("clock", to="renewal")
    invoice = till.latest_invoice(subscription["id"])
    assert (len(invoice["lines"]["data"]), invoice["total"]) == (1, 1200)


def test_downgrade_now_credits_the_next_invoice(till):
    subscription = till.subscribe(PATRON)
    half_way(till, subscription)
    till.stripe.v1.subscriptions.update(
        subscription["id"], to(subscription, FRIEND, proration_behavior="always_invoice")
    )
    invoice = till.latest_invoice(subscription["id"])
    credit = till.stripe.v1.customers.retrieve(subscription["customer"]).balance
    assert (invoice["amount_due"], invoice["status"], invoice["total"]) == (0, "paid", credit)
    assert credit < -300
    till.operate("clock", to="renewal")
    assert till.latest_invoice(subscription["id"])["amount_due"] == 500 + credit
    assert till.stripe.v1.customers.retrieve(subscription["customer"]).balance == 0


def test_change_of_interval_starts_a_new_period(till):
    subscription = till.subscribe()
    half_way(till, subscription)
    changed = till.stripe.v1.subscriptions.update(subscription["id"], to(subscription, "price_friend_year")).to_dict()
    assert item(changed)["current_period_end"] - item(changed)["current_period_start"] >= 365 * DAY
    assert changed["billing_cycle_anchor"] == item(changed)["current_period_start"]
    assert till.latest_invoice(subscription["id"])["total"] == pytest.approx(5000 - 250, abs=2)


def test_change_in_a_trial_is_free_until_the_trial_ends(till):
    subscription = till.subscribe(subscription_data={"trial_period_days": 14})
    changed = till.stripe.v1.subscriptions.update(
        subscription["id"], to(subscription, PATRON, proration_behavior="always_invoice")
    )
    assert (changed.status, changed.latest_invoice) == ("trialing", subscription["latest_invoice"])
    ended = till.stripe.v1.subscriptions.update(subscription["id"], {"trial_end": "now"})
    assert ended.status == "active"
    assert till.latest_invoice(subscription["id"])["amount_paid"] == 1200


def test_upgrade_declined_is_past_due_or_undone(till):
    subscription = till.subscribe(card="fails_later")
    now = to(subscription, PATRON, proration_behavior="always_invoice")
    with pytest.raises(stripe.CardError) as caught:
        till.stripe.v1.subscriptions.update(subscription["id"], {**now, "payment_behavior": "error_if_incomplete"})
    assert (caught.value.http_status, caught.value.code) == (402, "card_declined")
    assert till.subscription(subscription["id"]) == subscription
    changed = till.stripe.v1.subscriptions.update(subscription["id"], now)
    assert changed.status == "past_due"


def test_schedule_downgrades_at_the_renewal(till):
    subscription = till.subscribe(PATRON)
    schedule = till.stripe.v1.subscription_schedules.create({"from_subscription": subscription["id"]})
    assert till.subscription(subscription["id"])["schedule"] == schedule.id
    first = schedule.phases[0]
    phases = [
        {"items": [{"price": PATRON, "quantity": 1}], "start_date": first.start_date, "end_date": first.end_date},
        {"items": [{"price": FRIEND, "quantity": 1}], "duration": {"interval": "month", "interval_count": 1}},
    ]
    updated = till.stripe.v1.subscription_schedules.update(schedule.id, {"phases": phases, "end_behavior": "release"})
    assert [phase["items"][0]["price"] for phase in updated.phases] == [PATRON, FRIEND]
    assert item(till.subscription(subscription["id"]))["price"]["id"] == PATRON
    till.operate("clock", to="renewal")
    assert item(till.subscription(subscription["id"]))["price"]["id"] == FRIEND
    assert till.latest_invoice(subscription["id"])["total"] == 500
    till.operate("clock", to="renewal")
    done = till.stripe.v1.subscription_schedules.retrieve(schedule.id)
    assert (done.status, done.released_subscription, done.subscription) == ("released", subscription["id"], None)
    found = till.subscription(subscription["id"])
    assert (found["schedule"], found["status"], till.latest_invoice(found["id"])["total"]) == (None, "active", 500)


def test_schedule_to_another_interval_bills_once(till):
    subscription = till.subscribe("price_friend_year")
    schedule = till.stripe.v1.subscription_schedules.create({"from_subscription": subscription["id"]})
    first = schedule.phases[0]
    phases = [
        {"items": [{"price": "price_friend_year"}], "start_date": first.start_date, "end_date": first.end_date},
        {"items": [{"price": FRIEND}]},
    ]
    till.stripe.v1.subscription_schedules.update(schedule.id, {"phases": phases})
    till.operate("clock", to="renewal")
    invoices = till.stripe.v1.invoices.list({"subscription": subscription["id"]}).data
    assert [one.total for one in invoices] == [500, 5000]


def test_schedule_phase_within_a_period_prorates(till):
    subscription = till.subscribe()
    schedule = till.stripe.v1.subscription_schedules.create({"from_subscription": subscription["id"]})
    first = schedule.phases[0]
    middle = (first.start_date + first.end_date) // 2
    phases = [
        {"items": [{"price": FRIEND}], "start_date": first.start_date, "end_date": middle},
        {"items": [{"price": PATRON}], "end_date": first.end_date, "proration_behavior": "always_invoice"},
    ]
    till.stripe.v1.subscription_schedules.update(schedule.id, {"phases": phases})
    till.operate("clock", days="20")
    invoice = till.latest_invoice(subscription["id"])
    assert invoice["created"] == middle
    assert [line["amount"] for line in invoice["lines"]["data"]] == [-250, 600]


def lasting_discount(till):
    """Create a subscription with a discount on every payment."""
    with till.desk.store.transaction():
        coupon = till.desk.make("coupon", duration="forever", percent_off=50.0)
        coupon["id"] = "half"
        till.desk.add(coupon)
    return till.subscribe(PATRON, discounts=[{"coupon": "half"}])


@pytest.mark.parametrize(("kept", "total"), [(True, 250), (False, 500)])
def test_schedule_phase_has_only_its_own_discounts(till, kept, total):
    subscription = lasting_discount(till)
    schedule = till.stripe.v1.subscription_schedules.create({"from_subscription": subscription["id"]})
    first = schedule.to_dict()["phases"][0]
    assert [one["discount"] for one in first["discounts"]] == subscription["discounts"]
    named = {"discounts": [{"discount": one["discount"]} for one in first["discounts"]]} if kept else {}
    phases = [
        {"items": [{"price": PATRON}], "start_date": first["start_date"], "end_date": first["end_date"], **named},
        {"items": [{"price": FRIEND}], **named},
    ]
    till.stripe.v1.subscription_schedules.update(schedule.id, {"phases": phases})
    till.operate("clock", to="renewal")
    assert till.latest_invoice(subscription["id"])["total"] == total


def test_proration_date_outside_the_period_is_clamped(till):
    subscription = till.subscribe()
    early = item(subscription)["current_period_start"] - 40 * DAY
    details = to(subscription, PATRON, proration_behavior="always_invoice", proration_date=early)
    preview = till.stripe.v1.invoices.create_preview(
        {"subscription": subscription["id"], "subscription_details": details}
    )
    assert [line.amount for line in preview.lines.data] == [-500, 1200]


def test_schedule_released_changes_nothing(till):
    subscription = till.subscribe(PATRON)
    schedule = till.stripe.v1.subscription_schedules.create({"from_subscription": subscription["id"]})
    with pytest.raises(stripe.InvalidRequestError, match="managed by the subscription schedule"):
        till.stripe.v1.subscriptions.update(subscription["id"], {"cancel_at_period_end": True})
    with pytest.raises(stripe.InvalidRequestError):
        till.stripe.v1.subscription_schedules.create({"from_subscription": subscription["id"]})
    assert till.stripe.v1.subscription_schedules.release(schedule.id).status == "released"
    with pytest.raises(stripe.InvalidRequestError):
        till.stripe.v1.subscription_schedules.release(schedule.id)
    assert till.subscription(subscription["id"])["schedule"] is None
    assert till.stripe.v1.subscription_schedules.list({"customer": subscription["customer"]}).data[0].id == schedule.id


def test_schedule_end_can_cancel_the_subscription(till):
    subscription = till.subscribe()
    schedule = till.stripe.v1.subscription_schedules.create({"from_subscription": subscription["id"]})
    till.stripe.v1.subscription_schedules.update(schedule.id, {"end_behavior": "cancel"})
    till.operate("clock", to="renewal")
    assert till.subscription(subscription["id"])["status"] == "canceled"
    assert till.stripe.v1.subscription_schedules.retrieve(schedule.id).status == "completed"


@pytest.mark.parametrize(
    "phases",
    [
        [{"items": [{"price": FRIEND}, {"price": PATRON}]}],
        [{"items": [{"price": FRIEND}], "end_date": 1}],
        [{"items": [{"price": FRIEND}], "start_date": 10, "end_date": 20}],
        [{"items": [{"price": "price_none"}]}],
    ],
)
def test_schedule_invalid_phases_are_refused(till, phases):
    schedule = till.stripe.v1.subscription_schedules.create({"from_subscription": till.subscribe()["id"]})
    with pytest.raises(stripe.InvalidRequestError):
        till.stripe.v1.subscription_schedules.update(schedule.id, {"phases": phases})


@pytest.mark.parametrize(
    "params",
    [
        {"items": [{"id": "si_none", "price": PATRON}]},
        {"items": [{"price": PATRON}]},
        {"cancel_at": 1},
        {"default_payment_method": "pm_none"},
        {"payment_behavior": "pending_if_incomplete", "metadata": {"a": "b"}, "items": []},
    ],
)
def test_update_invalid_parameter_is_refused(till, params):
    subscription = till.subscribe()
    if params.get("items") == []:
        params = {**params, **to(subscription, PATRON)}
    with pytest.raises(stripe.InvalidRequestError):
        till.stripe.v1.subscriptions.update(subscription["id"], params)
    assert till.subscription(subscription["id"]) == subscription


def test_subscription_cancelled_can_only_change_metadata(till):
    subscription = till.subscribe()
    details = {"comment": "moved away", "feedback": "other"}
    ended = till.stripe.v1.subscriptions.cancel(subscription["id"], {"cancellation_details": details})
    assert (ended.status, ended.cancellation_details.comment) == ("canceled", "moved away")
    with pytest.raises(stripe.InvalidRequestError):
        till.stripe.v1.subscriptions.cancel(subscription["id"])
    with pytest.raises(stripe.InvalidRequestError):
        till.stripe.v1.subscriptions.update(subscription["id"], {"cancel_at_period_end": True})
    till.stripe.v1.subscriptions.update(subscription["id"], {"metadata": {"a": "b"}})
    statuses = {status: len(till.stripe.v1.subscriptions.list({"status": status}).data) for status in ("all", "ended")}
    assert (statuses, till.stripe.v1.subscriptions.list().data) == ({"all": 1, "ended": 1}, [])
    assert till.operate("clock", days="60")["next_renewal"] is None
