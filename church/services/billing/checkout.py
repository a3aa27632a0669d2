"""A member subscribes: one checkout at a time, on Stripe's page, which the row of it here leads back to.

The row is made first, and its ref is the idempotency key: however often a button is pressed, there is one session. It
grants nothing; what was paid is told by webhooks.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from church import telemetry
from church.config import current_settings
from church.errors import BusyError, ConflictError, FieldErrors
from church.extensions import db
from church.models import Checkout, Customer
from church.models.base import utc_now
from church.models.checkout import CheckoutState
from church.services.billing import checkout_rows
from church.services.billing.checkout_pending import slow_payment_failed
from church.services.billing.errors import PaymentsOffError, StripeRefusedError
from church.services.billing.membership import customer_of, had_subscription, living_of
from church.services.billing.plans import price_for_sale
from church.services.billing.stripe.client import Obj, gateway
from church.services.billing.stripe.objects import moment
from church.services.sessions import SignedIn

__all__ = ["MemberAlreadyError", "PaidAlreadyError", "start_checkout"]

LIFE = timedelta(days=1)  # Stripe's own, until it has said so
_TRIES = 3
_WAIT = 5.0  # seconds for a twin of this request that is asking Stripe
_PAUSE = 0.05
_OTHER_WORDS = "IdempotencyError"
"""The key was used, and no answer came, before the member changed their address or became a customer."""


class MemberAlreadyError(ConflictError):
    """A second subscription would be paid twice; a plan is changed instead."""

    def __init__(self) -> None:
        super().__init__("You already have a membership. Change its plan instead.")


class PaidAlreadyError(ConflictError):
    """The checkout was filled in, and what came of it is on its way; ``session`` is Stripe's id of it."""

    def __init__(self, session: str) -> None:
        super().__init__("You already completed a checkout. Its payment is on its way.")
        self.session = session


@dataclass(frozen=True)
class _Order:
    """What a session is made of."""

    row: Checkout
    customer: Customer | None
    trial_days: int


def start_checkout(member: SignedIn, stripe_price: str) -> str:
    """The address of Stripe's page on which ``member`` pays for the price.

    Raises FieldErrors for a price that is not for sale, PaymentsOffError, MemberAlreadyError, PaidAlreadyError,
    StripeDownError, StripeRefusedError, BusyError and the database's errors.
    """
    if not current_settings().payments:
        raise PaymentsOffError
    with telemetry.span("stripe.checkout"):
        for _ in range(_TRIES):
            try:
                order = _order(member, stripe_price)
            except PaidAlreadyError as error:
                if not slow_payment_failed(error.session):
                    raise
                continue
            address = _try(member, order, stripe_price)
            if address is not None:
                return address
    raise BusyError


def _order(member: SignedIn, stripe_price: str) -> _Order:
    """The member's open checkout, made if there is none."""
    with db.write() as session:
        if living_of(session, member.user_id):
            raise MemberAlreadyError  # before the price is looked at, which may be one in the currency of theirs
        price = price_for_sale(session, stripe_price)
        if price is None:
            raise FieldErrors({"price": "This plan is no longer available."})
        pending = checkout_rows.pending_checkout(session, member.user_id)
        if pending is not None:
            raise PaidAlreadyError(pending.stripe_session or "")
        now = utc_now()
        made = {"ref": secrets.token_hex(12), "stripe_price": stripe_price, "created_at": now, "expires_at": now + LIFE}
        row = checkout_rows.open_or_add_checkout(session, member.user_id, made)
        customer = customer_of(session, member.user_id)
        trial = 0 if had_subscription(session, member.user_id) else price.trial_days
    return _Order(row, customer, trial)


def _try(member: SignedIn, order: _Order, stripe_price: str) -> str | None:
    """The page's address; None when the row was of another time or plan, which is over now."""
    row = order.row
    if row.stripe_session is not None:
        found = gateway().call("checkout.sessions.retrieve", row.stripe_session)
        if found.get("status") == "open" and row.stripe_price == stripe_price and found.get("url"):
            return str(found["url"])
        _end(row, found)
        return None
    if row.stripe_price != stripe_price:
        checkout_rows.close_checkout(
            row.id, CheckoutState.EXPIRED
        )  # its twin is told so when it comes to keep its session
        return None
    try:
        made = gateway().call("checkout.sessions.create", key=f"church-checkout-{row.ref}", **_params(member, order))
    except StripeRefusedError as error:
        return _refused(order, error)
    if not checkout_rows.keep_session(row.id, made["id"], str(made["url"]), moment(made.get("expires_at"))):
        gateway().call("checkout.sessions.expire", made["id"])
        return None
    return str(made["url"])


def _params(member: SignedIn, order: _Order) -> dict[str, Any]:
    """What of it is not in the row is the same for each try: Stripe refuses a key with other parameters."""
    names = {"church_user": member.ref, "church_checkout": order.row.ref}
    subscription: dict[str, Any] = {"metadata": names}
    if order.trial_days:
        subscription["trial_period_days"] = order.trial_days
    origin = current_settings().origin
    whose = {"customer": order.customer.stripe_id} if order.customer else {"customer_email": member.email}
    return {
        "mode": "subscription",
        "line_items": [{"price": order.row.stripe_price, "quantity": 1}],
        "client_reference_id": member.ref,
        "metadata": names,
        "subscription_data": subscription,
        "allow_promotion_codes": True,
        "success_url": f"{origin}/stripe/success?session_id={{CHECKOUT_SESSION_ID}}",
        "cancel_url": f"{origin}/stripe/cancel",
        **whose,
        **_tax(order),
    }


def _tax(order: _Order) -> dict[str, Any]:
    """Stripe reckons tax by the payer's address, which it asks of a new customer, and of a known one if so told."""
    if not current_settings().automatic_tax:
        return {}
    update = {"customer_update": {"address": "auto"}} if order.customer else {}
    return {"automatic_tax": {"enabled": True}, **update}


def _refused(order: _Order, error: StripeRefusedError) -> str | None:
    """What a refusal leads to: a twin's answer, or one more try with another key or without a customer who is gone."""
    if error.code == "idempotency_key_in_use":
        return _of_twin(order.row)
    checkout_rows.close_checkout(
        order.row.id, CheckoutState.FAILED
    )  # the key is used up: Stripe would repeat the refusal
    if error.code == _OTHER_WORDS:
        return None
    if error.is_missing and error.param == "customer" and order.customer is not None:
        checkout_rows.mark_customer_deleted(order.customer.id)
        return None
    raise error


def _of_twin(row: Checkout) -> str | None:
    """The address that another request of the same member is getting right now."""
    deadline = time.monotonic() + _WAIT
    while time.monotonic() < deadline:
        found = checkout_rows.read_checkout(row.id)
        if found is None or found.state != CheckoutState.OPEN:
            return None
        if found.url is not None:
            return found.url
        time.sleep(_PAUSE)
    raise BusyError


def _end(row: Checkout, found: Obj) -> None:
    """Close the member's former checkout, unless somebody has paid there. Raises PaidAlreadyError."""
    if found.get("status") == "open":
        try:
            gateway().call("checkout.sessions.expire", str(row.stripe_session))
        except StripeRefusedError:
            found = gateway().call("checkout.sessions.retrieve", str(row.stripe_session))
    if found.get("status") == "complete":
        raise PaidAlreadyError(str(row.stripe_session))
    checkout_rows.close_checkout(row.id, CheckoutState.EXPIRED)
