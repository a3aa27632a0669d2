"""Webhooks on both databases: in every order, in parallel, during failures, and forged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest
from sqlalchemy import update

from church.config import Settings
from church.database.engines import is_sqlite
from church.errors import UnavailableError
from church.extensions import db
from church.jobs import registry
from church.models import (
    Base,
    Customer,
    Invoice,
    LedgerEntry,
    Product,
    StripeEvent,
    Subscription,
    UnmatchedPayment,
    User,
)
from church.models.base import utc_now
from church.observability.metrics import definitions
from church.services.billing.errors import StripeDownError
from church.services.billing.reminders import send_reminders
from church.services.billing.stripe import event_store
from church.services.billing.stripe.webhooks import replay
from church.services.billing.unmatched_payments import load_customer, match_confirmed, tidy_payments
from tests.support.helpers import grows
from tests.support.services_fixture import wait_until
from tests.support.site_fixture import ROOT
from tests.support.stripe_fixture import DAY, START, Obj, SiteWithFakeStripe, add_member, make_event

pytestmark = pytest.mark.services


@pytest.fixture
def shop(patient_database: None, migrated_site: Settings) -> Iterator[SiteWithFakeStripe]:
    shop = SiteWithFakeStripe(migrated_site)
    yield shop
    shop.close()


def _facts(row: Base) -> dict[str, Any]:
    """Return a row's columns without ids and the times of writing."""
    apart = {"id", "fetched_at", "renewal_asked_at", "customer_id", "user_id", "created_at", "latest_invoice", "number"}
    apart |= {"source_id"} | {c.name for c in row.__table__.columns if c.name.startswith("stripe_")}
    return {c.name: getattr(row, c.name) for c in row.__table__.columns if c.name not in apart}


def _state(shop: SiteWithFakeStripe, customer: str) -> list[Any]:
    with shop.app.app_context(), db.read() as session:
        invoices = session.query(Invoice).join(Customer).order_by(Invoice.amount_paid)
        return [
            [_facts(one) for one in session.query(Customer).filter_by(stripe_id=customer)],
            [_facts(o) for o in session.query(Subscription).join(Customer).filter(Customer.stripe_id == customer)],
            [_facts(one) for one in invoices.filter(Customer.stripe_id == customer)],
            [_facts(one) for one in session.query(LedgerEntry).filter_by(stripe_customer=customer)],
        ]


def _history(shop: SiteWithFakeStripe) -> tuple[str, list[Obj]]:
    """Make a subscription that was started, paid, changed, unpaid and ended. Returns its customer and five events."""
    _, subscription = shop.subscriber()
    started = make_event("customer.subscription.created", subscription)
    paid = make_event("invoice.paid", shop.stripe.invoice(subscription, paid=1200))
    subscription["cancel_at_period_end"] = True
    changed = make_event("customer.subscription.updated", subscription)
    unpaid = make_event(
        "invoice.payment_failed", shop.stripe.invoice(subscription, amount_due=1200, amount_remaining=1200)
    )
    subscription.update(status="canceled", ended_at=START + 40 * DAY, canceled_at=START + 40 * DAY)
    return subscription["customer"], [
        started,
        paid,
        changed,
        unpaid,
        make_event("customer.subscription.deleted", subscription),
    ]


def test_events_of_a_subscription_in_any_order_end_in_the_same_state(shop: SiteWithFakeStripe) -> None:
    states = []
    orders = list(permutations(range(5)))
    if not is_sqlite(shop.settings):
        orders = orders[::7]  # a sample is enough for the second database: the code is the same
    for order in orders:
        customer, events = _history(shop)
        assert [shop.deliver(events[number]).status for number in order] == ["processed"] * 5
        states.append(_state(shop, customer))
    assert all(state == states[0] for state in states)
    _, subscriptions, invoices, ledger = states[0]
    assert [(one["status"], one["cancel_at"] is not None) for one in subscriptions] == [("canceled", True)]
    assert [(one["status"], one["problem"]) for one in invoices] == [("open", "payment_failed"), ("paid", None)]
    assert [one["amount"] for one in ledger] == [1200]


