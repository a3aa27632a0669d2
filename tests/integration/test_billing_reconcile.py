"""Reconciling with Stripe: lost webhooks, missing subscriptions, and deleted accounts that still pay."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select, update

from church.config import Settings
from church.database.paging import Place
from church.extensions import db
from church.models import Customer, Invoice, Job, LedgerEntry, Price, Product, StripeEvent, Subscription, User
from church.models.base import utc_now
from church.services import billing
from church.services.accounts import data_registry
from church.services.billing import admin_actions
from church.services.billing.account_data import cancel_subscriptions
from church.services.billing.errors import StripeDownError, StripeRefusedError
from church.services.billing.stripe import reconcile
from tests.support.accounts_fixture import do_jobs
from tests.support.stripe_fixture import DAY, START, Obj, SiteWithFakeStripe, add_member, make_event

pytestmark = pytest.mark.services


@pytest.fixture
def shop(migrated_site: Settings) -> Iterator[SiteWithFakeStripe]:
    shop = SiteWithFakeStripe(migrated_site)
    yield shop
    shop.close()


def _reconcile(shop: SiteWithFakeStripe) -> reconcile.Reconciled:
    with shop.app.app_context():
        return billing.reconcile_with_stripe()


def test_sync_adds_plans_and_withdraws_missing_ones(shop: SiteWithFakeStripe) -> None:
    shop.stripe.product("prod_book")
    shop.stripe.price("price_book", "prod_book", 900)
    with shop.app.app_context():
        assert billing.sync_catalogue().changed == 2
        assert billing.sync_catalogue().changed == 0
        assert (shop.one(Product).stripe_id, shop.one(Price).stripe_id) == ("prod_patron", "price_month")
        del shop.stripe.objects["price_month"]
        shop.stripe.objects["prod_patron"]["metadata"] = {}
        shop.stripe.product(
            "prod_friend", church_plan="friend"
        )  # once one product has it, those without it are no plans
        assert billing.sync_catalogue().changed == 3
    assert [row.active for row in shop.rows(Product)] == [False, True]
    assert not shop.one(Price).active


def test_reconcile_repairs_lost_webhooks_then_finds_nothing(shop: SiteWithFakeStripe) -> None:
    user_id, subscription = shop.subscriber()
    invoice = shop.stripe.invoice(subscription, paid=1200)
    shop.stripe.refund(shop.stripe.charge_of(invoice), 500)
    shop.stripe.dispute(shop.stripe.charge_of(invoice), -1200)
    first = _reconcile(shop)
    assert (first.checked, first.failed) == (4, 0)
    assert first.repaired >= 4
    assert shop.premium(user_id)
    assert sorted(entry.amount for entry in shop.rows(LedgerEntry)) == [-1200, -500, 1200]
    assert _reconcile(shop) == reconcile.Reconciled(checked=4)


def test_reconcile_corrects_a_row_that_differs(shop: SiteWithFakeStripe) -> None:
    user_id, subscription = shop.subscriber()
    invoice = shop.stripe.invoice(subscription)
    shop.deliver(make_event("invoice.payment_failed", invoice))
    subscription.update(status="canceled", ended_at=START + DAY)
    invoice["status"] = "void"
    assert _reconcile(shop).repaired == 2
    assert (shop.one(Subscription).status, shop.one(Invoice).status) == ("canceled", "void")
    assert not shop.premium(user_id)


def test_reconcile_ignores_other_products(shop: SiteWithFakeStripe) -> None:
    shop.stripe.invoice(shop.stripe.subscription(shop.stripe.customer(None)), paid=700)
    found = _reconcile(shop)
    assert (found.checked, found.failed) == (2, 0)
    assert shop.rows(Customer) == shop.rows(LedgerEntry) == []


def test_reconcile_ends_a_subscription_missing_at_stripe(
    shop: SiteWithFakeStripe, caplog: pytest.LogCaptureFixture
) -> None:
    (gone_id, gone), (staying_id, staying) = (shop.subscriber() for _ in range(2))
    for subscription in (gone, staying):
        shop.deliver(make_event("customer.subscription.created", subscription))
    del shop.stripe.objects[gone["id"]]
    found = _reconcile(shop)
    assert (found.repaired, found.ended, found.failed, found.unknown) == (1, 1, 0, 0)
    assert (shop.premium(gone_id), shop.premium(staying_id)) == (False, True)
    row = shop.rows(Subscription)[0]
    assert (row.status, row.ended_at is not None) == ("canceled", True)
    (found,) = [record for record in caplog.records if getattr(record, "event", "") == "stripe.repaired"]
    assert (found.__dict__["stripe_id"], found.__dict__["reason"]) == (gone["id"], "Stripe has no such subscription")
    assert _reconcile(shop).repaired == 0


def test_reconcile_ends_the_only_subscription_if_missing_at_stripe(shop: SiteWithFakeStripe) -> None:
    user_id, subscription = shop.subscriber()
    shop.deliver(make_event("customer.subscription.created", subscription))
    del shop.stripe.objects[subscription["id"]]
    assert _reconcile(shop).ended == 1
    assert not shop.premium(user_id)


def test_reconcile_with_another_accounts_key_ends_no_membership(
    shop: SiteWithFakeStripe, caplog: pytest.LogCaptureFixture
) -> None:
    members = [shop.subscriber() for _ in range(3)]
    for _, subscription in members:
        shop.deliver(make_event("customer.subscription.created", subscription))
    for _, subscription in members:
        del shop.stripe.objects[subscription["id"]]
    shop.stripe.subscription(shop.stripe.customer(None))
    found = _reconcile(shop)
    assert (found.repaired, found.ended, found.failed, found.unknown) == (0, 0, 3, 3)
    assert all(shop.premium(user_id) for user_id, _ in members)
    (found,) = [record for record in caplog.records if getattr(record, "event", "") == "stripe.unreconciled"]
    assert "STRIPE_SECRET_KEY" in found.__dict__["reason"]


def test_reconcile_replays_failed_events(shop: SiteWithFakeStripe) -> None:
    _, subscription = shop.subscriber()

    def down(_method: str) -> None:
        raise StripeDownError

    shop.stripe.before = down
    shop.deliver(make_event("customer.subscription.created", subscription))
    with pytest.raises(StripeDownError):
        _reconcile(shop)
    shop.stripe.before = lambda _method: None
    assert _reconcile(shop).replayed == 1
    with shop.app.app_context():
        assert billing.count_events() == {"processed": 1}


def _leave(shop: SiteWithFakeStripe, user_id: int) -> list[Job]:
    with shop.app.app_context():
        with db.write() as session:
            user = session.get_one(User, user_id)
            data_registry.delete_data(session, user)
            user.deleted_at, user.email = utc_now(), None
        with db.read() as session:
            return list(session.scalars(select(Job).where(Job.kind == "billing.cancel", Job.state == "pending")))


def test_deleted_account_has_its_subscription_cancelled(shop: SiteWithFakeStripe) -> None:
    user_id, subscription = shop.subscriber()
    shop.stripe.product("prod_book")
    shop.stripe.price("price_book", "prod_book", 900)
    customer = shop.stripe.objects[subscription["customer"]]
    other = shop.stripe.subscription(customer, "price_book")
    shop.deliver(make_event("invoice.paid", shop.stripe.invoice(subscription, paid=1200)))
    (job,) = _leave(shop, user_id)
    with shop.app.app_context():
        cancel_subscriptions(job.payload)
        cancel_subscriptions(job.payload)
    assert (subscription["status"], other["status"]) == ("canceled", "active")
    assert [method for method, _, _ in shop.stripe.calls].count("subscriptions.cancel") == 1
    assert shop.one(Subscription).status == "canceled"
    assert not shop.premium(user_id)
    assert shop.one(LedgerEntry).user_id == user_id
    assert shop.one(Customer).card_last4 is None


def test_deleted_account_with_a_missing_customer_has_the_others_cancelled(
    shop: SiteWithFakeStripe, caplog: pytest.LogCaptureFixture
) -> None:
    user_id, first = shop.subscriber()
    with shop.app.app_context(), db.read() as session:
        ref = session.get_one(User, user_id).ref
    second = shop.stripe.subscription(shop.stripe.customer(ref))
    for subscription in (first, second):
        shop.deliver(make_event("customer.subscription.created", subscription))
    (job,) = _leave(shop, user_id)
    real = shop.stripe.call

    def call(method: str, *ids: str, key: str | None = None, **params: Any) -> Obj:
        if method == "subscriptions.list" and params["customer"] == first["customer"]:
            raise StripeRefusedError("resource_missing", "customer", 400)
        return real(method, *ids, key=key, **params)

    shop.stripe.call = call  # type: ignore[method-assign]
    with shop.app.app_context():
        cancel_subscriptions(job.payload)
    assert second["status"] == "canceled"
    shop.stripe.call = real  # type: ignore[method-assign]
    assert _reconcile(shop).repaired == 1
    assert first["status"] == "canceled"
    assert "stripe.customer_gone" in [getattr(record, "event", "") for record in caplog.records]


def test_deleted_account_whose_job_gave_up_is_cancelled_by_reconcile(shop: SiteWithFakeStripe) -> None:
    user_id, subscription = shop.subscriber()
    shop.deliver(make_event("customer.subscription.created", subscription))
    staying = shop.subscriber()[1]
    _leave(shop, user_id)
    with shop.app.app_context(), db.write() as session:
        session.execute(update(Job).where(Job.kind == "billing.cancel").values(state="dead"))
    assert _reconcile(shop).repaired >= 1
    assert (subscription["status"], staying["status"]) == ("canceled", "active")
    assert _reconcile(shop).repaired == 0


def test_deleted_account_with_a_lost_webhook_is_cancelled_by_reconcile(shop: SiteWithFakeStripe) -> None:
    user_id, subscription = shop.subscriber()
    assert _leave(shop, user_id) == []
    _reconcile(shop)
    assert subscription["status"] == shop.one(Subscription).status == "canceled"


def test_deleted_account_whose_cancellation_fails_does_not_block_others(
    shop: SiteWithFakeStripe, caplog: pytest.LogCaptureFixture
) -> None:
    leavers = [shop.subscriber() for _ in range(2)]
    for user_id, subscription in leavers:
        shop.deliver(make_event("customer.subscription.created", subscription))
        _leave(shop, user_id)

    def refuse_once(method: str) -> None:
        if method == "subscriptions.cancel":
            shop.stripe.before = lambda _method: None
            raise StripeRefusedError("lock_timeout")

    shop.stripe.before = refuse_once
    assert _reconcile(shop).failed == 1
    assert sorted(subscription["status"] for _, subscription in leavers) == ["active", "canceled"]
    (found,) = [record for record in caplog.records if getattr(record, "event", "") == "stripe.unreconciled"]
    assert found.__dict__["reason"] == "Stripe refused: lock_timeout"


def test_deleted_account_leaves_no_email_address_in_payloads(shop: SiteWithFakeStripe) -> None:
    user_id, subscription = shop.subscriber()
    shop.stripe.objects[subscription["customer"]]["email"] = "leaver@church.example"
    customer = shop.stripe.objects[subscription["customer"]]
    invoice = shop.stripe.invoice(subscription, paid=1200, customer_email="leaver@church.example")
    expanded = {**invoice, "customer": customer}
    staying = shop.subscriber(note="staying")[1]
    bodies = [
        make_event("customer.updated", customer),
        make_event("invoice.paid", invoice),
        make_event("invoice.paid", expanded),
    ]
    for body in [*bodies, make_event("customer.subscription.updated", staying)]:
        assert shop.deliver(body).status == "processed"
    assert json.dumps([row.payload for row in shop.rows(StripeEvent)]).count("leaver@") == 4
    _leave(shop, user_id)
    with shop.app.app_context():
        do_jobs("billing.forget_member")
    assert shop.deliver(make_event("invoice.paid", invoice)).status == "processed"
    rows = shop.rows(StripeEvent)
    assert "leaver@" not in json.dumps([row.payload for row in rows])
    assert "truncated" not in rows[3].payload
    with shop.app.app_context():
        assert [billing.replay(row.id).status for row in rows] == ["processed"] * 5


def test_deleted_account_without_a_customer_queues_no_job(shop: SiteWithFakeStripe) -> None:
    user_id, _ = add_member(shop.app)
    assert _leave(shop, user_id) == []


def test_subscription_begun_after_the_deletion_is_cancelled_too(shop: SiteWithFakeStripe) -> None:
    user_id, subscription = shop.subscriber()
    assert _leave(shop, user_id) == []
    shop.deliver(make_event("customer.subscription.created", subscription))
    with shop.app.app_context(), db.read() as session:
        (job,) = session.scalars(select(Job).where(Job.kind == "billing.cancel"))
    assert job.payload == {"user_id": user_id}


def test_export_contains_a_members_payments(shop: SiteWithFakeStripe) -> None:
    user_id, subscription = shop.subscriber()
    shop.deliver(make_event("invoice.paid", shop.stripe.invoice(subscription, paid=1200)))
    shop.deliver(make_event("customer.subscription.updated", shop.subscriber()[1]))
    with shop.app.app_context(), db.read() as session:
        found = data_registry.collect_data(session, session.get_one(User, user_id))["membership"]
    assert [one["stripe_id"] for one in found["subscriptions"]] == [subscription["id"]]
    assert [(one["kind"], one["amount"]) for one in found["payments"]] == [("payment", 1200)]
    assert found["subscriptions"][0]["started_at"].startswith("2026-")


def test_views_show_events_and_subscriptions_to_admins(shop: SiteWithFakeStripe) -> None:
    _, subscription = shop.subscriber()
    shop.deliver(make_event("customer.subscription.created", subscription, "evt_shown"))
    shop.deliver(make_event("a.type_of_tomorrow", subscription))
    with shop.app.app_context():
        newest, first = billing.list_events()
        assert (newest.state, first.state, first.payload) == ("ignored", "processed", None)
        assert [one.id for one in billing.list_events(place=Place(before=newest.id))] == [first.id]
        assert [one.id for one in billing.list_events(state="ignored")] == [newest.id]
        assert billing.list_events(event_type="invoice.paid") == []
        alone = admin_actions.find_event(first.id)
        assert alone is not None
        assert alone.payload is not None
        assert alone.payload["data"]["object"]["id"] == subscription["id"]
        assert admin_actions.find_event(first.id + 99) is None
        assert (billing.find_event_id("evt_shown"), billing.find_event_id("evt_0")) == (first.id, None)
        (view,) = billing.list_subscriptions()
        assert (view.plan, view.status, view.price, view.user_name) == ("patron", "active", "$12.00", "Ann")
        assert (
            billing.list_subscriptions(status="canceled")
            == billing.list_subscriptions(place=Place(before=view.id))
            == []
        )
        assert admin_actions.count_active_subscriptions() == [("patron", "active", 1)]
