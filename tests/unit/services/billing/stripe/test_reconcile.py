"""Comparing with Stripe: what is repaired, what is ended, and what is left alone."""

from __future__ import annotations

from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import update

from church.extensions import db
from church.models import Customer, Invoice, LedgerEntry, Mail, StripeEvent, Subscription, UnmatchedPayment, User
from church.models.base import utc_now
from church.services.billing.errors import StripeRefusedError
from church.services.billing.stripe import reconcile
from church.services.billing.stripe.reconcile import (
    MissingSubscriptions,
    end_missing,
    reconcile_nightly,
    reconcile_with_stripe,
    replay_failed,
)
from tests.support.billing_rows import add_customer, add_entry, add_event, add_subscription, stored
from tests.support.helpers import with_settings
from tests.support.people import add_user
from tests.support.statements import note_statements
from tests.support.stripe_fixture import FakeStripe, make_event


def test_lost_webhooks_are_made_up_for_once(stripe_objects: FakeStripe, ada: User) -> None:
    """Subscription, invoice, payment, refund and dispute are stored; a second comparison finds nothing."""
    invoice = stripe_objects.invoice(stripe_objects.subscription(stripe_objects.customer(ada.ref)), paid=1200)
    charge = stripe_objects.charge_of(invoice)
    stripe_objects.refund(charge, 500)
    stripe_objects.dispute(charge, -1200)
    done = reconcile_with_stripe()
    assert (done.checked, done.repaired, done.failed) == (4, 6, 0)  # repaired: the plan and its price too
    assert (stored(Subscription)[0].status, stored(Invoice)[0].status) == ("active", "paid")
    assert sorted((row.kind, row.amount) for row in stored(LedgerEntry)) == [
        ("dispute", -1200), ("payment", 1200), ("refund", -500),
    ]  # fmt: skip
    again = reconcile_with_stripe()
    assert (again.checked, again.repaired, again.failed) == (4, 0, 0)


def test_row_that_differs_is_corrected(stripe_objects: FakeStripe, ada: User) -> None:
    """Any of the compared columns counts."""
    subscription = stripe_objects.subscription(stripe_objects.customer(ada.ref))
    reconcile_with_stripe()
    with db.write() as session:
        session.execute(update(Subscription).values(status="past_due"))
    assert reconcile_with_stripe().repaired == 1
    assert (stored(Subscription)[0].status, stored(Subscription)[0].stripe_id) == ("active", subscription["id"])


def test_refund_undone_needs_both_entries_or_none(stripe_objects: FakeStripe, ada: User) -> None:
    """One that was cancelled before its money moved is no difference; one that is booked is taken back."""
    invoice = stripe_objects.invoice(stripe_objects.subscription(stripe_objects.customer(ada.ref)), paid=1200)
    refund = stripe_objects.refund(stripe_objects.charge_of(invoice), 500, status="canceled")
    reconcile_with_stripe()
    assert reconcile_with_stripe().repaired == 0
    payment = invoice["payments"]["data"][0]["payment"]["payment_intent"]
    add_entry(ada.id, -500, "refund", source_id=f"refund:{refund['id']}", stripe_payment=payment)
    assert reconcile_with_stripe().repaired == 1
    assert stored(LedgerEntry)[-1].source_id == f"refund_failed:{refund['id']}"


def test_objects_of_something_else_are_checked_and_left_alone(stripe_objects: FakeStripe, ada: User) -> None:
    """The account at Stripe may sell other things."""
    stripe_objects.product("prod_book")
    stripe_objects.price("price_book", "prod_book", 900)
    stripe_objects.subscription(stripe_objects.customer(ada.ref), "price_book")
    done = reconcile_with_stripe()
    assert (done.checked, done.failed, stored(Subscription), stored(Customer)) == (1, 0, [], [])


def test_object_that_stripe_refuses_is_counted_and_the_others_are_repaired(
    stripe_objects: FakeStripe, ada: User
) -> None:
    """One broken object does not end the comparison."""
    for _ in range(2):
        stripe_objects.subscription(stripe_objects.customer(ada.ref))
    refusals = ["the first"]

    def refuse_first(method: str) -> None:
        if method == "subscriptions.retrieve" and refusals:
            refusals.clear()
            raise StripeRefusedError("lock_timeout", None, 400)

    stripe_objects.before = refuse_first
    done = reconcile_with_stripe()
    assert (done.failed, len(stored(Subscription))) == (1, 1)


def test_comparison_of_a_page_takes_no_more_statements_than_that_of_one(stripe_objects: FakeStripe, ada: User) -> None:
    def add_paid() -> None:
        invoice = stripe_objects.invoice(stripe_objects.subscription(stripe_objects.customer(ada.ref)), paid=1200)
        charge = stripe_objects.charge_of(invoice)
        stripe_objects.refund(charge, 500)
        stripe_objects.dispute(charge, -700)

    counts = []
    for more in (1, 20):
        for _ in range(more):
            add_paid()
        reconcile_with_stripe()
        with note_statements() as statements:
            assert reconcile_with_stripe().repaired == 0
        counts.append(len(statements))
    assert counts[0] == counts[1]


