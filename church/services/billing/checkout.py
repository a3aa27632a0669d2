"""Start a checkout on Stripe's page; a member has one open checkout at a time.

Our row is added first, and its ref is the idempotency key, so pressing the button again leads to the same session. A
checkout grants nothing: webhooks report what was paid.
"""

from __future__ import annotations

import secrets
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from church import telemetry
from church.config import current_settings
from church.database.upsert import insert_or_ignore
from church.errors import ConflictError, FieldErrors
from church.extensions import db
from church.lib.email_addresses import needs_smtputf8, to_ascii_domain
from church.models import Checkout, Customer
from church.models.base import utc_now
from church.models.billing import ENDED_STATUSES, OPEN_ONLY, CheckoutState
from church.services.billing.errors import PaymentsOffError, StripeRefusedError
from church.services.billing.membership import find_customer, had_subscription, list_current_subscriptions
from church.services.billing.plans import find_price_for_sale
from church.services.billing.stripe.client import BUDGET, StripeObject, gateway
from church.services.billing.stripe.objects import get_id, get_list, get_nested
from church.services.sessions import SignedIn

LONGEST_PENDING = timedelta(days=14)  # the longest that a slow payment takes
KEY_LIFETIME = timedelta(minutes=2)
"""How long a row without a session is tried again with its key: Stripe repeats its first answer to that."""
_TRIES = 6
_WAIT = BUDGET + 1.0  # seconds for a parallel request of the same member that is calling Stripe
_PAUSE = 0.05
_KEY_REUSED = "IdempotencyError"
"""The key was used with other parameters: the member's email or customer changed since, and no answer had arrived."""


class MemberAlreadyError(ConflictError):
    """The member has a subscription: its plan is changed instead of paying for a second one."""

    def __init__(self) -> None:
        super().__init__("You already have a subscription. Change its plan instead.")


class PaidAlreadyError(ConflictError):
    """The member completed a checkout whose payment is pending; ``session`` is Stripe's id of it."""

    def __init__(self, session: str) -> None:
        super().__init__("You already completed a checkout. Its payment is on its way.")
        self.session = session


class OtherCheckoutError(ConflictError):
    """The member opened another checkout at the same moment, with another plan or in another tab."""

    def __init__(self) -> None:
        super().__init__("You opened another checkout at the same time. Continue there, or choose a plan again.")


@dataclass(frozen=True)
class _Order:
    """What a checkout session is created from."""

    row: Checkout
    customer: Customer | None
    trial_days: int


def start_checkout(member: SignedIn, stripe_price: str) -> str:
    """Start or continue the member's checkout. Returns the address of Stripe's page.

    Raises FieldErrors for a price that is not for sale, PaymentsOffError, MemberAlreadyError, PaidAlreadyError,
    OtherCheckoutError, StripeDownError, StripeRefusedError and the database's errors.
    """
    if not current_settings().payments:
        raise PaymentsOffError
    replaced = False
    with telemetry.span("stripe.checkout"):
        for _ in range(_TRIES):
            try:
                order = _prepare(member, stripe_price)
            except PaidAlreadyError as error:
                if not slow_payment_failed(error.session):
                    raise
                continue
            is_other_plan = order.row.stripe_price != stripe_price
            if is_other_plan and replaced:
                break  # a parallel request has chosen it since: the last choice counts, and nobody replaces it twice
            address = _open_session(member, order, stripe_price)
            if address is not None:
                return address
            replaced = replaced or (is_other_plan and order.row.stripe_session is not None)
    raise OtherCheckoutError


def _prepare(member: SignedIn, stripe_price: str) -> _Order:
    """Find or add the member's open checkout."""
    with db.write() as session:
        if list_current_subscriptions(session, member.user_id):
            raise MemberAlreadyError  # checked before the price, which may not be for sale in the member's currency
        price = find_price_for_sale(session, stripe_price)
        if price is None:
            raise FieldErrors({"price": "This plan is no longer available."})
        pending = find_pending_checkout(session, member.user_id)
        if pending is not None:
            raise PaidAlreadyError(pending.stripe_session or "")
        values = {"ref": secrets.token_hex(12), "stripe_price": stripe_price, "created_at": utc_now()}
        row = open_or_add_checkout(session, member.user_id, values)
        customer = find_customer(session, member.user_id)
        trial = 0 if had_subscription(session, member.user_id) else price.trial_days
    return _Order(row, customer, trial)


