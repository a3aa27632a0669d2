"""Payments whose payer is no member: kept, matched with a confirmed address, assigned, dismissed, removed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, update

from church.errors import ConflictError, FieldErrors
from church.extensions import db
from church.models import AuditEntry, Customer, Job, LedgerEntry, Mail, Subscription, UnmatchedPayment, User
from church.models.base import utc_now
from church.services import accounts, billing
from church.services.audit import Actor
from church.services.billing import PaymentState, unmatched_payments
from church.services.billing.errors import StripeDownError
from church.services.billing.membership import find_customer
from church.services.billing.stripe.owners import UnmatchedPayer
from church.services.billing.unmatched_payments import UnknownPaymentError
from tests.support.accounts_fixture import DEVICE, mailed_token, signed_in
from tests.support.billing_rows import add_customer, add_subscription, stored
from tests.support.helpers import captured_log
from tests.support.people import PASSWORD, add_user
from tests.support.stripe_fixture import FakeStripe, Obj

EMAIL = "ann@church.example"
BOSS = Actor(via="cli")


def keep(subscription: Obj, email: str | None = EMAIL) -> None:
    """Let the site hear of a subscription whose payer it does not know."""
    payer = UnmatchedPayer(subscription["customer"], email, _expanded(subscription), "patron", None)
    with db.write() as session:
        unmatched_payments.keep_payment(session, payer, utc_now())


def _expanded(subscription: Obj) -> Obj:
    price = {"id": "price_month", "unit_amount": 1200, "currency": "usd", "product": "prod_patron"}
    recurring = {"recurring": {"interval": "month", "interval_count": 1}}
    item = {**subscription["items"]["data"][0], "price": {**price, **recurring}}
    return {**subscription, "items": {"object": "list", "data": [item]}}


@pytest.fixture
def paid(stripe_objects: FakeStripe) -> Obj:
    """A subscription by payment link, for two months, of someone who is no member."""
    subscription = stripe_objects.subscription(stripe_objects.customer(None, email=EMAIL))
    for _ in range(2):
        stripe_objects.invoice(subscription, paid=1200)
    keep(subscription)
    return subscription


def work() -> None:
    """Run the jobs that load customers."""
    for job in stored(Job):
        if job.kind == "billing.load_customer":
            unmatched_payments.load_customer(job.payload)


def owners() -> list[int]:
    return [row.user_id for row in stored(Subscription)]


def audited() -> list[tuple[str, str, int | None]]:
    return [(row.action, row.via, row.subject_id) for row in stored(AuditEntry) if row.action.startswith("payment.")]


# -- kept -------------------------------------------------------------------------------------------------------------


def test_payment_is_kept_once_and_follows_its_subscription(paid: Obj) -> None:
    """Until it ends; it does not come back after that."""
    [view] = billing.list_unmatched()
    assert (view.email, view.plan, view.price, view.interval, view.state) == (
        EMAIL, "patron", "$12.00", "month", PaymentState.OPEN,
    )  # fmt: skip
    paid["status"] = "past_due"
    keep(paid, "Ann@Church.example")
    assert [(row.status, row.email_key) for row in stored(UnmatchedPayment)] == [("past_due", EMAIL)]
    paid["status"] = "canceled"
    keep(paid)
    ended = stored(UnmatchedPayment)[0].ended_at
    keep(paid)
    assert (ended is None, stored(UnmatchedPayment)[0].ended_at) == (False, ended)
    assert billing.count_unmatched() == {PaymentState.OPEN: 0, PaymentState.DISMISSED: 0, PaymentState.ENDED: 1}


@pytest.mark.parametrize("status", ["incomplete", "incomplete_expired", "canceled"])
def test_payment_that_was_never_made_or_ended_before_is_not_kept(stripe_objects: FakeStripe, status: str) -> None:
    """A declined card at a payment link is no payment; a stranger could fill the list with it."""
    keep(stripe_objects.subscription(stripe_objects.customer(None), status=status))
    assert stored(UnmatchedPayment) == []


@pytest.mark.parametrize("email", [None, "", "no address", "x" * 300])
def test_payment_without_a_valid_address_is_kept_for_an_admin(stripe_objects: FakeStripe, email: str | None) -> None:
    keep(stripe_objects.subscription(stripe_objects.customer(None)), email)
    assert [(row.email or None, row.email_key) for row in stored(UnmatchedPayment)] == [(email or None, None)]


def test_payment_ended_long_ago_is_removed(at_work: Flask, paid: Obj, stripe_objects: FakeStripe) -> None:
    """A living one stays, dismissed or not: it would come back with its next event."""
    other = stripe_objects.subscription(stripe_objects.customer(None))
    keep(other, None)
    long_ago = utc_now() - unmatched_payments.KEEP_ENDED - timedelta(days=1)
    with db.write() as session:
        session.execute(update(UnmatchedPayment).values(dismissed_at=long_ago))
        ended = update(UnmatchedPayment).where(UnmatchedPayment.stripe_subscription == paid["id"])
        session.execute(ended.values(ended_at=long_ago))
    unmatched_payments.tidy_payments({})
    assert [row.stripe_subscription for row in stored(UnmatchedPayment)] == [other["id"]]


# -- matched ----------------------------------------------------------------------------------------------------------


def test_account_that_confirms_the_address_later_gets_the_payment(at_work: Flask, paid: Obj) -> None:
    """With all that was paid before, and an email, because it is news to them. No log line has the address."""
    accounts.register("Ann@Church.example", PASSWORD, "Ann", DEVICE)
    assert (stored(Customer), len(stored(UnmatchedPayment))) == ([], 1)
    user = stored(User)[0]
    with captured_log() as log:
        accounts.verify_address(mailed_token("verify", "Ann@church.example"), Actor(user.id))
        work()
    assert owners() == [user.id]
    assert [(row.user_id, row.amount) for row in stored(LedgerEntry)] == [(user.id, 1200)] * 2
    assert [row.card_last4 for row in stored(Customer)] == ["4242"]
    assert stored(UnmatchedPayment) == []
    assert audited() == [("payment.matched", "site", user.id)]
    assert [mail.template for mail in stored(Mail)] == ["verify", "welcome"]
    assert any(record["event"] == "stripe.payment_matched" for record in log.records)
    assert EMAIL not in str(log.records).lower()
    assert billing.read_membership_status(user.id).premium


def test_account_that_changes_to_the_address_gets_the_payment(at_work: Flask, paid: Obj) -> None:
    """Dismissed or not: its owner has shown whose it is."""
    billing.dismiss_payment(billing.list_unmatched()[0].id, BOSS)
    user = add_user(at_work, "former@church.example")
    member = signed_in(str(user.email), PASSWORD)
    accounts.request_email_change(member, PASSWORD, EMAIL, DEVICE)
    accounts.confirm_email(mailed_token("change_email", EMAIL), DEVICE)
    work()
    assert owners() == [user.id]


def test_account_that_confirms_by_a_new_password_gets_the_payment(at_work: Flask, paid: Obj) -> None:
    user = add_user(at_work, EMAIL, verified=False)
    accounts.send_reset(user.ref, BOSS)
    accounts.reset_password(mailed_token("reset", EMAIL), "a lighthouse keeps two logs", DEVICE)
    work()
    assert owners() == [user.id]


def test_account_that_confirms_another_address_gets_nothing(at_work: Flask, paid: Obj) -> None:
    accounts.register("eve@church.example", PASSWORD, "Eve", DEVICE)
    accounts.verify_address(mailed_token("verify", "eve@church.example"), Actor())
    assert (stored(Customer), len(stored(UnmatchedPayment))) == ([], 1)


def test_account_with_a_key_of_an_earlier_release_gets_no_payment_of_another_inbox(
    at_work: Flask, stripe_objects: FakeStripe
) -> None:
    """An earlier release folded both addresses to one key, which an account keeps whose own key is taken."""
    user = add_user(at_work, "ann@stra\u00dfe.example", email_key="ann@strasse.example", password_hash="x")
    keep(stripe_objects.subscription(stripe_objects.customer(None)), "ann@strasse.example")
    unmatched_payments.tidy_payments({})
    with db.write() as session:
        unmatched_payments.match_confirmed(session, user)
    assert (stored(Customer), len(stored(UnmatchedPayment))) == ([], 1)
    keep(stripe_objects.subscription(stripe_objects.customer(None)), "Ann@xn--strae-oqa.example")
    assert [row.user_id for row in stored(Customer)] == [user.id]


def test_account_that_confirmed_at_the_same_moment_gets_the_payment(at_work: Flask, stripe_objects: FakeStripe) -> None:
    """Between the look-up and the list: the list looks once more, and so does the nightly job."""
    user = add_user(at_work, EMAIL, password_hash="x")
    first = stripe_objects.subscription(stripe_objects.customer(None, email=EMAIL))
    keep(first)
    work()
    assert owners() == [user.id]
    with db.write() as session:
        session.execute(update(User).values(verified_at=None))
    keep(stripe_objects.subscription(stripe_objects.customer(None, email=EMAIL)))
    assert len(stored(UnmatchedPayment)) == 1
    with db.write() as session:
        session.execute(update(User).values(verified_at=utc_now()))
    unmatched_payments.tidy_payments({})
    work()
    assert owners() == [user.id, user.id]


def test_member_with_a_customer_already_keeps_both(at_work: Flask, stripe_objects: FakeStripe, paid: Obj) -> None:
    """Both subscriptions are theirs. The portal opens the customer that has a living one."""
    user = add_user(at_work, "former@church.example")
    own = add_customer(user.id)
    add_subscription(own)
    billing.assign_payment(billing.list_unmatched()[0].id, user.ref, BOSS)
    assert owners() == [user.id, user.id]
    assert billing.count_living_subscriptions(user.ref) == 2
    assert billing.count_living_subscriptions("nobody") == 0
    newest = stored(Customer)[-1]
    assert _portal_customer(user.id) == newest.id
    with db.write() as session:
        ended = update(Subscription).where(Subscription.customer_id == newest.id)
        session.execute(ended.values(status="canceled"))
    assert _portal_customer(user.id) == own.id


def _portal_customer(user_id: int) -> int:
    with db.read() as session:
        found = find_customer(session, user_id)
    assert found is not None
    return found.id


def test_customer_that_turns_out_to_be_a_members_leaves_the_list(
    at_work: Flask, stripe_objects: FakeStripe, paid: Obj
) -> None:
    """Such as by metadata that someone added at Stripe."""
    user = add_user(at_work, password_hash="x")
    add_customer(user.id, paid["customer"])
    with db.write() as session:
        unmatched_payments.settle_customer(session, paid["customer"])
        unmatched_payments.settle_customer(session, "cus_unknown")
    assert stored(UnmatchedPayment) == []
    work()
    assert owners() == [user.id]


def test_payment_of_an_account_deleted_meanwhile_is_cancelled(at_work: Flask, paid: Obj) -> None:
    user = add_user(at_work, password_hash="x")
    add_customer(user.id, paid["customer"])
    with db.write() as session:
        gone: dict[str, Any] = {"email": None, "email_key": None, "password_hash": None, "deleted_at": utc_now()}
        session.execute(update(User).where(User.id == user.id).values(**gone))
        unmatched_payments.settle_customer(session, paid["customer"])
    work()
    assert [job.kind for job in stored(Job)].count("billing.cancel") == 1


# -- admins -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("named", ["address", "ref"])
def test_payment_is_assigned_to_a_member_and_loaded_at_once(at_work: Flask, paid: Obj, named: str) -> None:
    """By the member's own address or ref, whatever the payer's is."""
    user = add_user(at_work, password_hash="x")
    member = f" {str(user.email).upper()} " if named == "address" else f" {user.ref} "
    assert billing.assign_payment(billing.list_unmatched()[0].id, member, BOSS) == user.ref
    assert owners() == [user.id]
    assert audited() == [("payment.assigned", "cli", user.id)]
    assert stored(UnmatchedPayment) == []
    assert next((job.kind, job.state) for job in stored(Job)) == ("billing.load_customer", "done")
    with db.read() as session:
        detail = session.scalars(select(AuditEntry.detail)).one()
    assert detail == {"customer": paid["customer"], "plan": "patron"}


def test_payment_assigned_while_stripe_is_down_is_loaded_later(
    at_work: Flask, stripe_objects: FakeStripe, paid: Obj
) -> None:
    """It is the member's already, so its next event finds them."""
    user = add_user(at_work, password_hash="x")

    def down(_method: str) -> None:
        raise StripeDownError

    stripe_objects.before = down
    billing.assign_payment(billing.list_unmatched()[0].id, user.ref, BOSS)
    assert (owners(), [row.user_id for row in stored(Customer)]) == ([], [user.id])
    assert [(job.kind, job.state) for job in stored(Job)] == [("billing.load_customer", "pending")]
    stripe_objects.before = lambda _method: None
    work()
    assert owners() == [user.id]