def test_event_delivered_fifty_times_at_once_has_one_effect(
    shop: SiteWithFakeStripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_store, "LEASE", 300.0)  # no delivery may time out here
    monkeypatch.setattr(event_store, "WAIT", 300.0)
    _, subscription = shop.subscriber()
    body = make_event("invoice.paid", shop.stripe.invoice(subscription, paid=1200))
    start = threading.Barrier(50)

    def deliver(_number: int) -> tuple[str, int]:
        start.wait(120)
        outcome = shop.deliver(body)
        return outcome.status, outcome.http

    with ThreadPoolExecutor(50) as pool:
        outcomes = list(pool.map(deliver, range(50)))
    assert sorted(outcomes) == [("duplicate", 200)] * 49 + [("processed", 200)]
    assert len([1 for method, _, _ in shop.stripe.calls if method == "invoices.retrieve"]) == 1
    assert [entry.amount for entry in shop.rows(LedgerEntry)] == [1200]
    assert shop.one(StripeEvent).attempts == 1


# Claims the event, and is killed while it fetches.
_DOOMED = """
import sys, time
from church.config import load_settings
from church.services.billing.stripe import event_store
from tests.support.stripe_fixture import SiteWithFakeStripe
event_store.LEASE = 1.5
shop = SiteWithFakeStripe(load_settings())
def hang(_method):
    print("fetching", flush=True)
    time.sleep(600)
shop.stripe.before = hang
print("ready", flush=True)
shop.deliver(bytes.fromhex(input()))
"""


def test_event_whose_process_is_killed_is_taken_over_and_booked_once(shop: SiteWithFakeStripe) -> None:
    _, subscription = shop.subscriber()
    body = make_event("invoice.paid", shop.stripe.invoice(subscription, paid=1200))
    site = shop.settings
    url = site.database_url.get_secret_value() if site.database_url else ""
    places = {"CHURCH_INSTANCE": str(site.instance), "CHURCH_LOG_DIR": str(site.log_dir), "DATABASE_URL": url}
    environment = {**os.environ, **places, "PYTHONPATH": str(ROOT)}
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    doomed = subprocess.Popen([sys.executable, "-c", _DOOMED], env=environment, cwd=ROOT, **pipes)
    assert doomed.stdin is not None
    assert doomed.stdout is not None
    with doomed:
        assert doomed.stdout.readline() == "ready\n"
        doomed.stdin.write(json.dumps(body).encode().hex() + "\n")
        doomed.stdin.flush()
        assert doomed.stdout.readline() == "fetching\n"
        doomed.kill()
    held = shop.one(StripeEvent)
    assert (held.state, held.attempts, bool(held.lease)) == ("received", 1, True)
    assert shop.deliver(body).status == "processed"
    assert shop.deliver(body).status == "duplicate"
    assert [entry.amount for entry in shop.rows(LedgerEntry)] == [1200]
    done = shop.one(StripeEvent)
    assert (done.state, done.attempts, done.lease) == ("processed", 2, None)