def test_comparison_ends_every_row_that_stripe_has_on_no_page(
    stripe_objects: FakeStripe, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows are read in blocks; one that has ended already is left alone."""
    monkeypatch.setattr(reconcile, "_BLOCK", 3)
    customer = add_customer(ada.id, stripe_objects.customer(ada.ref)["id"])
    for number in range(20):
        if number % 4:
            there = stripe_objects.subscription({"id": customer.stripe_id})
            add_subscription(customer, there["id"])
        else:
            add_subscription(customer, f"sub_gone{number}", status="canceled" if number == 8 else "active")
    assert reconcile_with_stripe().ended == 4
    ended = {row.stripe_id for row in stored(Subscription) if row.status == "canceled"}
    assert ended == {f"sub_gone{number}" for number in (0, 4, 8, 12, 16)}


# -- subscriptions that no longer exist at Stripe -------------------------------------------------------------------


def test_subscription_missing_at_stripe_is_ended(stripe_objects: FakeStripe, ada: User) -> None:
    """Stripe knows another one, so the key is right."""
    found = stripe_objects.customer(ada.ref)
    there = stripe_objects.subscription(found)
    customer = add_customer(ada.id, found["id"])
    add_subscription(customer, there["id"])
    gone = add_subscription(customer, "sub_gone")
    assert end_missing([gone.stripe_id, there["id"]]) == MissingSubscriptions(ended=1)
    first, second = stored(Subscription)
    assert (first.status, second.status) == ("active", "canceled")
    assert second.ended_at is not None


def test_all_of_several_missing_are_left_alone(stripe_objects: FakeStripe, ada: User) -> None:
    """The key is probably another account's; a single one is ended all the same."""
    customer = add_customer(ada.id)
    add_subscription(customer, "sub_1")
    add_subscription(customer, "sub_2")
    assert end_missing(["sub_1", "sub_2"]) == MissingSubscriptions(left=2)
    with db.write() as session:
        session.execute(update(Subscription).where(Subscription.stripe_id == "sub_2").values(status="canceled"))
    assert end_missing(["sub_1"]) == MissingSubscriptions(ended=1)
    assert [mail.template for mail in stored(Mail)] == ["membership_ended"]


def test_missing_subscription_updated_meanwhile_is_not_ended(stripe_objects: FakeStripe, ada: User) -> None:
    """A webhook knows better than the comparison."""
    later = utc_now() + timedelta(minutes=1)
    add_subscription(add_customer(ada.id), "sub_1", fetched_at=later)
    assert end_missing(["sub_1"]) == MissingSubscriptions()
    assert stored(Subscription)[0].status == "active"


# -- events and accounts --------------------------------------------------------------------------------------------


def test_failed_and_unfinished_events_are_replayed_oldest_first(stripe_objects: FakeStripe, ada: User) -> None:
    """Processed ones, and those under way, are not touched."""
    subscription = stripe_objects.subscription(stripe_objects.customer(ada.ref))
    under_way = {"state": "received", "lease": "x", "leased_until": utc_now() + timedelta(seconds=5)}
    for name, values in (
        ("evt_failed", {"state": "failed", "processed_at": None}),
        ("evt_done", {}),
        ("evt_held", under_way),
        ("evt_left", {"state": "received", "lease": "x", "leased_until": utc_now() - timedelta(seconds=5)}),
    ):
        payload = make_event("customer.subscription.created", subscription, name)
        add_event(name, payload["type"], subscription["id"], payload=payload, **values)
    assert [outcome.status for outcome in replay_failed()] == ["processed", "processed"]
    assert {row.stripe_id: (row.state, row.attempts) for row in stored(StripeEvent)} == {
        "evt_failed": ("processed", 1), "evt_done": ("processed", 0),
        "evt_held": ("received", 0), "evt_left": ("processed", 1),
    }  # fmt: skip


def test_deleted_account_that_still_pays_is_cancelled(at_work: Flask, stripe_objects: FakeStripe, ada: User) -> None:
    """Its job gave up or was lost. A member's subscription stays."""
    bob = add_user(at_work, "bob@church.example", password_hash="x")
    for user in (ada, bob):
        stripe_objects.subscription(stripe_objects.customer(user.ref))
    reconcile_with_stripe()
    with db.write() as session:
        gone = {"email": None, "email_key": None, "password_hash": None, "name": "", "deleted_at": utc_now()}
        session.execute(update(User).where(User.id == bob.id).values(**gone))
    assert reconcile_with_stripe().repaired == 1
    assert {row.user_id: row.status for row in stored(Subscription)} == {ada.id: "active", bob.id: "canceled"}


@pytest.mark.parametrize(("environment", "compared"), [("production", False), ("development", True)])
def test_nightly_comparison_runs_where_payments_are_taken(
    at_work: Flask, stripe_objects: FakeStripe, environment: str, compared: bool
) -> None:
    """A production site without a key takes none."""
    at_work.config["CHURCH"] = with_settings(at_work.config["CHURCH"], environment=environment)
    reconcile_nightly({})
    assert bool(stripe_objects.calls) is compared


def test_payer_whose_webhooks_were_lost_is_matched_or_listed(stripe_objects: FakeStripe, ada: User) -> None:
    """By the confirmed address, with all payments; the others wait for an admin. A further night changes nothing."""
    theirs = stripe_objects.subscription(stripe_objects.customer(None, email=ada.email))
    stripe_objects.invoice(theirs, paid=1200)
    other = stripe_objects.subscription(stripe_objects.customer(None, email="eve@church.example"))
    for _ in range(2):
        reconcile_with_stripe()
        assert [(row.stripe_id, row.user_id) for row in stored(Subscription)] == [(theirs["id"], ada.id)]
        assert [(row.user_id, row.amount) for row in stored(LedgerEntry)] == [(ada.id, 1200)]
        assert [row.stripe_subscription for row in stored(UnmatchedPayment)] == [other["id"]]
    assert [mail.template for mail in stored(Mail)] == ["welcome"]
