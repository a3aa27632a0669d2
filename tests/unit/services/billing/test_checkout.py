"""Starting a checkout: one at a time, for members without a subscription, and what the till then has."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import update

from church.errors import FieldErrors
from church.extensions import db
from church.models import Checkout, Customer, Price
from church.models.base import utc_now
from church.models.billing import CheckoutState
from church.services import billing
from church.services.billing import checkout, errors
from church.services.billing.checkout import KEY_LIFETIME, OtherCheckoutError
from church.services.billing.errors import StripeDownError, StripeRefusedError
from tests.support.helpers import with_settings
from tests.support.membership_fixture import FRIEND, PATRON, Membership

pytestmark = pytest.mark.sqlite_alone


def test_checkout_names_the_member_and_returns_to_the_site(membership: Membership) -> None:
    user = membership.add()
    session = membership.start(membership.as_signed_in(user))
    found = membership.till.stripe.v1.checkout.sessions.retrieve(session).to_dict(for_json=True)
    row = membership.one(Checkout)
    assert (row.stripe_session, row.stripe_price, row.state) == (session, FRIEND, "open")
    assert found["client_reference_id"] == user.ref
    assert found["metadata"] == {"church_user": user.ref, "church_checkout": row.ref}
    assert found["customer_email"] == user.email
    assert found["allow_promotion_codes"] is True
    origin = membership.settings.origin
    assert found["success_url"] == f"{origin}/stripe/success?session_id={{CHECKOUT_SESSION_ID}}"
    assert found["cancel_url"] == f"{origin}/stripe/cancel"


@pytest.mark.parametrize(
    ("email", "sent"),
    [("ada@bücher.example", {"customer_email": "ada@xn--bcher-kva.example"}), ("jörg@church.example", {})],
)
def test_checkout_address_outside_ascii_is_sent_in_ascii_or_left_out(
    membership: Membership, email: str, sent: dict[str, str]
) -> None:
    member = replace(membership.as_signed_in(membership.add()), email=email)
    found = membership.till.stripe.v1.checkout.sessions.retrieve(membership.start(member)).to_dict(for_json=True)
    assert {name: value for name, value in found.items() if name == "customer_email" and value} == sent


def test_paid_checkout_gives_premium_only_after_the_webhook(membership: Membership) -> None:
    user = membership.add()
    session = membership.start(membership.as_signed_in(user))
    membership.pay(session)
    assert membership.one(Checkout).state == "open"
    assert not membership.as_signed_in(user).premium
    assert {answer.status_code for answer in membership.tell()} == {200}
    assert membership.one(Checkout).state == "completed"
    assert membership.as_signed_in(user).premium


@pytest.mark.both_databases
def test_second_checkout_for_the_same_price_continues_the_first(membership: Membership) -> None:
    member = membership.as_signed_in(membership.add())
    assert membership.start(member) == membership.start(member)
    assert membership.calls.count("checkout.sessions.create") == 1


def test_checkout_for_another_price_closes_the_first(membership: Membership) -> None:
    member = membership.as_signed_in(membership.add())
    first = membership.start(member)
    second = membership.start(member, PATRON)
    retrieve = membership.till.stripe.v1.checkout.sessions.retrieve
    assert (retrieve(first).status, retrieve(second).status) == ("expired", "open")
    assert [(row.stripe_session, row.state) for row in membership.rows(Checkout)] == [
        (first, "expired"), (second, "open"),
    ]  # fmt: skip


@pytest.mark.both_databases
def test_parallel_checkouts_share_one_session(membership: Membership) -> None:
    member = membership.as_signed_in(membership.add())
    gate = threading.Barrier(6)

    def start(_number: int) -> str:
        gate.wait(30)
        return membership.start(member)

    with ThreadPoolExecutor(6) as pool:
        assert len(set(pool.map(start, range(6)))) == 1
    assert len(membership.rows(Checkout)) == 1
    assert len(list(membership.till.stripe.v1.checkout.sessions.list().auto_paging_iter())) == 1


def test_checkout_expired_at_stripe_is_replaced(membership: Membership) -> None:
    member = membership.as_signed_in(membership.add())
    first = membership.start(member)
    membership.till.stripe.v1.checkout.sessions.expire(first)
    assert membership.start(member) != first
    assert [row.state for row in membership.rows(Checkout)] == ["expired", "open"]


@pytest.mark.parametrize("price", [FRIEND, PATRON])
def test_checkout_just_paid_is_not_started_again(membership: Membership, price: str) -> None:
    member = membership.as_signed_in(membership.add())
    session = membership.start(member)
    membership.pay(session)
    with pytest.raises(billing.PaidAlreadyError) as raised:
        membership.start(member, price)
    assert raised.value.session == session


def test_checkout_with_a_slow_payment_is_not_started_again(membership: Membership) -> None:
    member = membership.as_signed_in(membership.add())
    session = membership.start(member)
    with membership.app.app_context(), db.write() as database:
        database.execute(update(Checkout).values(state=CheckoutState.PENDING.value))
    with pytest.raises(billing.PaidAlreadyError) as raised:
        membership.start(member)
    assert raised.value.session == session
    with membership.app.app_context(), db.write() as database:
        database.execute(update(Checkout).values(created_at=utc_now() - timedelta(days=15)))
    assert membership.start(member) != session


def unpaid(intent: str | None = None, invoice: str = "open", subscription: str = "incomplete", **session: Any) -> Any:
    """Stripe's answers about a session with a slow payment, by method."""
    payments = [{"payment": {"payment_intent": {"status": intent}}}] if intent else []
    words = {"status": "complete", "payment_status": "unpaid", "invoice": "in_1"}
    return {
        "checkout.sessions.retrieve": {**words, "subscription": {"id": "sub_1", "status": subscription}, **session},
        "invoices.retrieve": {"id": "in_1", "status": invoice, "payments": {"data": payments}},
    }


