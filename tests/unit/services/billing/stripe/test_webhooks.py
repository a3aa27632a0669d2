"""Webhooks: signatures and attempts to forge one, and the outcome of a delivery or a replay."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

import pytest
import stripe
from flask import Flask
from pydantic import SecretStr

from church.models import Customer, Job, LedgerEntry, Mail, StripeEvent, Subscription, UnmatchedPayment, User
from church.services.billing.errors import PaymentsOffError, StripeDownError, StripeRefusedError
from church.services.billing.presenters import read_membership_status
from church.services.billing.stripe.webhooks import (
    Outcome,
    SignatureError,
    check_signature,
    process_webhook,
    replay,
)
from church.services.billing.unmatched_payments import load_customer
from tests.support.billing_rows import add_event, stored
from tests.support.helpers import with_settings
from tests.support.stripe_fixture import SECRET, FakeStripe, Obj, make_event, sign_delivery

NOW = 1_800_000_000
BODY = b'{"id": "evt_1",  "object": "event", "name": "\xc3\xa9"}'
PRESENT, FORMER, OTHER = "whsec_present", "whsec_former", "whsec_other"


def sign(body: bytes = BODY, secret: str = PRESENT, at: int = NOW, scheme: str = "v1") -> str:
    mac = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},{scheme}={mac}"


def mac(secret: str) -> str:
    return sign(secret=secret).partition("v1=")[2]


def refused(header: str | None, body: bytes = BODY, secrets: tuple[str, ...] = (PRESENT,), now: float = NOW) -> str:
    with pytest.raises(SignatureError) as error:
        check_signature(body, header, secrets, now)
    return str(error.value)


def test_signature_by_the_sdk_is_valid() -> None:
    header = stripe.WebhookSignature.generate_signature_header(BODY.decode(), PRESENT, NOW)
    check_signature(BODY, header, (PRESENT,), NOW)


@pytest.mark.parametrize("seconds", [-299, -300, 0, 299, 300])
def test_signature_within_the_tolerance_is_valid(seconds: int) -> None:
    check_signature(BODY, sign(), (PRESENT,), NOW + seconds)


@pytest.mark.parametrize("seconds", [301, -301, 86400, -86400])
def test_signature_outside_the_tolerance_is_stale(seconds: int) -> None:
    assert refused(sign(), now=NOW + seconds) == "stale"


@pytest.mark.parametrize("place", [0, 10, len(BODY) - 1])
def test_signature_of_a_body_changed_by_a_byte_is_wrong(place: int) -> None:
    changed = bytearray(BODY)
    changed[place] ^= 1
    assert refused(sign(), bytes(changed)) == "wrong"


def test_signature_of_a_reserialized_body_is_wrong() -> None:
    assert refused(sign(), json.dumps(json.loads(BODY)).encode()) == "wrong"


def test_signature_of_another_secret_is_wrong() -> None:
    assert refused(sign(secret=OTHER)) == "wrong"
    assert refused(sign(secret=OTHER), secrets=(PRESENT, FORMER)) == "wrong"
    assert refused(sign(), secrets=()) == "wrong"


def test_signature_with_a_changed_timestamp_is_wrong() -> None:
    assert refused(f"t={NOW + 1},v1={mac(PRESENT)}") == "wrong"


def test_signature_of_the_old_scheme_alone_is_wrong() -> None:
    assert refused(sign(scheme="v0")) == "wrong"
    assert refused(f"t={NOW}") == "wrong"


@pytest.mark.parametrize("secret", [PRESENT, FORMER])
def test_signature_during_a_rotation_is_valid_with_either_secret(secret: str) -> None:
    check_signature(BODY, sign(secret=secret), (PRESENT, FORMER), NOW)


@pytest.mark.parametrize("order", [(PRESENT, OTHER), (OTHER, PRESENT)])
def test_signature_with_two_values_is_valid_by_either(order: tuple[str, str]) -> None:
    header = f"t={NOW},v1={mac(order[0])},v1={mac(order[1])},v0=deadbeef"
    check_signature(BODY, header, (PRESENT,), NOW)


@pytest.mark.parametrize("header", [None, ""])
def test_signature_absent_is_missing(header: str | None) -> None:
    assert refused(header) == "missing"


@pytest.mark.parametrize(
    "header",
    [
        "nonsense",
        "v1=" + "0" * 64,
        "t=,v1=0",
        f"t=-{NOW},v1=0",
        "t=1e9,v1=0",
        "t=99999999999999999999,v1=0",
        "t=\u0661\u0662,v1=0",
        f"t={NOW},t={NOW},v1=0",
        "=,=,=",
        "," * 5000,
    ],
)
def test_signature_without_one_timestamp_is_malformed(header: str) -> None:
    assert refused(header) == "malformed"


def test_signature_not_ascii_is_wrong() -> None:
    assert refused(f"t={NOW},v1=\u00e9\udcff") == "wrong"


# -- deliveries -----------------------------------------------------------------------------------------------------


@pytest.fixture
def fake(at_work: Flask, stripe_objects: FakeStripe) -> FakeStripe:
    """The in-memory Stripe of a site with a secret for webhooks."""
    at_work.config["CHURCH"] = with_settings(at_work.config["CHURCH"], stripe_webhook_secret=SecretStr(SECRET))
    return stripe_objects


def deliver(body: Obj | bytes, **how: Any) -> Outcome:
    return process_webhook(*sign_delivery(body, **how))


def stripe_is_down(_method: str) -> None:
    raise StripeDownError


def test_delivery_is_processed_once_and_then_a_duplicate(fake: FakeStripe, ada: User) -> None:
    """Stripe sends an event again until it gets a 2xx."""
    invoice = fake.invoice(fake.subscription(fake.customer(ada.ref)), paid=1200)
    event = make_event("invoice.paid", invoice)
    assert deliver(event) == Outcome("processed")
    assert deliver(event) == Outcome("duplicate")
    assert [row.amount for row in stored(LedgerEntry)] == [1200]
    assert [(row.state, row.attempts) for row in stored(StripeEvent)] == [("processed", 1)]


@pytest.mark.parametrize(
    ("how", "reason"), [({"secret": "whsec_of_another"}, "wrong"), ({"age": 301}, "stale"), ({"age": -400}, "stale")]
)
def test_delivery_with_an_invalid_signature_stores_nothing(
    fake: FakeStripe, ada: User, how: dict[str, Any], reason: str
) -> None:
    """The body is not even parsed."""
    event = make_event("customer.subscription.created", fake.subscription(fake.customer(ada.ref)))
    assert deliver(event, **how) == Outcome("invalid_signature", 400, reason)
    assert (stored(StripeEvent), fake.calls) == ([], [])


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        (b"[1]", Outcome("ignored", 400, "no JSON object")),
        (b'{"type": "invoice.paid"}', Outcome("ignored", 200, "without id")),
        (b'{"id": "evt_1"}', Outcome("ignored", 200, "without type")),
    ],
)
def test_delivery_that_is_no_event_is_ignored(fake: FakeStripe, body: bytes, outcome: Outcome) -> None:
    """There is nothing to store it under."""
    assert deliver(body) == outcome
    assert stored(StripeEvent) == []


def test_delivery_about_something_else_is_ignored_and_stored_as_an_outline(fake: FakeStripe) -> None:
    """It may name people who are not members."""
    fake.product("prod_book")
    fake.price("price_book", "prod_book", 900)
    other = fake.subscription(fake.customer(None), "price_book", customer_email="ann@example.org")
    outcome = deliver(make_event("customer.subscription.created", other))
    assert outcome == Outcome("ignored", 200, "a subscription to something else")
    [row] = stored(StripeEvent)
    assert (row.state, row.reason) == ("ignored", "a subscription to something else")
    assert "ann@example.org" not in str(row.payload)
    assert stored(UnmatchedPayment) == []


def test_delivery_about_a_payer_who_is_no_member_is_listed(fake: FakeStripe) -> None:
    """The event names the page; its payload goes, and the address is in no log line."""
    subscription = fake.subscription(fake.customer(None, email="ann@example.org"), customer_email="ann@example.org")
    outcome = deliver(make_event("customer.subscription.created", subscription))
    assert outcome == Outcome("ignored", 200, "a payment without a member: see /admin/membership/unmatched")
    assert "ann@example.org" not in str(stored(StripeEvent)[0].payload)
    [row] = stored(UnmatchedPayment)
    assert (row.email, row.plan, row.amount, row.status) == ("ann@example.org", "patron", 1200, "active")
    fake.objects[subscription["customer"]]["email"] = "Ann@example.net"
    assert deliver(make_event("customer.updated", fake.objects[subscription["customer"]])).status == "ignored"
    assert [row.email_key for row in stored(UnmatchedPayment)] == ["ann@example.net"]


def test_delivery_about_a_payer_with_a_confirmed_address_opens_premium(fake: FakeStripe, ada: User) -> None:
    """By payment link: nothing of ours is in it. The payment of the same moment is booked too."""
    subscription = fake.subscription(fake.customer(None, email=ada.email))
    invoice = fake.invoice(subscription, paid=1200)
    session = fake.session(subscription, payment_link="plink_1")
    assert deliver(make_event("checkout.session.completed", session)) == Outcome("processed")
    assert deliver(make_event("invoice.paid", invoice)) == Outcome("processed")
    assert [(row.user_id, row.status) for row in stored(Subscription)] == [(ada.id, "active")]
    assert [row.user_id for row in stored(LedgerEntry)] == [ada.id]
    status = read_membership_status(ada.id)
    assert (status.premium, status.plan_name, status.has_portal) == (True, "Patron", True)


def test_delivery_that_names_the_member_takes_the_payment_off_the_list(fake: FakeStripe, ada: User) -> None:
    """Such as after someone wrote the member's ref to the customer at Stripe. A job loads what was paid before."""
    customer = fake.customer(None, email="ann@example.org")
    deliver(make_event("customer.subscription.created", fake.subscription(customer)))
    customer["metadata"] = {"church_user": ada.ref}
    assert deliver(make_event("customer.updated", customer)) == Outcome("processed")
    assert (stored(UnmatchedPayment), stored(Subscription)) == ([], [])
    [job] = [job for job in stored(Job) if job.kind == "billing.load_customer"]
    load_customer(job.payload)
    assert [row.user_id for row in stored(Subscription)] == [ada.id]