def test_payment_assigned_with_many_invoices_opens_premium_and_leaves_the_rest_to_the_job(
    at_work: Flask, paid: Obj, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Years of invoices take longer than an admin waits."""
    user = add_user(at_work, password_hash="x")
    monkeypatch.setattr(unmatched_payments, "_PATIENCE", 0.0)
    billing.assign_payment(billing.list_unmatched()[0].id, user.ref, BOSS)
    assert (owners(), stored(LedgerEntry)) == ([user.id], [])
    assert ("billing.load_customer", "pending") in [(job.kind, job.state) for job in stored(Job)]
    work()
    assert len(stored(LedgerEntry)) == 2


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "No account has this"),
        ({"verified_at": None}, "has not confirmed"),
        ({"deleted_at": utc_now(), "email": None, "email_key": None, "password_hash": None}, "No account has this"),
    ],
)
def test_payment_is_not_assigned_to_an_unconfirmed_or_missing_account(
    at_work: Flask, paid: Obj, changes: dict[str, Any], words: str
) -> None:
    ref = "nobody"
    if changes:
        ref = add_user(at_work, password_hash="x").ref
        with db.write() as session:
            session.execute(update(User).values(**changes))
    with pytest.raises(FieldErrors) as error:
        billing.assign_payment(billing.list_unmatched()[0].id, ref, BOSS)
    assert error.value.errors["member"].startswith(words) or words in error.value.errors["member"]
    assert (len(stored(UnmatchedPayment)), audited()) == (1, [])


def test_payment_dismissed_no_longer_waits(at_work: Flask, paid: Obj) -> None:
    """Its next event does not bring it back; a new subscription of the same payer is another."""
    [view] = billing.list_unmatched(state=PaymentState.OPEN)
    billing.dismiss_payment(view.id, BOSS)
    keep(paid)
    assert billing.list_unmatched(state=PaymentState.OPEN) == []
    assert [one.state for one in billing.list_unmatched(state=PaymentState.DISMISSED)] == [PaymentState.DISMISSED]
    assert audited() == [("payment.dismissed", "cli", None)]
    with db.read() as session:
        assert unmatched_payments.count_open_unmatched(session) == 0
    with pytest.raises(ConflictError):
        billing.dismiss_payment(view.id, BOSS)
    with pytest.raises(UnknownPaymentError):
        billing.dismiss_payment(view.id + 1, BOSS)
