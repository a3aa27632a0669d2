"""Find the member behind a customer whom nothing of ours names: a payer by payment link or by Stripe's dashboard.

The payer's address counts once an account has confirmed it. An account that has not could belong to anyone.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from church.extensions import db
from church.models import UnmatchedPayment, User
from church.services import accounts
from church.services.billing.errors import NotOursError
from church.services.billing.stripe.client import StripeObject
from church.services.billing.stripe.objects import get_nested


@dataclass(frozen=True)
class UnmatchedPayer:
    """A subscription to a plan, as Stripe has it, and the address of its payer, of whom no member is known."""

    customer: str
    email: str | None
    subscription: StripeObject
    plan: str
    item: str | None
    """Stripe's id of the plan's item."""


class UnmatchedPaymentError(NotOursError):
    """A payment for a plan whose payer is no member. ``payer`` is listed for the admins."""

    def __init__(self, payer: UnmatchedPayer) -> None:
        super().__init__("a payment without a member: see /admin/membership/unmatched")
        self.payer = payer


def read_address(customer: StripeObject | None, checkout: StripeObject | None) -> str | None:
    """Return the payer's address: that of the customer, else what was typed at the checkout."""
    found = get_nested(customer, "email") or get_nested(checkout, "customer_details", "email")
    return found if isinstance(found, str) and found else None


def address_key(email: str | None) -> str | None:
    """Return the form in which accounts compare an address; None for what is no address."""
    address = accounts.try_parse_address(email) if email else None
    return address.key if address is not None else None


def find_confirmed(session: Session, email: str | None) -> User | None:
    """Find the account that has confirmed the address, in the caller's transaction.

    An account with a key of an earlier release may be found by an address that is another inbox: that is not enough.
    """
    user = accounts.find_by_address(session, accounts.try_parse_address(email)) if email else None
    if user is None or user.verified_at is None or user.deleted_at is not None:
        return None
    return user if address_key(user.email) == address_key(email) else None


def find_owner_by_address(email: str | None) -> int | None:
    """Find the account that has confirmed the payer's address."""
    with db.read() as session:
        user = find_confirmed(session, email)
        return user.id if user is not None else None


def list_unmatched_of(customer: str) -> list[str]:
    """List Stripe's ids of the subscriptions of a customer who is no member."""
    query = select(UnmatchedPayment.stripe_subscription).where(UnmatchedPayment.stripe_customer == customer)
    with db.read() as session:
        return list(session.scalars(query))