@pytest.mark.both_databases
@pytest.mark.parametrize(
    ("answers", "over"),
    [
        (unpaid("processing"), False),
        (unpaid(), False),
        (unpaid(payment_status="no_payment_required"), False),
        (unpaid("requires_payment_method", payment_status="paid"), False),
        (unpaid("requires_payment_method"), True),
        (unpaid("canceled"), True),
        (unpaid("processing", invoice="void"), True),
        (unpaid("processing", subscription="incomplete_expired"), True),
        (unpaid(status="expired"), True),
        ({}, True),
    ],
)
def test_slow_payment_failed_without_a_webhook_allows_a_new_checkout(
    membership: Membership, monkeypatch: pytest.MonkeyPatch, answers: dict[str, Any], over: bool
) -> None:
    member = membership.as_signed_in(membership.add())
    session = membership.start(member)
    with membership.app.app_context(), db.write() as database:
        database.execute(update(Checkout).values(state=CheckoutState.PENDING.value))
    real = membership.gateway.call

    def call(method: str, *ids: str, key: str | None = None, **params: Any) -> Any:
        if method.endswith(".create"):
            return real(method, *ids, key=key, **params)
        if method not in answers:
            raise StripeRefusedError("resource_missing", "id", 404)
        return answers[method]

    monkeypatch.setattr(membership.gateway, "call", call)
    if over:
        assert membership.start(member) != session
        assert [row.state for row in membership.rows(Checkout)] == ["failed", "open"]
    else:
        with pytest.raises(billing.PaidAlreadyError):
            membership.start(member)
        assert membership.one(Checkout).state == "pending"


@pytest.mark.both_databases
def test_member_with_a_subscription_cannot_start_another_until_it_ends(membership: Membership) -> None:
    user = membership.add()
    member = membership.subscribed(user)
    with pytest.raises(billing.MemberAlreadyError):
        membership.start(member, PATRON)
    subscription = membership.till.stripe.v1.subscriptions.list().data[0].id
    membership.till.stripe.v1.subscriptions.cancel(subscription)
    membership.tell()
    again = membership.till.stripe.v1.checkout.sessions.retrieve(membership.start(member))
    assert again.customer == membership.one(Customer).stripe_id


def test_trial_is_only_for_the_first_subscription(membership: Membership) -> None:
    user = membership.add()
    member = membership.subscribed(user, PATRON)
    stripe = membership.till.stripe.v1
    [subscription] = stripe.subscriptions.list().data
    assert subscription.status == "trialing"
    stripe.subscriptions.cancel(subscription.id)
    membership.tell()
    assert stripe.checkout.sessions.retrieve(membership.start(member, PATRON)).amount_total == 1200