def test_event_outliving_its_lease_is_not_applied_twice(
    shop: SiteWithFakeStripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, subscription = shop.subscriber()
    body = make_event("invoice.paid", shop.stripe.invoice(subscription, paid=1200))
    monkeypatch.setattr(event_store, "LEASE", 0.2)
    asleep, awake = threading.Event(), threading.Event()

    def sleep_once(_method: str) -> None:
        if not asleep.is_set():
            asleep.set()
            awake.wait(30)

    shop.stripe.before = sleep_once
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(shop.deliver, body)
        assert asleep.wait(30)
        assert shop.deliver(body).status == "processed"
        awake.set()
        assert slow.result(30).http == 503
    assert [entry.amount for entry in shop.rows(LedgerEntry)] == [1200]
    assert shop.one(StripeEvent).state == "processed"


def test_second_delivery_waits_for_the_first_to_finish(shop: SiteWithFakeStripe) -> None:
    _, subscription = shop.subscriber()
    body = make_event("customer.subscription.created", subscription)
    asked, go_on = threading.Event(), threading.Event()

    def hold(_method: str) -> None:
        asked.set()
        go_on.wait(30)

    shop.stripe.before = hold
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(shop.deliver, body)
        assert asked.wait(30)
        second = pool.submit(shop.deliver, body)
        assert not second.done()
        go_on.set()
        assert (first.result(30).status, second.result(30).status) == ("processed", "duplicate")
    assert shop.one(Subscription).status == "active"


def test_second_delivery_waiting_too_long_is_answered_503(
    shop: SiteWithFakeStripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, subscription = shop.subscriber()
    body = make_event("customer.subscription.created", subscription)
    monkeypatch.setattr(event_store, "WAIT", 0.1)
    second: list[int] = []
    monkeypatch.setattr(shop.stripe, "before", lambda _method: second or second.append(shop.deliver(body).http))
    assert shop.deliver(body).status == "processed"
    assert second == [503]


def test_objects_fetched_earlier_do_not_replace_later_ones(shop: SiteWithFakeStripe) -> None:
    _, subscription = shop.subscriber()
    asked, go_on = threading.Event(), threading.Event()
    old = dict(subscription)

    def hold(_method: str) -> None:
        if not asked.is_set():
            asked.set()
            go_on.wait(30)

    shop.stripe.before = hold
    with ThreadPoolExecutor(1) as pool:
        real = shop.stripe._expanded
        slow_thread: list[int] = []

        def expanded(found: Obj) -> Obj:
            return real(old if threading.get_ident() in slow_thread and found["object"] == "subscription" else found)

        def slow() -> str:
            slow_thread.append(threading.get_ident())
            return shop.deliver(make_event("customer.subscription.updated", subscription)).status

        shop.stripe._expanded = expanded  # type: ignore[method-assign]
        first = pool.submit(slow)
        assert asked.wait(30)
        subscription.update(status="canceled", ended_at=START + DAY)
        assert shop.deliver(make_event("customer.subscription.deleted", subscription)).status == "processed"
        go_on.set()
        assert first.result(30) == "processed"
    assert shop.one(Subscription).status == "canceled"


def test_late_event_does_not_reopen_an_ended_subscription(shop: SiteWithFakeStripe) -> None:
    user_id, subscription = shop.subscriber()
    late = make_event("customer.subscription.updated", subscription, created=START - 3 * DAY)
    subscription.update(status="canceled", ended_at=START + DAY)
    assert shop.deliver(make_event("customer.subscription.deleted", subscription)).status == "processed"
    assert shop.deliver(late).status == "processed"
    assert shop.one(Subscription).status == "canceled"
    assert not shop.premium(user_id)


def test_event_while_the_database_is_down_is_applied_when_redelivered(
    shop: SiteWithFakeStripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    user_id, subscription = shop.subscriber()
    body = make_event("customer.subscription.created", subscription)
    writing = db.write

    def down() -> Any:
        raise UnavailableError

    monkeypatch.setattr(db, "write", down)
    counter = definitions.stripe_webhooks.labels("customer.subscription.created", "failed")
    with grows(counter), pytest.raises(UnavailableError):
        shop.deliver(body)
    monkeypatch.setattr(db, "write", writing)
    assert shop.rows(StripeEvent) == []
    assert shop.deliver(body).status == "processed"
    assert shop.premium(user_id)


def test_event_whose_transaction_fails_is_rolled_back_and_applied_later(
    shop: SiteWithFakeStripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, subscription = shop.subscriber()
    body = make_event("invoice.paid", shop.stripe.invoice(subscription, paid=1200))
    with monkeypatch.context() as broken:
        broken.setattr("church.services.billing.stripe.apply_to_database.book_entries", lambda *_: 1 / 0)
        outcome = shop.deliver(body)
    assert (outcome.status, outcome.http) == ("failed", 500)
    failed = shop.one(StripeEvent)
    assert (failed.state, failed.reason, failed.lease) == ("failed", "unexpected: ZeroDivisionError; see the log", None)
    assert shop.rows(Subscription) == shop.rows(Customer) == []
    assert shop.deliver(body).status == "processed"
    assert shop.one(StripeEvent).reason is None
    assert len(shop.rows(LedgerEntry)) == 1


def test_event_while_stripe_is_down_stores_the_reason_and_keeps_premium(shop: SiteWithFakeStripe) -> None:
    user_id, subscription = shop.subscriber()
    shop.deliver(make_event("customer.subscription.created", subscription))
    subscription.update(status="canceled", ended_at=START + DAY)
    body = make_event("customer.subscription.deleted", subscription)

    def down(_method: str) -> None:
        raise StripeDownError

    shop.stripe.before = down
    assert shop.deliver(body).http == 503
    failed = shop.rows(StripeEvent)[-1]
    assert (failed.state, failed.reason) == ("failed", "Stripe does not answer")
    assert shop.premium(user_id)
    shop.stripe.before = lambda _method: None
    with shop.app.app_context():
        assert replay(failed.id).status == "processed"
        assert replay(failed.id).status == "processed"
    assert not shop.premium(user_id)


def test_replay_of_an_unknown_event_or_one_under_way_is_refused(shop: SiteWithFakeStripe) -> None:
    _, subscription = shop.subscriber()
    shop.deliver(make_event("customer.subscription.created", subscription))
    row = shop.one(StripeEvent)
    with shop.app.app_context():
        with pytest.raises(LookupError):
            replay(row.id + 1)
        with db.write() as session:
            until = utc_now() + timedelta(seconds=event_store.LEASE)
            session.execute(update(StripeEvent).values(lease="x", leased_until=until))
        assert replay(row.id).http == 503


def _webhook(kind: str, obj: Any, **changes: Any) -> Obj:
    return {**make_event(kind, {}), "data": {"object": obj}, **changes}


@pytest.mark.parametrize(
    ("kind", "obj", "reason"),
    [
        ("issuing_card.created", {"id": "ic_1", "object": "issuing.card"}, "a type"),
        ("invoice.paid", {"object": "invoice"}, "no object"),
        ("invoice.paid", None, "no object"),
        ("invoice.paid", {"id": "in_0", "object": "invoice"}, "no such object"),
        ("customer.updated", {"id": "cus_0", "object": "customer"}, "no such object"),
        ("price.updated", {"id": "price_0", "object": "price"}, "a price without a plan"),
        ("product.deleted", {"id": "prod_0", "object": "product"}, "a product that is not a plan"),
        ("invoice.paid", {"id": "ba_1", "object": "bank_account"}, "an object of kind"),
        ("payment_method.automatically_updated", {"id": "pm_1", "object": "payment_method"}, "without a customer"),
    ],
)
def test_event_that_is_not_ours_is_ignored_with_a_reason(
    shop: SiteWithFakeStripe, kind: str, obj: Any, reason: str
) -> None:
    _is_ignored(shop, _webhook(kind, obj), reason)


def test_event_of_a_connected_account_is_ignored_with_a_reason(shop: SiteWithFakeStripe) -> None:
    body = _webhook("invoice.paid", {"id": "in_1", "object": "invoice"}, account="acct_1")
    _is_ignored(shop, body, "a connected account")


def _is_ignored(shop: SiteWithFakeStripe, body: Obj, reason: str) -> None:
    outcome = shop.deliver(body)
    assert (outcome.status, outcome.http) == ("ignored", 200)
    kept = shop.one(StripeEvent)
    assert kept.state == "ignored"
    assert reason in (kept.reason or "")
    assert kept.lease is None
    assert shop.deliver(body).status == "duplicate"


def test_event_of_another_customer_or_product_is_ignored(shop: SiteWithFakeStripe) -> None:
    _, ref = add_member(shop.app)
    shop.stripe.product("prod_book")
    shop.stripe.price("price_book", "prod_book", 900)
    stranger, named = shop.stripe.customer(None, email="stranger@church.example"), shop.stripe.customer("nobody")
    ours = shop.stripe.customer(ref)
    bodies = [
        make_event("customer.subscription.created", shop.stripe.subscription(stranger)),
        make_event("customer.subscription.created", shop.stripe.subscription(named)),
        make_event("customer.subscription.created", shop.stripe.subscription(ours, "price_book")),
        make_event("customer.updated", stranger),
        make_event("customer.created", stranger),  # a type that this site does not handle
    ]
    assert [shop.deliver(body).status for body in bodies] == ["ignored"] * 5
    assert "stranger@" not in json.dumps([row.payload for row in shop.rows(StripeEvent)])
    assert shop.rows(Customer) == shop.rows(Subscription) == shop.rows(Product) == []


@pytest.mark.parametrize("raw", [b"no json", b"[1, 2]", b"\xff\xfe", b"[" * 50_000])
def test_webhook_without_a_json_object_is_refused(shop: SiteWithFakeStripe, raw: bytes) -> None:
    assert shop.deliver(raw).http == 400
    assert shop.rows(StripeEvent) == []


def test_webhook_without_an_id_is_ignored_and_not_stored(shop: SiteWithFakeStripe) -> None:
    assert shop.deliver(b'{"object": "event", "type": "invoice.paid"}').status == "ignored"
    assert shop.rows(StripeEvent) == []


def test_webhook_with_a_wrong_secret_is_refused_and_counted(shop: SiteWithFakeStripe) -> None:
    _, subscription = shop.subscriber()
    body = make_event("customer.subscription.created", subscription)
    forged = definitions.security_events.labels("webhook_forged", "high")
    refused = definitions.stripe_webhooks.labels("other", "invalid_signature")
    with grows(forged, 2), grows(refused, 2):
        assert shop.deliver(body, secret="whsec_guessed").http == 400
        assert shop.deliver(body, age=301).http == 400
    assert shop.rows(StripeEvent) == []
    assert shop.deliver(body, age=240).status == "processed"


def test_deliveries_are_counted_once_by_outcome(shop: SiteWithFakeStripe) -> None:
    _, subscription = shop.subscriber()
    body = make_event("customer.subscription.updated", subscription)
    labels = definitions.stripe_webhooks.labels
    with grows(labels(body["type"], "processed")), grows(labels(body["type"], "duplicate"), 2):
        for _ in range(3):
            shop.deliver(body)
    with grows(labels("other", "ignored")):
        shop.deliver(_webhook("a.type_of_tomorrow", {"id": "x_1", "object": "x"}))


def test_parallel_events_of_one_customer_are_all_applied(shop: SiteWithFakeStripe) -> None:
    _, subscription = shop.subscriber()
    bodies = [make_event("invoice.paid", shop.stripe.invoice(subscription, paid=100 + n)) for n in range(12)]
    with ThreadPoolExecutor(12) as pool:
        assert {one.status for one in pool.map(shop.deliver, bodies)} == {"processed"}
    assert sorted(entry.amount for entry in shop.rows(LedgerEntry)) == [100 + n for n in range(12)]
    assert len(shop.rows(Invoice)) == 12
    wait_until(lambda: all(one.state == "processed" for one in shop.rows(StripeEvent)), "all are done")


def test_payload_is_removed_after_ninety_days_and_the_event_can_be_replayed(shop: SiteWithFakeStripe) -> None:
    _, subscription = shop.subscriber(customer_note="called Ann")
    old, fresh = (make_event("customer.subscription.updated", subscription) for _ in range(2))
    shop.deliver(old)
    shop.deliver(fresh)
    with shop.app.app_context():
        with db.write() as session:
            since = utc_now() - event_store.KEEP_PAYLOADS
            for body, more in ((old, timedelta(hours=1)), (fresh, timedelta(hours=-1))):
                row = update(StripeEvent).where(StripeEvent.stripe_id == body["id"])
                session.execute(row.values(received_at=since - more))
        event_store.forget_payloads({})
        event_store.forget_payloads({})
        assert registry.registered_schedules()["billing.forget_payloads"] == timedelta(days=1)
        first, second = shop.rows(StripeEvent)
        named = {"id": subscription["id"], "object": "subscription", "customer": subscription["customer"]}
        assert first.payload["data"] == {"object": named}
        assert second.payload == fresh
        assert replay(first.id).status == "processed"


def test_ledger_entry_cannot_be_changed_or_deleted(shop: SiteWithFakeStripe) -> None:
    _, subscription = shop.subscriber()
    shop.deliver(make_event("invoice.paid", shop.stripe.invoice(subscription, paid=1200)))
    with shop.app.app_context():
        for statement in ("UPDATE ledger_entries SET amount = 1", "DELETE FROM ledger_entries"):
            with pytest.raises(Exception, match="append-only"), db.write() as session:
                session.connection().exec_driver_sql(statement)
    assert [entry.amount for entry in shop.rows(LedgerEntry)] == [1200]


def test_payer_by_payment_link_is_the_member_who_confirms_the_address_later(shop: SiteWithFakeStripe) -> None:
    """Several events of the same payment at once list it once, and the address brings the member all of it."""
    subscription = shop.stripe.subscription(shop.stripe.customer(None, email="ann@example.org"))
    invoice = shop.stripe.invoice(subscription, paid=1200)
    session = shop.stripe.session(subscription)
    events = [
        make_event("customer.subscription.created", subscription),
        make_event("invoice.paid", invoice),
        make_event("checkout.session.completed", session),
    ]
    with ThreadPoolExecutor(len(events)) as pool:
        assert {outcome.status for outcome in pool.map(shop.deliver, events)} == {"ignored"}
    assert shop.one(UnmatchedPayment).email_key == "ann@example.org"
    user_id, _ = add_member(shop.app)
    with shop.app.app_context():
        with db.write() as writing:
            user = writing.get_one(User, user_id)
            user.email, user.email_key, user.verified_at = "Ann@example.org", "ann@example.org", utc_now()
            writing.flush()
            match_confirmed(writing, user)
        load_customer({"customer": subscription["customer"]})
    assert (shop.rows(UnmatchedPayment), shop.premium(user_id)) == ([], True)
    assert [row.user_id for row in shop.rows(LedgerEntry)] == [user_id]
    assert shop.deliver(make_event("customer.subscription.updated", subscription)).status == "processed"
    with shop.app.app_context():
        send_reminders({})
        tidy_payments({})
