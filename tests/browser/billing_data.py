"""Billing data for the admin pages: a subscriber, payments, webhook events and free passes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from church.models.base import utc_now
from church.services import billing
from church.services.audit import Actor
from church.services.billing.errors import StripeDownError
from tests.support.site_fixture import Site
from tests.support.stripe_fixture import SiteWithFakeStripe, add_member, make_event

LONG = "onelongwordthatcannotbebroken" * 3


@dataclass(frozen=True)
class BillingData:
    """The ref of the subscriber and the id of a failed webhook event."""

    subscriber: str
    failed_event: int


def create_billing_data(site: Site) -> BillingData:
    """Create subscriptions, payments, refunds and events on ``site``, with an in-memory Stripe."""
    shop = SiteWithFakeStripe(site.settings)
    try:
        _, ref = add_member(shop.app, "Kim Subscriber")
        for amount, currency in ((1200, "usd"), (800, "jpy"), (2505, "kwd")):
            shop.stripe.price(f"price_{currency}", "prod_patron", amount, currency)
            _buy(shop, ref, amount, currency)
        _pay_as_nobody(shop)
        with shop.app.app_context():
            _grant(ref)
            failed = _fail_event(shop, ref)
        return BillingData(ref, failed)
    finally:
        shop.close()


def _buy(shop: SiteWithFakeStripe, ref: str, amount: int, currency: str) -> None:
    status = {"usd": "active", "jpy": "past_due", "kwd": "canceled"}[currency]
    cancellation = {"cancel_at": 1_799_000_000} if currency == "usd" else {}
    customer = shop.stripe.customer(ref)
    subscription = shop.stripe.subscription(customer, f"price_{currency}", status=status, **cancellation)
    invoice = shop.stripe.invoice(subscription, paid=amount)
    shop.deliver(make_event("invoice.paid", invoice))
    refund = shop.stripe.refund(shop.stripe.charge_of(invoice), amount // 4, currency)
    shop.deliver(make_event("refund.created", refund))


def _pay_as_nobody(shop: SiteWithFakeStripe) -> None:
    """Pay by payment link, with an address that no account has confirmed."""
    for email in (f"{LONG}@example.org", "kim@example.org"):
        subscription = shop.stripe.subscription(shop.stripe.customer(None, email=email), "price_usd")
        shop.deliver(make_event("customer.subscription.created", subscription))


def _grant(ref: str) -> None:
    actor = Actor(via="cli")
    first = billing.grant_premium(ref, utc_now() + timedelta(days=30), f"helps {LONG}", actor)
    billing.grant_premium(ref, utc_now() + timedelta(days=400), "helps with the pages", actor)
    billing.revoke_grant(first, actor)


def _fail_event(shop: SiteWithFakeStripe, ref: str) -> int:
    """Deliver an event with a very long word while Stripe does not answer; return its id."""

    def down(_method: str) -> None:
        raise StripeDownError

    shop.deliver(make_event("a.type_of_tomorrow", {"id": "x_1", "object": "x"}))
    subscription = shop.stripe.subscription(shop.stripe.customer(ref), "price_usd", metadata={"note": LONG})
    shop.stripe.before = down
    shop.deliver(make_event("customer.subscription.trial_will_end", subscription))
    return billing.list_events(state="failed")[0].id
