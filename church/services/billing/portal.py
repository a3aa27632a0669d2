"""Open Stripe's portal, where a member replaces the card, reads invoices and cancels.

With a subscription, it opens where that one is cancelled: https://docs.stripe.com/customer-management/portal-deep-links
"""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from church.config import current_settings
from church.errors import ConflictError
from church.extensions import db
from church.models import Customer
from church.services.billing import checkout
from church.services.billing.errors import PaymentsOffError, StripeRefusedError
from church.services.billing.membership import find_customer, list_current_subscriptions
from church.services.billing.stripe.client import StripeObject, gateway
from church.services.sessions import SignedIn

RETURN = "/auth/account"


class NoCustomerError(ConflictError):
    """The member has never paid here, so there is nothing to manage."""

    def __init__(self) -> None:
        super().__init__("You have no subscription to manage yet.")


class UnknownSubscriptionError(ConflictError):
    """The member has no such subscription, or not any more."""

    def __init__(self) -> None:
        super().__init__("This subscription has ended. Check your membership.")


def open_portal(member: SignedIn, stripe_subscription: str | None = None) -> str:
    """Create the member's own page at Stripe. Returns its address, which is valid for some minutes.

    With ``stripe_subscription``, the page asks whether to cancel that one. Raises PaymentsOffError, NoCustomerError,
    UnknownSubscriptionError, StripeDownError, StripeRefusedError and the database's errors.
    """
    if not current_settings().payments:
        raise PaymentsOffError
    with db.read() as session:
        customer = _find_payer(session, member.user_id, stripe_subscription)
    flow = _cancel_flow(stripe_subscription) if stripe_subscription else {}
    try:
        made = _create_session(customer, flow)
    except StripeRefusedError as error:
        if not error.is_missing:
            raise
        checkout.mark_customer_deleted(customer.id)
        raise NoCustomerError from error
    return str(made["url"])


def _find_payer(session: Session, user_id: int, stripe_subscription: str | None) -> Customer:
    """Find the customer who pays for the subscription, or the newest one."""
    if stripe_subscription is None:
        customer = find_customer(session, user_id)
        if customer is None:
            raise NoCustomerError
        return customer
    found = [row for row in list_current_subscriptions(session, user_id) if row.stripe_id == stripe_subscription]
    if not found:
        raise UnknownSubscriptionError
    return session.get_one(Customer, found[0].customer_id)


def _cancel_flow(stripe_subscription: str) -> dict[str, Any]:
    return {"flow_data": {"type": "subscription_cancel", "subscription_cancel": {"subscription": stripe_subscription}}}


def _create_session(customer: Customer, flow: dict[str, Any]) -> StripeObject:
    """Create the session. Where the operator's portal has no such flow, its start page has the way."""
    params = {"customer": customer.stripe_id, "return_url": f"{current_settings().origin}{RETURN}"}
    try:
        return gateway().call("billing_portal.sessions.create", **params, **flow)
    except StripeRefusedError as error:
        if not flow or error.is_missing:
            raise
    return gateway().call("billing_portal.sessions.create", **params)


def payment_origins() -> tuple[str, ...]:
    """Origins of the payment pages: Stripe's hosts, or the test till."""
    base = current_settings().stripe_base
    return (base,) if base else ("https://checkout.stripe.com", "https://billing.stripe.com")