def _open_session(member: SignedIn, order: _Order, stripe_price: str) -> str | None:
    """Return the page's address; None where the row was of a former time or plan, and is closed now."""
    row = order.row
    if row.stripe_session is not None:
        found = gateway().call("checkout.sessions.retrieve", row.stripe_session)
        if found.get("status") == "open" and row.stripe_price == stripe_price and found.get("url"):
            return str(found["url"])
        _close_former(row, found)
        return None
    if row.stripe_price != stripe_price:
        _wait_for_parallel(row, row.created_at)
        return None
    try:
        made = gateway().call("checkout.sessions.create", key=f"church-checkout-{row.ref}", **_params(member, order))
    except StripeRefusedError as error:
        return _refused(order, error)
    if not store_session(row.id, made["id"], str(made["url"])):
        with suppress(StripeRefusedError):  # a parallel request of ours has expired it
            gateway().call("checkout.sessions.expire", made["id"])
        raise OtherCheckoutError
    return str(made["url"])


def _payer_without_customer(member: SignedIn) -> dict[str, str]:
    """Fill in the address, in ASCII; with a mailbox that has no such form, Stripe asks for one."""
    if needs_smtputf8(member.email):
        return {}
    mailbox, _, domain = member.email.rpartition("@")
    return {"customer_email": f"{mailbox}@{to_ascii_domain(domain)}"}


def _params(member: SignedIn, order: _Order) -> dict[str, Any]:
    """Build the session's parameters, the same for each try: Stripe refuses a key with other parameters."""
    names = {"church_user": member.ref, "church_checkout": order.row.ref}
    subscription: dict[str, Any] = {"metadata": names}
    if order.trial_days:
        subscription["trial_period_days"] = order.trial_days
    origin = current_settings().origin
    payer = {"customer": order.customer.stripe_id} if order.customer else _payer_without_customer(member)
    return {
        "mode": "subscription",
        "line_items": [{"price": order.row.stripe_price, "quantity": 1}],
        "client_reference_id": member.ref,
        "metadata": names,
        "subscription_data": subscription,
        "allow_promotion_codes": True,
        "success_url": f"{origin}/stripe/success?session_id={{CHECKOUT_SESSION_ID}}",
        "cancel_url": f"{origin}/stripe/cancel",
        **payer,
        **_tax(order),
    }


def _tax(order: _Order) -> dict[str, Any]:
    """Ask Stripe for tax. It needs the payer's address, which it asks an existing customer for only on request."""
    if not current_settings().automatic_tax:
        return {}
    update = {"customer_update": {"address": "auto"}} if order.customer else {}
    return {"automatic_tax": {"enabled": True}, **update}


def _refused(order: _Order, error: StripeRefusedError) -> str | None:
    """Handle a refusal: wait for a parallel request, or return None to try with another key or without a customer."""
    if error.code == "idempotency_key_in_use":
        return _wait_for_parallel(order.row, utc_now())
    close_checkout(order.row.id, CheckoutState.FAILED)  # the key is used up: Stripe would repeat the refusal
    if error.code == _KEY_REUSED:
        return None
    if error.is_missing and error.param == "customer" and order.customer is not None:
        mark_customer_deleted(order.customer.id)
        return None
    raise error


def _wait_for_parallel(row: Checkout, since: datetime) -> str | None:
    """Wait for the address that a parallel request of the same member gets; None if the row is closed instead.

    A row without an address after all of a call's time, counted from ``since``, is closed: that request has failed.
    """
    while row.state == CheckoutState.OPEN:
        if row.url is not None:
            return row.url
        if since <= utc_now() - timedelta(seconds=_WAIT):
            close_checkout(row.id, CheckoutState.EXPIRED)  # should it succeed after all, it finds the row closed
            break
        time.sleep(_PAUSE)
        row = read_checkout(row.id)
    return None


def _close_former(row: Checkout, found: StripeObject) -> None:
    """Close the member's former checkout. Raises PaidAlreadyError if it was paid."""
    if found.get("status") == "open":
        try:
            gateway().call("checkout.sessions.expire", str(row.stripe_session))
        except StripeRefusedError:
            found = gateway().call("checkout.sessions.retrieve", str(row.stripe_session))
    if found.get("status") == "complete":
        raise PaidAlreadyError(str(row.stripe_session))
    close_checkout(row.id, CheckoutState.EXPIRED)


# -- rows -------------------------------------------------------------------------------------------------------------