@pytest.mark.parametrize("price", ["price_of_nothing", "", "x" * 255])
def test_price_not_for_sale_is_refused(membership: Membership, price: str) -> None:
    with pytest.raises(FieldErrors) as raised:
        membership.start(membership.as_signed_in(membership.add()), price)
    assert set(raised.value.errors) == {"price"}
    assert membership.rows(Checkout) == []


def test_price_withdrawn_is_refused(membership: Membership) -> None:
    membership.till.stripe.v1.prices.update(FRIEND, {"active": False})
    membership.tell()
    with pytest.raises(FieldErrors):
        membership.start(membership.as_signed_in(membership.add()))


@pytest.mark.parametrize("which", ["older", "week", "quarter", "euros", "fourth plan"])
def test_price_active_at_stripe_but_on_no_page_is_refused(membership: Membership, which: str) -> None:
    make: Any = membership.till.stripe.v1
    recurring: dict[str, Any] = {"interval": "week" if which == "week" else "month"}
    if which == "quarter":
        recurring["interval_count"] = 3
    product, currency = "prod_patron", "eur" if which == "euros" else "usd"
    if which == "fourth plan":
        for order in ("3", "4"):
            words = {"name": order, "metadata": {"church_plan": f"plan{order}", "church_order": order}}
            product = make.products.create(words).id
            wish = {"product": product, "currency": "usd", "unit_amount": 9000, "recurring": recurring}
            price = make.prices.create(wish).id
    else:
        wish = {"product": product, "currency": currency, "unit_amount": 1, "recurring": recurring}
        price = make.prices.create(wish).id
    if which == "older":
        make.prices.create({**wish, "unit_amount": 1500})
    membership.tell()
    assert any(row.stripe_id == price and row.active for row in membership.rows(Price))
    with pytest.raises(FieldErrors):
        membership.start(membership.as_signed_in(membership.add()), price)
    assert membership.rows(Checkout) == []


def test_customer_missing_at_stripe_is_dropped_and_checkout_continues(membership: Membership) -> None:
    user = membership.add()
    membership.put(Customer(stripe_id="cus_gone", user_id=user.id, created_at=utc_now()))
    session = membership.start(membership.as_signed_in(user))
    assert membership.till.stripe.v1.checkout.sessions.retrieve(session).customer is None
    assert membership.one(Customer).deleted_at is not None