# -- deleted customers ------------------------------------------------------------------------------------------------


def delete_customer(fake: FakeStripe, customer: Obj) -> Obj:
    """Delete a customer as Stripe does, and return the event about it."""
    event = make_event("customer.deleted", customer)
    fake.objects[customer["id"]] = {"id": customer["id"], "object": "customer", "deleted": True}
    return event


@pytest.mark.parametrize("state", ["canceled", "active", "missing"])
def test_customer_deleted_leaves_the_member_without_customer_and_subscription(
    fake: FakeStripe, ada: User, state: str
) -> None:
    """Whatever Stripe still has of the subscription. The event's own object is the last that names the member."""
    customer = fake.customer(ada.ref)
    subscription = fake.subscription(customer)
    deliver(make_event("customer.subscription.created", subscription))
    event = delete_customer(fake, customer)
    subscription["status"] = state
    if state == "missing":
        del fake.objects[subscription["id"]]
    assert deliver(event) == Outcome("processed")
    [row] = stored(Customer)
    assert (row.deleted_at is None, row.card_last4) == (False, None)
    assert [one.status for one in stored(Subscription)] == ["canceled"]
    assert [mail.template for mail in stored(Mail)].count("membership_ended") == 1
    assert deliver(make_event("customer.subscription.deleted", subscription)).http == 200
    assert [mail.template for mail in stored(Mail)].count("membership_ended") == 1


