"""Open Stripe's portal, where a member replaces the card, reads invoices and cancels."""

from __future__ import annotations

from church.config import current_settings
from church.errors import ConflictError
from church.extensions import db
from church.services.billing import checkout
from church.services.billing.errors import PaymentsOffError, StripeRefusedError
from church.services.billing.membership import find_customer
from church.services.billing.stripe.client import gateway
from church.services.sessions import SignedIn

RETURN = "/auth/account"


class NoCustomerError(ConflictError):
    """The member has never paid here, so there is nothing to manage."""

    def __init__(self) -> None:
        super().__init__("You have no subscription to manage yet.")


def open_portal(member: SignedIn) -> str:
    """Create the member's own page at Stripe. Returns its address, which is valid for some minutes.

    Raises PaymentsOffError, NoCustomerError, StripeDownError, StripeRefusedError and the database's errors.
    """
    if not current_settings().payments:
        raise PaymentsOffError
    with db.read() as session:
        customer = find_customer(session, member.user_id)
    if customer is None:
        raise NoCustomerError
    try:
        made = gateway().call(
            "billing_portal.sessions.create",
            customer=customer.stripe_id,
            return_url=f"{current_settings().origin}{RETURN}",
        )
    except StripeRefusedError as error:
        if not error.is_missing:
            raise
        checkout.mark_customer_deleted(customer.id)
        raise NoCustomerError from error
    return str(made["url"])


def payment_origins() -> tuple[str, ...]:
    """Origins of the payment pages: Stripe's hosts, or the test till."""
    base = current_settings().stripe_base
    return (base,) if base else ("https://checkout.stripe.com", "https://billing.stripe.com")
