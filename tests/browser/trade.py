"""What the membership pages of the admin area have to show: a subscriber, payments, events of every kind, gifts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from church.models.base import utc_now
from church.services import billing
from church.services.audit import Actor
from church.services.billing.errors import StripeDownError
from tests.support.site_fixture import Site
from tests.support.stripe_fixture import Shop, event, member

LONG = "onelongwordthatcannotbebroken" * 3


@dataclass(frozen=True)
class Trade:
    """Where to find it: the public name of the subscriber, the number of an event that failed."""

    subscriber: str
    failed_event: int


def trade(site: Site) -> Trade:
    """Do some business on ``site``, with a Stripe that is in memory."""
    shop = Shop(site.settings)
    try:
        _, ref = member(shop.app, "Kim Subscriber")
        for amount, currency in ((1200, "usd"), (800, "jpy"), (2505, "kwd")):
            shop.stripe.price(f"price_{currency}", "prod_patron", amount, currency)
            _buy(shop, ref, amount, currency)
        with shop.app.app_context():
            _give(ref)
            failed = _fail(shop, ref)
        return Trade(ref, failed)
    finally:
        shop.close()


def _buy(shop: Shop, ref: str, amount: int, currency: str) -> None:
    status = {"usd": "active", "jpy": "past_due", "kwd": "canceled"}[currency]
    ending = {"cancel_at": 1_799_000_000} if currency == "usd" else {}
    customer = shop.stripe.customer(ref)
    subscription = shop.stripe.subscription(customer, f"price_{currency}", status=status, **ending)
    invoice = shop.stripe.invoice(subscription, paid=amount)
    shop.deliver(event("invoice.paid", invoice))
    refund = shop.stripe.refund(shop.stripe.charge_of(invoice), amount // 4, currency)
    shop.deliver(event("refund.created", refund))


def _give(ref: str) -> None:
    actor = Actor(via="cli")
    first = billing.grant_premium(ref, utc_now() + timedelta(days=30), f"helps {LONG}", actor)
    billing.grant_premium(ref, utc_now() + timedelta(days=400), "helps with the pages", actor)
    billing.revoke_grant(first, actor)


def _fail(shop: Shop, ref: str) -> int:
    """An event that came while Stripe did not answer, with words that no line can hold."""

    def down(_method: str) -> None:
        raise StripeDownError

    shop.deliver(event("a.type_of_tomorrow", {"id": "x_1", "object": "x"}))
    subscription = shop.stripe.subscription(shop.stripe.customer(ref), "price_usd", metadata={"note": LONG})
    shop.stripe.before = down
    shop.deliver(event("customer.subscription.trial_will_end", subscription))
    return billing.list_events(state="failed")[0].id
