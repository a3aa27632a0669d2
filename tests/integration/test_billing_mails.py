"""Emails about a membership: one for each occasion, only while it still applies, in the own currency."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from church.config import Settings
from church.extensions import db
from church.models import Job, Mail, StripeEvent, User
from church.models.base import utc_now
from church.services import billing
from church.services.billing.errors import StripeDownError
from tests.support.stripe_fixture import Obj, SiteWithFakeStripe, make_event, utc_time

pytestmark = pytest.mark.services


@pytest.fixture
def shop(migrated_site: Settings) -> Iterator[SiteWithFakeStripe]:
    shop = SiteWithFakeStripe(migrated_site)
    yield shop
    shop.close()


def _in(days: int) -> int:
    return int((utc_now() + timedelta(days=days)).timestamp())


def _day(seconds: int, days: int = 0) -> str:
    """Format the day of a timestamp, or ``days`` after it; the clock could be at the next day by now."""
    day = utc_time(seconds) + timedelta(days=days)
    return f"{day.day} {day:%B %Y}"


def _subscriber(shop: SiteWithFakeStripe, **values: object) -> tuple[int, Obj]:
    """Add a member with an email address and a stored subscription."""
    user_id, subscription = shop.subscriber(**values)
    with shop.app.app_context(), db.write() as session:
        address = {"email": f"u{user_id}@example.org", "email_key": f"u{user_id}@example.org"}
        session.execute(update(User).where(User.id == user_id).values(verified_at=utc_now(), **address))
    shop.deliver(make_event("customer.subscription.created", subscription))
    return user_id, subscription


def _unpaid(shop: SiteWithFakeStripe, subscription: Obj, currency: str = "usd", amount: int = 1200) -> Obj:
    subscription["status"] = "past_due"
    sums = {"amount_due": amount, "amount_remaining": amount, "total": amount, "currency": currency}
    return shop.stripe.invoice(subscription, status_transitions={"finalized_at": _in(0), "paid_at": None}, **sums)


def _mails(shop: SiteWithFakeStripe) -> list[tuple[str, str, dict[str, object]]]:
    return [(mail.template, mail.recipient, mail.context) for mail in shop.rows(Mail)]


def test_failed_payment_sends_one_email_despite_retries_and_redeliveries(shop: SiteWithFakeStripe) -> None:
    user_id, subscription = _subscriber(shop)
    invoice = _unpaid(shop, subscription)
    first = make_event("invoice.payment_failed", invoice)
    for body in (first, first, make_event("invoice.payment_failed", invoice)):
        assert shop.deliver(body).http == 200
    with shop.app.app_context():
        for row in shop.rows(StripeEvent):
            assert billing.replay(row.id).status == "processed"
        billing.reconcile_with_stripe()
    until = _day(invoice["status_transitions"]["finalized_at"], shop.settings.grace_days)
    words = {"plan": "Patron", "amount": "$12.00", "until": until}
    assert _mails(shop) == [("payment_failed", f"u{user_id}@example.org", words)]
    assert [job.kind for job in shop.rows(Job)].count("mails.send") == 1


def test_replayed_event_sends_no_email(shop: SiteWithFakeStripe) -> None:
    _, subscription = _subscriber(shop)
    shop.deliver(make_event("invoice.payment_failed", _unpaid(shop, subscription)))
    with shop.app.app_context():
        assert billing.replay(shop.rows(StripeEvent)[-1].id).status == "processed"
    assert len(_mails(shop)) == 1


def test_each_failed_invoice_sends_an_email(shop: SiteWithFakeStripe) -> None:
    _, subscription = _subscriber(shop)
    for _ in range(2):
        shop.deliver(make_event("invoice.payment_failed", _unpaid(shop, subscription)))
    assert [template for template, _, _ in _mails(shop)] == ["payment_failed"] * 2


@pytest.mark.parametrize(("currency", "amount", "shown"), [("jpy", 800, "¥800"), ("kwd", 2500, "KWD 2.500")])
def test_email_amount_is_in_its_own_currency(shop: SiteWithFakeStripe, currency: str, amount: int, shown: str) -> None:
    shop.stripe.price("price_other", "prod_patron", amount, currency)
    _, subscription = _subscriber(shop, status="trialing", trial_end=_in(3))
    subscription["items"]["data"][0]["price"], subscription["currency"] = "price_other", currency
    shop.deliver(make_event("customer.subscription.trial_will_end", subscription))
    shop.deliver(make_event("invoice.payment_failed", _unpaid(shop, subscription, currency, amount)))
    trial, failed = (words for _, _, words in _mails(shop))
    assert (trial["price"], failed["amount"]) == (shown, shown)


def test_email_for_a_payment_failed_long_ago_says_premium_is_closed(shop: SiteWithFakeStripe) -> None:
    _, subscription = _subscriber(shop)
    invoice = _unpaid(shop, subscription)
    invoice["status_transitions"]["finalized_at"] = _in(-30)
    shop.deliver(make_event("invoice.payment_failed", invoice))
    assert [words["until"] for _, _, words in _mails(shop)] == [""]


def test_failed_payment_paid_meanwhile_sends_no_email(shop: SiteWithFakeStripe) -> None:
    _, subscription = _subscriber(shop)
    invoice = _unpaid(shop, subscription)
    late = make_event("invoice.payment_failed", invoice)
    invoice.update(status="paid", amount_paid=1200, amount_remaining=0)
    subscription["status"] = "active"
    shop.deliver(late)
    assert _mails(shop) == []


def test_failed_event_sends_its_email_when_processed_later(shop: SiteWithFakeStripe) -> None:
    _, subscription = _subscriber(shop)
    body = make_event("invoice.payment_failed", _unpaid(shop, subscription))

    def down(_method: str) -> None:
        raise StripeDownError

    shop.stripe.before = down
    assert shop.deliver(body).http == 503
    assert _mails(shop) == []
    shop.stripe.before = lambda _method: None
    shop.deliver(body)
    assert len(_mails(shop)) == 1


def test_trial_ending_sends_one_email_with_day_and_price(shop: SiteWithFakeStripe) -> None:
    _, subscription = _subscriber(shop, status="trialing", trial_end=_in(3))
    for _ in range(2):
        shop.deliver(make_event("customer.subscription.trial_will_end", subscription))
    ((template, _, words),) = _mails(shop)
    day = _day(subscription["trial_end"])
    assert (template, words) == ("trial_ending", {"plan": "Patron", "day": day, "price": "$12.00"})


@pytest.mark.parametrize("changes", [{"cancel_at": 1}, {"status": "active"}, {"trial_end": -1}])
def test_trial_without_a_charge_afterwards_sends_no_email(shop: SiteWithFakeStripe, changes: dict[str, object]) -> None:
    found = {name: _in(int(days)) if isinstance(days, int) else days for name, days in changes.items()}
    _, subscription = _subscriber(shop, **{"status": "trialing", "trial_end": _in(3), **found})
    shop.deliver(make_event("customer.subscription.trial_will_end", subscription))
    assert _mails(shop) == []


def test_ended_membership_sends_an_email(shop: SiteWithFakeStripe) -> None:
    user_id, subscription = _subscriber(shop)
    subscription.update(status="canceled", ended_at=_in(0))
    shop.deliver(make_event("customer.subscription.deleted", subscription))
    words = {"plan": "Patron", "premium": False}
    assert _mails(shop) == [("membership_ended", f"u{user_id}@example.org", words)]


def test_end_of_one_of_two_subscriptions_sends_no_email(shop: SiteWithFakeStripe) -> None:
    _, subscription = _subscriber(shop)
    other = shop.stripe.subscription(shop.stripe.objects[subscription["customer"]])
    shop.deliver(make_event("customer.subscription.created", other))
    subscription.update(status="canceled", ended_at=_in(0))
    shop.deliver(make_event("customer.subscription.deleted", subscription))
    assert _mails(shop) == []


@pytest.mark.parametrize("how", ["failed", "ended"])
def test_change_seen_only_by_reconcile_sends_one_email(shop: SiteWithFakeStripe, how: str) -> None:
    _, subscription = _subscriber(shop)
    if how == "failed":
        late = make_event("invoice.payment_failed", _unpaid(shop, subscription))
    else:
        subscription.update(status="canceled", ended_at=_in(0))
        late = make_event("customer.subscription.deleted", subscription)
    with shop.app.app_context():
        billing.reconcile_with_stripe()
        billing.reconcile_with_stripe()
    assert shop.deliver(late).status == "processed"
    templates = {"failed": "payment_failed", "ended": "membership_ended"}
    assert [template for template, _, _ in _mails(shop)] == [templates[how]]


def test_reconcile_of_an_unknown_ended_subscription_sends_no_email(shop: SiteWithFakeStripe) -> None:
    shop.subscriber(status="canceled", ended_at=_in(-300))
    with shop.app.app_context():
        billing.reconcile_with_stripe()
    assert _mails(shop) == []


def test_emails_deleted_account_gets_none(shop: SiteWithFakeStripe) -> None:
    user_id, subscription = _subscriber(shop)
    with shop.app.app_context(), db.write() as session:
        gone = {"deleted_at": utc_now(), "email": None, "email_key": None}
        session.execute(update(User).where(User.id == user_id).values(**gone))
    subscription.update(status="canceled", ended_at=_in(0))
    assert shop.deliver(make_event("customer.subscription.deleted", subscription)).http == 200
    assert _mails(shop) == []


def test_email_is_queued_with_the_event_or_not_at_all(
    shop: SiteWithFakeStripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, subscription = _subscriber(shop)
    body = make_event("invoice.payment_failed", _unpaid(shop, subscription))
    with monkeypatch.context() as broken:
        broken.setattr("church.services.email.queue.jobs.enqueue", lambda *_args, **_more: 1 / 0)
        assert shop.deliver(body).http == 500
    with shop.app.app_context(), db.read() as session:
        assert session.scalars(select(Mail.id)).all() == []
    shop.deliver(body)
    assert len(_mails(shop)) == 1
