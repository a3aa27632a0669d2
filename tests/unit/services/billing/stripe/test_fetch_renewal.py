"""Asking Stripe what the next invoice takes, and what is shown where it can't say."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from church.extensions import db
from church.models import Price, Product, Subscription, User
from church.models.base import utc_now
from church.models.jobs import Job
from church.services import billing
from church.services.billing.errors import StripeDownError, StripeRefusedError
from church.services.billing.stripe import fetch_renewal
from church.services.billing.stripe.apply_to_database import REFRESH, apply_facts, refresh_subscription
from church.services.billing.stripe.event_types import HANDLED, parse_event
from church.services.billing.stripe.fetch import Fetcher
from church.services.billing.stripe.fetch_renewal import Renewal, RenewalFetcher, make_basis, renews
from church.services.billing.stripe.refresh_renewals import refresh_renewals, refresh_unknown
from tests.support.billing_rows import add_customer, add_subscription, store, stored
from tests.support.stripe_fixture import DAY, START, FakeStripe, Obj, utc_time

pytestmark = pytest.mark.sqlite_alone

END = START + 30 * DAY
NOW = utc_time(START + DAY)


@pytest.fixture
def shop(stripe_objects: FakeStripe) -> FakeStripe:
    """A Stripe with a second plan and an add-on."""
    stripe_objects.put("product", "prod_friend", name="Friend", active=True, metadata={"church_plan": "friend"})
    stripe_objects.price("price_friend", "prod_friend", 500)
    stripe_objects.put("product", "prod_letter", name="Printed letter", active=True)
    stripe_objects.put("price", "price_letter", product="prod_letter", unit_amount=300)
    return stripe_objects


def subscribe(shop: FakeStripe, user: User, *items: Obj, customer: Obj | None = None, **values: Any) -> Obj:
    payer = customer or shop.customer(user.ref)
    found = shop.subscription(payer, **values)
    if items:
        found["items"]["data"] = list(items)
    return found


def show(user: User, subscription: Obj) -> str:
    """Fetch and store the subscription; return what the account page says of it."""
    assert refresh_subscription(subscription["id"])
    return billing.read_membership_status(user.id, NOW).sentence


def preview(shop: FakeStripe, subscription: Obj, due: int, **values: Any) -> None:
    lines = {"data": [{"amount": due}]}
    made = {"object": "invoice", "currency": "usd", "amount_due": due, "lines": lines}
    shop.previews[subscription["id"]] = {**made, **values}


def methods(shop: FakeStripe) -> list[str]:
    return [method for method, *_ in shop.calls]


# -- what Stripe tells ------------------------------------------------------------------------------------------------


def test_amount_is_what_stripe_previews(shop: FakeStripe, ada: User) -> None:
    """With tax and credit, which nothing else tells."""
    found = subscribe(shop, ada)
    preview(shop, found, 1428, total=1500)
    assert show(ada, found) == "Renews 21 October, $14.28"
    assert methods(shop)[-1] == "invoices.create_preview"
    assert shop.calls[-1][2] == {"subscription": found["id"]}
    row = stored(Subscription)[0]
    assert (row.amount, row.renewal_at, row.renewal_asked_at) == (1200, utc_time(END), row.fetched_at)


def test_amount_is_unknown_where_stripe_plans_no_invoice(shop: FakeStripe, ada: User) -> None:
    found = subscribe(shop, ada)

    def none_planned(method: str) -> None:
        if method == "invoices.create_preview":
            raise StripeRefusedError("invoice_upcoming_none", None, 404)

    shop.before = none_planned
    assert show(ada, found) == "Renews 21 October"


@pytest.mark.parametrize("values", [{"lines": {"data": []}}, {"currency": "eur"}, {"amount_due": None}])
def test_preview_that_is_no_invoice_of_the_subscription_is_not_believed(
    shop: FakeStripe, ada: User, values: Obj
) -> None:
    """The amount is reckoned instead."""
    found = subscribe(shop, ada)
    preview(shop, found, 700, **values)
    assert show(ada, found) == "Renews 21 October, $12.00"


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"pause_collection": {"behavior": "void", "resumes_at": None}}, "Payments are paused"),
        ({"pause_collection": {"behavior": "void", "resumes_at": END}}, "Payments are paused until 21 October"),
        ({"cancel_at_period_end": True}, "Ends 21 October"),
        ({"cancel_at": END}, "Ends 21 October"),
        ({"status": "paused"}, "Paused; add a card to resume"),
    ],
)
def test_subscription_that_takes_nothing_is_not_previewed(
    shop: FakeStripe, ada: User, values: Obj, sentence: str
) -> None:
    """No amount and no day of renewal are shown for it."""
    found = subscribe(shop, ada, **values)
    assert show(ada, found) == sentence
    assert "invoices.create_preview" not in methods(shop)
    assert stored(Subscription)[0].renewal_amount is None
    assert billing.read_membership_status(ada.id, NOW).premium is (found["status"] == "active")


def test_subscription_that_ends_after_the_next_invoice_renews_before() -> None:
    item = {"current_period_end": END}
    assert renews({"status": "active", "cancel_at": END + 1, "items": {"data": [item]}})
    assert not renews({"status": "active", "cancel_at": END, "items": {"data": [item]}})


# -- what is reckoned -------------------------------------------------------------------------------------------------


def test_sum_of_two_items_is_shown_with_the_plan_of_the_second(shop: FakeStripe, ada: User) -> None:
    items = shop.item("si_add", "price_letter"), shop.item("si_plan", "price_friend")
    found = subscribe(shop, ada, *items, price="price_friend")
    assert show(ada, found) == "Renews 21 October, $8.00"
    row = stored(Subscription)[0]
    assert (row.plan, row.stripe_item, row.stripe_price) == ("friend", "si_plan", "price_friend")
    assert [product.plan for product in stored(Product)] == ["friend"]
    assert [price.stripe_id for price in stored(Price)] == ["price_friend"]


def test_plan_is_found_by_its_stored_price_where_the_product_is_not_told(shop: FakeStripe, ada: User) -> None:
    """As for products without metadata, in an account that marks none."""
    del shop.objects["prod_friend"]["metadata"]["church_plan"]
    kept = {"description": "", "features": [], "active": True, "fetched_at": utc_now()}
    store(Product(stripe_id="prod_friend", plan="friend", name="Friend", **kept))
    items = shop.item("si_add", "price_letter"), shop.item("si_plan", "price_friend")
    show(ada, subscribe(shop, ada, *items, price="price_friend"))
    assert stored(Subscription)[0].stripe_item == "si_plan"


def test_dearest_of_two_plans_is_the_plan(shop: FakeStripe, ada: User) -> None:
    items = shop.item("si_1", "price_friend"), shop.item("si_2", "price_month")
    assert show(ada, subscribe(shop, ada, *items)) == "Renews 21 October, $17.00"
    assert (stored(Subscription)[0].plan, stored(Subscription)[0].stripe_item) == ("patron", "si_2")


def test_price_in_several_currencies_is_shown_in_that_of_the_subscription(shop: FakeStripe, ada: User) -> None:
    price = shop.objects["price_month"]
    price["currency_options"] = {"eur": {"unit_amount": 1100}, "usd": {"unit_amount": 1200}}
    assert show(ada, subscribe(shop, ada, currency="eur")) == "Renews 21 October, €11.00"
    row = stored(Subscription)[0]
    assert (row.currency, row.amount, stored(Price)[0].currency_amounts) == ("eur", 1100, {"eur": 1100})


def test_discounts_of_item_and_customer_and_coupons_for_others_are_told_apart(shop: FakeStripe, ada: User) -> None:
    """Which products a coupon is for is told only where it is expanded."""
    shop.discount("di_quarter", percent_off=25)
    shop.discount("di_else", percent_off=50, applies_to={"products": ["prod_else"]})
    own = shop.item("si_1", "price_month", discounts=["di_quarter"])
    assert show(ada, subscribe(shop, ada, own)) == "Renews 21 October, $9.00"
    elsewhere = shop.item("si_1", "price_month", discounts=["di_else"])
    shop.put("coupon", "co_1", **shop.objects["di_else"]["source"]["coupon"])
    for found in (subscribe(shop, ada, elsewhere), subscribe(shop, ada, discounts=["di_else"])):
        refresh_subscription(found["id"])
        assert stored(Subscription)[-1].renewal_amount == 1200
    payer = shop.customer(ada.ref, discount=shop.discount("di_half", percent_off=50))
    refresh_subscription(subscribe(shop, ada, customer=payer)["id"])
    assert stored(Subscription)[-1].renewal_amount == 600


@pytest.mark.parametrize(
    ("price", "quantity", "sentence"),
    [
        ({}, 0, "Renews 21 October, $0.00"),
        ({"transform_quantity": {"divide_by": 10, "round": "up"}}, 15, "Renews 21 October, $24.00"),
    ],
)
def test_quantity_is_shown_as_the_price_counts_it(
    shop: FakeStripe, ada: User, price: Obj, quantity: int, sentence: str
) -> None:
    shop.objects["price_month"].update(price)
    item = shop.item("si_1", "price_month", quantity=quantity)
    assert show(ada, subscribe(shop, ada, item)) == sentence
    assert stored(Subscription)[0].quantity == quantity


def test_stripe_that_does_not_expand_so_much_is_asked_for_less(shop: FakeStripe, ada: User) -> None:
    """Any other refusal is one."""
    found = subscribe(shop, ada)
    real = shop.call

    def call(method: str, *ids: str, **params: Any) -> Obj:
        if any("currency_options" in path or "applies_to" in path for path in params.get("expand", [])):
            raise StripeRefusedError("InvalidRequestError", "expand", 400)
        return real(method, *ids, **params)

    shop.call = call  # type: ignore[method-assign]
    assert show(ada, found) == "Renews 21 October, $12.00"
    assert Fetcher(shop, NOW).about("price", "price_month").prices["price_month"]["unit_amount"] == 1200


def test_coupon_of_an_item_is_asked_for_with_its_subscription_where_it_is_not_told_alone(
    shop: FakeStripe, ada: User
) -> None:
    shop.discount("di_quarter", percent_off=25)
    found = subscribe(shop, ada, shop.item("si_1", "price_month", discounts=["di_quarter"]))
    real = shop.call

    def call(method: str, *ids: str, **params: Any) -> Obj:
        if method == "coupons.retrieve":
            raise StripeRefusedError("InvalidRequestError", "resource_missing", 404)
        answer = real(method, *ids, **params)
        if "items.data.discounts.source.coupon" not in params.get("expand", []):
            for item in answer.get("items", {}).get("data", []):
                for discount in item["discounts"]:
                    discount["source"]["coupon"] = "co_1"
        return answer

    shop.call = call  # type: ignore[method-assign]
    assert show(ada, found) == "Renews 21 October, $9.00"


# -- an answer that fails ---------------------------------------------------------------------------------------------


def no_preview(method: str) -> None:
    if method != "subscriptions.retrieve":
        raise StripeDownError


def test_failing_preview_keeps_the_older_amount_with_its_day(shop: FakeStripe, ada: User) -> None:
    """As long as nothing that it depends on has changed."""
    found = subscribe(shop, ada)
    preview(shop, found, 1428)
    show(ada, found)
    asked_at = stored(Subscription)[0].renewal_asked_at
    shop.before = no_preview
    assert show(ada, found) == "Renews 21 October, $14.28"
    row = stored(Subscription)[0]
    assert (row.renewal_asked_at, row.fetched_at > row.renewal_asked_at) == (asked_at, True)
    with db.write() as session:
        session.execute(update(Subscription).values(renewal_asked_at=utc_time(START)))
    assert show(ada, found) == f"Renews 21 October, $14.28 as of {utc_time(START).day} September"


def test_failing_preview_of_a_changed_subscription_shows_no_amount(shop: FakeStripe, ada: User) -> None:
    """Rather than a wrong one; it is asked for within the hour."""
    found = subscribe(shop, ada)
    preview(shop, found, 1428)
    show(ada, found)
    shop.before = no_preview
    found["items"]["data"][0]["quantity"] = 2
    assert show(ada, found) == "Renews 21 October"
    assert stored(Subscription)[0].renewal_asked_at is None
    shop.before = lambda _method: None
    preview(shop, found, 2856)
    refresh_unknown({})
    assert billing.read_membership_status(ada.id, NOW).sentence == "Renews 21 October, $28.56"


@pytest.mark.parametrize("fails", [False, True])
def test_amount_that_was_told_before_a_change_of_plan_is_not_shown_with_it(
    shop: FakeStripe, ada: User, fails: bool
) -> None:
    """A schedule is attached before it has its phases, and a preview may come in between."""
    found = subscribe(shop, ada)
    found["schedule"] = {"id": "sub_sched_1", "status": "active", "phases": []}
    preview(shop, found, 1200)
    assert show(ada, found) == "Renews 21 October, $12.00"
    item = found["items"]["data"][0]
    begins = item["current_period_end"]
    found["schedule"]["phases"] = [
        {"start_date": item["current_period_start"], "end_date": begins, "items": [{"price": item["price"]}]},
        {"start_date": begins, "items": [{"price": "price_friend"}]},
    ]
    if fails:
        with db.write() as session:
            session.execute(update(Subscription).values(renewal_asked_at=utc_time(START)))
        shop.before = no_preview
    assert show(ada, found) == "Changes to another plan 21 October"
    assert stored(Subscription)[0].renewal_asked_at is None


def test_event_about_an_invoice_asks_only_where_the_subscription_changed(shop: FakeStripe, ada: User) -> None:
    """A renewal has several events; the first tells that the period is another."""
    found = subscribe(shop, ada)
    invoice = shop.invoice(found, paid=1200)
    show(ada, found)
    for changed in (False, True):
        shop.calls.clear()
        if changed:
            found["items"]["data"][0]["current_period_end"] += 30 * DAY
        Fetcher(shop, NOW).about("invoice", invoice["id"])
        assert ("invoices.create_preview" in methods(shop)) is changed


def test_events_of_a_subscription_ask_once_until_it_changes(shop: FakeStripe, ada: User) -> None:
    """A payment has several events within seconds; an old answer is asked for again."""
    found = subscribe(shop, ada)
    show(ada, found)
    for age, asks in ((timedelta(minutes=9), False), (timedelta(minutes=11), True), (None, True)):
        with db.write() as session:
            at = None if age is None else utc_now() - age
            session.execute(update(Subscription).values(renewal_asked_at=at))
        shop.calls.clear()
        show(ada, found)
        assert ("invoices.create_preview" in methods(shop)) is asks


def test_basis_is_the_same_whether_objects_are_expanded() -> None:
    price = {"id": "price_1"}
    found = {"status": "active", "discounts": ["di_1"], "schedule": "sched_1", "items": {"data": [{"price": price}]}}
    expanded = {**found, "discounts": [{"id": "di_1"}], "schedule": {"id": "sched_1", "phases": []}}
    assert make_basis(found) == make_basis(expanded)
    for change in ({"discounts": []}, {"schedule": None}, {"pause_collection": {}}, {"cancel_at_period_end": True}):
        assert (make_basis({**found, **change}) == make_basis(found)) is (change == {"pause_collection": {}})


# -- asking again -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["discount", "tax_id", "customer"])
def test_event_about_the_customer_asks_for_each_of_their_subscriptions(shop: FakeStripe, ada: User, kind: str) -> None:
    """A coupon, an address or a tax id may change what they pay."""
    found = subscribe(shop, ada)
    show(ada, found)
    preview(shop, found, 600)
    facts = Fetcher(shop, NOW).about(kind, found["customer"], found["customer"])
    renewal = facts.subscriptions[found["id"]].renewal
    assert renewal is not None
    assert renewal.amount == 600


def test_upcoming_invoice_asks_for_its_subscription() -> None:
    """The invoice itself does not exist yet."""
    for name in ({}, {"id": "upcoming_in_1"}):
        parent = {"subscription_details": {"subscription": "sub_1"}}
        obj = {"object": "invoice", "customer": "cus_1", "parent": parent, **name}
        raw = {"id": "evt_1", "type": "invoice.upcoming", "created": START, "data": {"object": obj}}
        event = parse_event(str(raw).replace("'", '"').encode())
        assert (event.object_kind, event.object_id, event.problem) == ("subscription", "sub_1", None)
    assert "customer.discount.deleted" in HANDLED


def test_schedule_brings_its_subscription(shop: FakeStripe, ada: User) -> None:
    found = subscribe(shop, ada)
    shop.put("subscription_schedule", "sub_sched_1", subscription=None, released_subscription=found["id"])
    assert list(Fetcher(shop, NOW).about("subscription_schedule", "sub_sched_1").subscriptions) == [found["id"]]


def test_changed_price_has_its_subscriptions_asked_again(shop: FakeStripe, ada: User) -> None:
    found = subscribe(shop, ada)
    show(ada, found)
    facts = Fetcher(shop, utc_now()).about("price", "price_month")
    for tax in ("exclusive", "inclusive"):
        facts.prices["price_month"]["tax_behavior"] = tax
        with db.write() as session:
            apply_facts(session, facts)
        assert (stored(Subscription)[0].renewal_asked_at is None) is (tax == "inclusive")
    assert [job.kind for job in stored(Job) if job.kind == REFRESH] == [REFRESH]


def test_amounts_are_refreshed_oldest_first_and_no_more_than_asked(shop: FakeStripe, ada: User) -> None:
    """An amount that is young, and one of a subscription that has ended, are left alone."""
    customer = add_customer(ada.id, shop.customer(ada.ref)["id"])
    now = utc_now()
    ages = {"sub_young": 1, "sub_old": 30, "sub_older": 40, "sub_unknown": None, "sub_ended": None}
    for name, hours in ages.items():
        asked_at = None if hours is None else now - timedelta(hours=hours)
        status = "canceled" if name == "sub_ended" else "active"
        add_subscription(customer, name, status=status, renewal_asked_at=asked_at)
        shop.put("subscription", name, **{**shop.subscription({"id": customer.stripe_id}), "id": name})
    assert refresh_renewals(older_than=timedelta(hours=20), limit=2) == 2
    assert [ids[0] for method, ids, _ in shop.calls if method == "subscriptions.retrieve"] == [
        "sub_unknown", "sub_older",
    ]  # fmt: skip
    shop.calls.clear()
    refresh_unknown({})
    assert shop.calls == []


def test_refreshing_stops_where_stripe_does_not_answer(shop: FakeStripe, ada: User) -> None:
    customer = add_customer(ada.id)
    for name in ("sub_1", "sub_2"):
        add_subscription(customer, name)

    def down(_method: str) -> None:
        raise StripeDownError

    shop.before = down
    assert refresh_renewals(older_than=None, limit=9) == 0
    assert len(shop.calls) == 1


# -- events that arrive together ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("ended", [False, True])
def test_events_during_a_preview_share_the_next_one(
    shop: FakeStripe, ada: User, monkeypatch: pytest.MonkeyPatch, ended: bool
) -> None:
    """The one under way may be older than their change. If the event that asks next is ended, the other reckons."""
    begun, waiting = threading.Event(), threading.Semaphore(0)
    found = subscribe(shop, ada)
    previews: list[str] = []

    class Watched(Future[Renewal]):
        def result(self, timeout: float | None = None) -> Renewal:
            waiting.release()
            return super().result(timeout)

        def exception(self, timeout: float | None = None) -> BaseException | None:
            waiting.release()
            return super().exception(timeout)

    def preview(method: str) -> None:
        if method != "invoices.create_preview":
            return
        previews.append(method)
        if len(previews) == 1:
            begun.set()
            assert waiting.acquire(timeout=60)
            assert waiting.acquire(timeout=60)
        elif ended:
            raise SystemExit

    def fetch() -> Renewal:
        return RenewalFetcher(shop, lambda: 60.0).fetch(expanded, None, shared=True)

    expanded = Fetcher(shop, NOW).about("subscription", found["id"]).subscriptions[found["id"]].found
    monkeypatch.setattr(fetch_renewal, "Future", Watched)
    shop.before = preview
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(fetch)
        assert begun.wait(60)
        others = [pool.submit(fetch), pool.submit(fetch)]
    assert len(previews) == 2
    assert first.result().amount == 1200
    assert [one.result().amount for one in others if one.exception() is None] == [1200] * (1 if ended else 2)
    assert sum(one.exception() is not None for one in others) == ended


def test_event_after_all_previews_asks_anew(shop: FakeStripe, ada: User) -> None:
    expanded = Fetcher(shop, NOW).about("subscription", subscribe(shop, ada)["id"])
    (each,) = expanded.subscriptions.values()
    shop.calls.clear()
    for _ in range(2):
        RenewalFetcher(shop, lambda: 60.0).fetch(each.found, None, shared=True)
    assert [method for method, *_ in shop.calls].count("invoices.create_preview") == 2
    assert not fetch_renewal._UNDER_WAY._running
    assert not fetch_renewal._UNDER_WAY._next