def test_customer_deleted_that_was_never_stored_is_processed(fake: FakeStripe, ada: User) -> None:
    """The customer's own event came after the deletion, when Stripe no longer tells whose it was."""
    customer = fake.customer(ada.ref)
    event = delete_customer(fake, customer)
    assert deliver(make_event("customer.updated", customer)).status == "ignored"
    assert deliver(event) == Outcome("processed")
    assert [row.deleted_at is None for row in stored(Customer)] == [False]


def test_customer_deleted_of_no_member_ends_its_payments(fake: FakeStripe) -> None:
    customer = fake.customer(None, email="ann@example.org")
    deliver(make_event("customer.subscription.created", fake.subscription(customer)))
    assert deliver(delete_customer(fake, customer)) == Outcome("ignored", 200, "a customer of something else")
    assert [(row.status, row.ended_at is None) for row in stored(UnmatchedPayment)] == [("canceled", False)]
    assert deliver(make_event("customer.updated", customer)).status == "ignored"


def test_customer_that_stripe_gives_only_without_its_card_is_taken_so(fake: FakeStripe, ada: User) -> None:
    """An expansion that Stripe refuses is no reason to fail for days."""
    refused: list[str] = []

    def refuse_once(method: str) -> None:
        if method == "customers.retrieve" and not refused:
            refused.append(method)
            raise StripeRefusedError("parameter_invalid", "expand", 400)

    fake.before = refuse_once
    assert deliver(make_event("customer.updated", fake.customer(ada.ref))) == Outcome("processed")
    assert (refused, len(stored(Customer))) == (["customers.retrieve"], 1)


