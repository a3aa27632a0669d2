"""Subscriptions, payments and complimentary premium for tests of the admin area."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from church.models import User
from church.models.base import utc_now
from tests.support.desk import AdminBrowser
from tests.support.stripe_fixture import Obj, SiteWithFakeStripe, make_event


def subscribe(shop: SiteWithFakeStripe, user: User, **values: Any) -> Obj:
    """Subscribe ``user``; ``values`` change the subscription. Returns it."""
    subscription = shop.stripe.subscription(shop.stripe.customer(user.ref), **values)
    shop.deliver(make_event("customer.subscription.created", subscription))
    return subscription


def pay(shop: SiteWithFakeStripe, user: User, *amounts: int) -> None:
    """Let ``user`` pay an invoice for each of ``amounts``, in cents."""
    for amount in amounts:
        subscription = shop.stripe.subscription(shop.stripe.customer(user.ref))
        shop.deliver(make_event("invoice.paid", shop.stripe.invoice(subscription, paid=amount)))


def day(ahead: int) -> str:
    """Return the date ``ahead`` days from today."""
    return (utc_now() + timedelta(days=ahead)).date().isoformat()


def give(desk: AdminBrowser, user: User, until: str | None = None, reason: str = "a friend") -> int:
    """Give complimentary premium. Returns its id."""
    found = desk.tell(f"/admin/members/{user.ref}/grants", {"until": until or day(30), "reason": reason})
    assert found.status_code == 200, found.text
    number: int = found.json["grant"]  # type: ignore[index]
    return number