def open_or_add_checkout(session: Session, user_id: int, values: dict[str, Any]) -> Checkout:
    """Lock and return the member's open checkout, or add one with ``values``, in the caller's transaction."""
    query = select(Checkout).where(Checkout.user_id == user_id, Checkout.state == CheckoutState.OPEN.value)
    values = {**values, "user_id": user_id, "state": CheckoutState.OPEN.value}
    while True:
        row = session.scalars(query.with_for_update()).one_or_none()
        if row is None:  # a parallel request may add one first, and another may close that
            insert_or_ignore(session, Checkout, values, unique=["user_id"], where=OPEN_ONLY)
        elif _key_has_expired(row):
            row.state, row.finished_at = CheckoutState.EXPIRED.value, utc_now()
            session.flush()
        else:
            return row


def _key_has_expired(row: Checkout) -> bool:
    """Whether a checkout without a session is too old to try its key again; Stripe tells whether a session is open."""
    return row.stripe_session is None and row.created_at <= utc_now() - KEY_LIFETIME


def find_pending_checkout(session: Session, user_id: int) -> Checkout | None:
    """Find a completed checkout whose slow payment is on its way."""
    query = select(Checkout).where(
        Checkout.user_id == user_id,
        Checkout.state == CheckoutState.PENDING.value,
        Checkout.created_at > utc_now() - LONGEST_PENDING,
    )
    return session.scalars(query.limit(1)).first()


def read_checkout(row_id: int) -> Checkout:
    """Read the row as it is now."""
    with db.read() as session:
        return session.get_one(Checkout, row_id)


def store_session(row_id: int, stripe_session: str, url: str) -> bool:
    """Store the session that Stripe created; False if the row was closed meanwhile."""
    statement = (
        update(Checkout)
        .where(Checkout.id == row_id, Checkout.state == CheckoutState.OPEN.value)
        .values(stripe_session=stripe_session, url=url)
        .returning(Checkout.id)
    )
    with db.write() as session:
        return session.scalars(statement).one_or_none() is not None


def close_checkout(row_id: int, state: CheckoutState) -> None:
    """Close an open checkout; one that has ended stays as it is."""
    with db.write() as session:
        session.execute(
            update(Checkout)
            .where(Checkout.id == row_id, Checkout.state == CheckoutState.OPEN.value)
            .values(state=state.value, finished_at=utc_now())
        )


def fail_checkout(stripe_session: str) -> None:
    """Mark a pending checkout failed: its slow payment failed, or Stripe no longer has its session."""
    with db.write() as session:
        session.execute(
            update(Checkout)
            .where(Checkout.stripe_session == stripe_session, Checkout.state == CheckoutState.PENDING.value)
            .values(state=CheckoutState.FAILED.value, finished_at=utc_now())
        )


def mark_customer_deleted(customer_id: int) -> None:
    """Mark a customer that Stripe no longer has as deleted."""
    with db.write() as session:
        session.execute(update(Customer).where(Customer.id == customer_id).values(deleted_at=utc_now()))


# -- slow payments ----------------------------------------------------------------------------------------------------

_PAID = frozenset({"paid", "no_payment_required"})
_FAILED_INVOICE = frozenset({"void", "uncollectible"})
_FAILED_PAYMENT = frozenset({"requires_payment_method", "canceled"})
_INTENT = "payments.data.payment.payment_intent"


def slow_payment_failed(stripe_session: str) -> bool:
    """Ask Stripe, and close the checkout if so: else a lost webhook would keep the member from subscribing.

    Raises StripeDownError, StripeRefusedError and the database's errors.
    """
    if not stripe_session:
        return False
    try:
        found = gateway().call("checkout.sessions.retrieve", stripe_session, expand=["subscription"])
        failed = _payment_has_failed(found)
    except StripeRefusedError as error:
        if not error.is_missing:
            raise
        failed = True
    if failed:
        fail_checkout(stripe_session)
    return failed


def _payment_has_failed(found: StripeObject) -> bool:
    """Whether the payment failed; the session is complete and unpaid both before and after that."""
    if found.get("status") != "complete":
        return found.get("status") == "expired"
    if found.get("payment_status") in _PAID:
        return False
    if get_nested(found, "subscription", "status") in ENDED_STATUSES:
        return True
    invoice_id = get_id(found.get("invoice"))
    if invoice_id is None:
        return False
    invoice = gateway().call("invoices.retrieve", invoice_id, expand=[_INTENT])
    tried = [get_nested(payment, "payment", "payment_intent", "status") for payment in get_list(invoice, "payments")]
    failed = bool(tried) and all(status in _FAILED_PAYMENT for status in tried)
    return invoice.get("status") in _FAILED_INVOICE or failed
