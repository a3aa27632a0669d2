"""A deleted account: its subscriptions are cancelled, its checkouts expire; and the export of a member's payments."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from sqlalchemy import update

from church.extensions import db
from church.models import Checkout, Customer, Grant, Job, Subscription, User
from church.models.base import utc_now
from church.services.accounts import deletion
from church.services.billing import account_data
from church.services.billing.errors import StripeRefusedError
from tests.support.billing_rows import add_customer, add_entry, add_grant, add_subscription, stored
from tests.support.membership_fixture import Membership
from tests.support.people import add_user
from tests.support.stripe_fixture import FakeStripe

pytestmark = pytest.mark.sqlite_alone


def cancel_on_delete(user: User) -> None:
    with db.write() as session:
        account_data.cancel_on_delete(session, session.get_one(User, user.id))


def queued() -> list[tuple[str, dict[str, Any]]]:
    return [(job.kind, job.payload) for job in stored(Job) if job.kind.startswith("billing.")]


# -- subscriptions --------------------------------------------------------------------------------------------------


def test_deletion_queues_one_cancellation_and_forgets_card_and_grants(ada: User) -> None:
    """Rows about money stay, without a reason or a card; a second deletion queues no second job."""
    add_customer(ada.id, card_brand="visa", card_last4="4242", card_expires="04/2031")
    add_grant(ada.id)
    cancel_on_delete(ada)
    cancel_on_delete(ada)
    [customer], [grant] = stored(Customer), stored(Grant)
    assert (customer.card_brand, customer.card_last4, customer.card_expires) == (None, None, None)
    assert grant.reason == ""
    assert grant.revoked_at is not None
    assert queued() == [("billing.cancel", {"user_id": ada.id})]


def test_deletion_without_a_customer_queues_nothing(ada: User) -> None:
    """Stripe knows nothing of a member who never paid."""
    cancel_on_delete(ada)
    assert queued() == []


def test_cancellation_ends_open_subscriptions_here_and_at_stripe(stripe_objects: FakeStripe, ada: User) -> None:
    """The one for another product, and the one that has ended, are left alone."""
    found = stripe_objects.customer(ada.ref)
    add_customer(ada.id, found["id"])
    ours = stripe_objects.subscription(found)
    ended = stripe_objects.subscription(found, status="canceled")
    stripe_objects.product("prod_book")
    stripe_objects.price("price_book", "prod_book", 900)
    book = stripe_objects.subscription(found, "price_book")
    account_data.cancel_subscriptions({"user_id": ada.id})
    assert [each["status"] for each in (ours, ended, book)] == ["canceled", "canceled", "active"]
    assert [ids for method, ids, _ in stripe_objects.calls if method == "subscriptions.cancel"] == [(ours["id"],)]
    [row] = stored(Subscription)
    assert (row.stripe_id, row.status) == (ours["id"], "canceled")


def test_cancellation_by_two_hosts_at_once_ends_well_on_both(stripe_objects: FakeStripe, ada: User) -> None:
    found = stripe_objects.customer(ada.ref)
    add_customer(ada.id, found["id"])
    ours = stripe_objects.subscription(found)

    def cancel_first(method: str) -> None:
        if method == "subscriptions.cancel":
            ours["status"] = "canceled"
            raise StripeRefusedError("resource_missing", "id", 404)

    stripe_objects.before = cancel_first
    account_data.cancel_subscriptions({"user_id": ada.id})
    [row] = stored(Subscription)
    assert (row.stripe_id, row.status) == (ours["id"], "canceled")


@pytest.mark.parametrize(("code", "passed"), [("resource_missing", True), ("rate_limit", False)])
def test_cancellation_passes_over_a_customer_missing_at_stripe(
    stripe_objects: FakeStripe, ada: User, code: str, passed: bool
) -> None:
    """Any other refusal fails the job, so that it is tried again."""
    add_customer(ada.id, "cus_gone")

    def refuse(_method: str) -> None:
        raise StripeRefusedError(code, "customer", 400)

    stripe_objects.before = refuse
    if passed:
        account_data.cancel_subscriptions({"user_id": ada.id})
    else:
        with pytest.raises(StripeRefusedError):
            account_data.cancel_subscriptions({"user_id": ada.id})
    assert len(stripe_objects.calls) == 1


def test_deleted_accounts_still_paying_are_listed_once(at_work: Flask, ada: User) -> None:
    """Members, and deleted accounts whose subscriptions have ended, are not listed."""
    bob = add_user(at_work, "bob@church.example", password_hash="x")
    eve = add_user(at_work, "eve@church.example", password_hash="x")
    for user in (ada, bob):
        customer = add_customer(user.id)
        add_subscription(customer)
        add_subscription(customer, status="past_due")
    add_subscription(add_customer(eve.id), status="canceled")
    assert account_data.list_deleted_still_paying() == []
    with db.write() as session:
        gone = {"email": None, "email_key": None, "password_hash": None, "name": "", "deleted_at": utc_now()}
        session.execute(update(User).where(User.id.in_([bob.id, eve.id])).values(**gone))
    assert account_data.list_deleted_still_paying() == [bob.id]


# -- checkouts ------------------------------------------------------------------------------------------------------


def leave(membership: Membership, user: User) -> None:
    """Delete the account, and run the jobs queued for its checkouts."""
    with membership.app.app_context():
        with db.write() as session:
            deletion.empty_account(session, session.get_one(User, user.id))
        for job in membership.rows(Job):
            if job.kind == "billing.abandon":
                account_data.expire_checkout(job.payload)


def test_open_checkout_of_a_deleted_account_is_expired(membership: Membership, user: User) -> None:
    session = membership.start(membership.as_signed_in(user))
    leave(membership, user)
    assert membership.till.stripe.v1.checkout.sessions.retrieve(session).status == "expired"
    assert membership.pay(session) == 409
    membership.tell()
    assert membership.one(Checkout).state == "expired"


def test_checkout_paid_during_the_deletion_is_left_to_its_webhook(membership: Membership, user: User) -> None:
    session = membership.start(membership.as_signed_in(user))
    membership.pay(session)
    leave(membership, user)
    assert {answer.status_code for answer in membership.tell()} == {200}
    assert "billing.cancel" in {job.kind for job in membership.rows(Job)}


# -- export ---------------------------------------------------------------------------------------------------------


def test_export_holds_the_members_own_rows_as_json(at_work: Flask, ada: User) -> None:
    """Times are text, and nothing of another member is in it."""
    bob = add_user(at_work, "bob@church.example", password_hash="x")
    for user in (ada, bob):
        add_subscription(add_customer(user.id, f"cus_{user.id}", card_last4="4242"))
        add_entry(user.id, 1200)
        add_grant(user.id, reason=f"for {user.id}")
    with db.read() as session:
        found = account_data.export_billing(session, session.get_one(User, ada.id))
    assert {part: len(rows) for part, rows in found.items()} == {
        "subscriptions": 1, "invoices": 0, "checkouts": 0, "payments": 1, "grants": 1, "customers": 1,
    }  # fmt: skip
    assert found["payments"] == [
        {"kind": "payment", "currency": "usd", "amount": 1200, "occurred_at": "2026-09-21T14:13:20+00:00"}
    ]
    assert (found["customers"][0]["stripe_id"], found["customers"][0]["card_last4"]) == (f"cus_{ada.id}", "4242")
    assert found["grants"][0]["reason"] == f"for {ada.id}"