def test_delivery_while_stripe_is_down_fails_and_the_next_one_succeeds(fake: FakeStripe, ada: User) -> None:
    """The reason is stored for admins, until the event is processed."""
    event = make_event("customer.subscription.created", fake.subscription(fake.customer(ada.ref)))
    fake.before = stripe_is_down
    assert deliver(event) == Outcome("failed", 503, "Stripe does not answer")
    assert [(row.state, row.reason) for row in stored(StripeEvent)] == [("failed", "Stripe does not answer")]
    fake.before = lambda _method: None
    assert deliver(event) == Outcome("processed")
    assert [(row.state, row.reason, row.attempts) for row in stored(StripeEvent)] == [("processed", None, 2)]
    assert len(stored(Subscription)) == 1


def test_delivery_that_meets_a_bug_names_its_kind_only(fake: FakeStripe, ada: User) -> None:
    """The details are in the log; the answer makes Stripe send the event again."""

    def broken(_method: str) -> None:
        raise KeyError("ann@example.org")

    event = make_event("customer.subscription.created", fake.subscription(fake.customer(ada.ref)))
    fake.before = broken
    assert deliver(event) == Outcome("failed", 500, "unexpected: KeyError; see the log")


def test_replay_processes_a_stored_event_again(at_work: Flask, fake: FakeStripe, ada: User) -> None:
    """What is processed already changes nothing; without payments, and without an event, there is no replay."""
    subscription = fake.subscription(fake.customer(ada.ref))
    deliver(make_event("customer.subscription.created", subscription))
    [row] = stored(StripeEvent)
    assert replay(row.id) == Outcome("processed")
    assert len(stored(Subscription)) == 1
    odd = add_event("evt_odd", "payout.paid", "po_1", state="ignored")
    assert replay(odd.id) == Outcome("ignored", 200, "a type that this site does not handle")
    with pytest.raises(LookupError):
        replay(odd.id + 1)
    at_work.config["CHURCH"] = with_settings(at_work.config["CHURCH"], environment="production")
    with pytest.raises(PaymentsOffError):
        replay(row.id)