def test_checkout_while_stripe_is_down_reuses_its_key_later(
    membership: Membership, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = membership.as_signed_in(membership.add())
    keys: list[str | None] = []
    real = membership.gateway.call

    def down(_method: str, *_ids: str, key: str | None = None, **_params: Any) -> Any:
        keys.append(key)
        raise StripeDownError

    with monkeypatch.context() as patch:
        patch.setattr(membership.gateway, "call", down)
        for _ in range(2):
            with pytest.raises(StripeDownError):
                membership.start(member)
    assert keys == [f"church-checkout-{membership.one(Checkout).ref}"] * 2
    assert membership.gateway.call is real
    assert membership.start(member)
    with membership.app.app_context(), db.write() as database:
        old = utc_now() - KEY_LIFETIME
        database.execute(update(Checkout).values(stripe_session=None, url=None, created_at=old))
    membership.start(member)
    assert [row.state for row in membership.rows(Checkout)] == ["expired", "open"]


def test_idempotency_key_used_with_another_email_is_replaced(
    membership: Membership, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = membership.as_signed_in(membership.add())
    real = membership.gateway.call

    def lost(*words: Any, **params: Any) -> Any:
        real(*words, **params)
        raise StripeDownError

    with monkeypatch.context() as patch:
        patch.setattr(membership.gateway, "call", lost)
        with pytest.raises(StripeDownError):
            membership.start(member)
    session = membership.start(replace(member, email="ada.new@church.example"))
    found = membership.till.stripe.v1.checkout.sessions.retrieve(session)
    assert found.customer_email == "ada.new@church.example"
    assert [row.state for row in membership.rows(Checkout)] == ["failed", "open"]


def test_checkout_refused_gets_a_new_key(membership: Membership, monkeypatch: pytest.MonkeyPatch) -> None:
    member = membership.as_signed_in(membership.add())
    with monkeypatch.context() as patch:
        patch.setattr(membership.gateway, "call", _refuse("email_invalid"))
        with pytest.raises(StripeRefusedError):
            membership.start(member)
    assert membership.one(Checkout).state == "failed"
    assert membership.start(member)


def test_parallel_request_waits_for_the_page_of_the_first(
    membership: Membership, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = membership.as_signed_in(membership.add())
    twin: list[str] = []

    def in_use(method: str, *ids: str, **params: Any) -> Any:
        with monkeypatch.context() as inner:
            inner.setattr(membership.gateway, "call", real)
            twin.append(membership.start(member))
        return _refuse("idempotency_key_in_use")(method, *ids, **params)

    real = membership.gateway.call
    monkeypatch.setattr(membership.gateway, "call", in_use)
    assert [membership.start(member)] == twin


def _refuse(code: str) -> Any:
    def call(*_: Any, **__: Any) -> Any:
        raise StripeRefusedError(code, None, 400)

    return call


def test_request_for_another_plan_waits_for_the_first_and_then_replaces_it(
    membership: Membership, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = membership.as_signed_in(membership.add())
    real, pool = membership.gateway.call, ThreadPoolExecutor(1)
    waits, stored = threading.Event(), threading.Event()
    other: list[Future[str]] = []

    def wait_for_the_first(_seconds: float) -> None:
        waits.set()
        stored.wait(30)

    def slow(*words: Any, **params: Any) -> Any:
        monkeypatch.setattr(membership.gateway, "call", real)
        monkeypatch.setattr(checkout, "time", SimpleNamespace(sleep=wait_for_the_first))
        made = real(*words, **params)
        other.append(pool.submit(membership.start, member, PATRON))
        assert waits.wait(30)  # the other request has found the row without a session
        return made

    monkeypatch.setattr(membership.gateway, "call", slow)
    first = membership.start(member)
    stored.set()
    second = other[0].result(30)
    retrieve = membership.till.stripe.v1.checkout.sessions.retrieve
    assert (retrieve(first).status, retrieve(second).status) == ("expired", "open")
    pool.shutdown()


def test_request_whose_row_was_closed_meanwhile_is_a_conflict(
    membership: Membership, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = membership.as_signed_in(membership.add())
    real = membership.gateway.call

    def overtaken(method: str, *words: Any, **params: Any) -> Any:
        made = real(method, *words, **params)
        if method == "checkout.sessions.create":
            checkout.close_checkout(membership.one(Checkout).id, CheckoutState.EXPIRED)
            real("checkout.sessions.expire", made["id"])
        return made

    monkeypatch.setattr(membership.gateway, "call", overtaken)
    with pytest.raises(OtherCheckoutError):
        membership.start(member)


def test_row_without_a_session_is_given_up_after_the_time_of_a_call(membership: Membership) -> None:
    member = membership.as_signed_in(membership.add())
    membership.start(member)
    with membership.app.app_context(), db.write() as database:
        old = utc_now() - timedelta(seconds=checkout._WAIT)
        database.execute(update(Checkout).values(stripe_session=None, url=None, created_at=old))
    assert membership.start(member, PATRON)
    assert [row.state for row in membership.rows(Checkout)] == ["expired", "open"]


@pytest.mark.parametrize("wished", [True, False])
def test_automatic_tax_is_requested_for_new_and_existing_customers(membership: Membership, wished: bool) -> None:
    membership.app.config["CHURCH"] = with_settings(membership.settings, automatic_tax=wished)
    retrieve = membership.till.stripe.v1.checkout.sessions.retrieve
    member = membership.as_signed_in(membership.add())
    first = membership.start(member)
    membership.pay(first)
    membership.tell()
    membership.till.stripe.v1.subscriptions.cancel(str(retrieve(first).subscription))
    membership.tell()
    for session in (first, membership.start(member)):
        assert retrieve(session).automatic_tax.enabled is wished


def test_checkout_without_payments_is_refused(membership: Membership) -> None:
    member = membership.as_signed_in(membership.add())
    real = with_settings(membership.settings, environment="production")
    membership.app.config["CHURCH"] = real
    with pytest.raises(errors.PaymentsOffError):
        membership.start(member)
    with membership.app.app_context(), pytest.raises(errors.PaymentsOffError):
        billing.open_portal(member)
