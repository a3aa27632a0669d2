"""A member subscribes: one checkout at a time, on Stripe's page, which the row of it here leads back to.

The row is made first, and its ref is the idempotency key: however often a button is pressed, there is one session. It
grants nothing; what was paid is told by webhooks.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from church import telemetry
from church.config import current_settings
from church.database.upsert import insert_or_ignore
from church.errors import BusyError, ConflictError, FieldErrors
from church.extensions import db
from church.models import Checkout, Customer
from church.models.base import utc_now
from church.models.billing import ENDED_STATUSES, OPEN_ONLY, CheckoutState
from church.services.billing.errors import PaymentsOffError, StripeRefusedError
from church.services.billing.membership import find_customer, had_subscription, list_current_subscriptions
from church.services.billing.plans import price_for_sale
from church.services.billing.stripe.client import Obj, gateway
from church.services.billing.stripe.objects import moment, part, ref
from church.services.billing.stripe.objects import rows as listed
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
        if list_current_subscriptions(session, member.user_id):
            raise MemberAlreadyError  # before the price is looked at, which may be one in the currency of theirs
        price = price_for_sale(session, stripe_price)
        if price is None:
            raise FieldErrors({"price": "This plan is no longer available."})
        pending = pending_checkout(session, member.user_id)
        if pending is not None:
            raise PaidAlreadyError(pending.stripe_session or "")
        now = utc_now()
        made = {"ref": secrets.token_hex(12), "stripe_price": stripe_price, "created_at": now, "expires_at": now + LIFE}
        row = open_or_add_checkout(session, member.user_id, made)
        customer = find_customer(session, member.user_id)
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
        close_checkout(row.id, CheckoutState.EXPIRED)  # its twin is told so when it comes to keep its session
        return None
    try:
        made = gateway().call("checkout.sessions.create", key=f"church-checkout-{row.ref}", **_params(member, order))
    except StripeRefusedError as error:
        return _refused(order, error)
    if not keep_session(row.id, made["id"], str(made["url"]), moment(made.get("expires_at"))):
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
    close_checkout(order.row.id, CheckoutState.FAILED)  # the key is used up: Stripe would repeat the refusal
    if error.code == _OTHER_WORDS:
        return None
    if error.is_missing and error.param == "customer" and order.customer is not None:
        mark_customer_deleted(order.customer.id)
        return None
    raise error


def _of_twin(row: Checkout) -> str | None:
    """The address that another request of the same member is getting right now."""
    deadline = time.monotonic() + _WAIT
    while time.monotonic() < deadline:
        found = read_checkout(row.id)
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
    close_checkout(row.id, CheckoutState.EXPIRED)


LONGEST_PENDING = timedelta(days=14)  # what a slow payment may take; by then its event has come, or never will
WITHOUT_SESSION = timedelta(minutes=2)
"""How long a row whose session is unknown is tried again with its key: Stripe repeats what it once answered to that."""


def open_or_add_checkout(session: Session, user_id: int, values: dict[str, Any]) -> Checkout:
    """The member's open checkout, or a new one of ``values``; the caller's transaction has it for itself."""
    query = select(Checkout).where(Checkout.user_id == user_id, Checkout.state == CheckoutState.OPEN.value)
    row = session.scalars(query.with_for_update()).one_or_none()
    if row is not None and _key_has_expired(row):
        row.state, row.finished_at = CheckoutState.EXPIRED.value, utc_now()
        session.flush()
        row = None
    if row is None:
        made = {**values, "user_id": user_id, "state": CheckoutState.OPEN.value}
        insert_or_ignore(session, Checkout, made, unique=["user_id"], where=OPEN_ONLY)
        row = session.scalars(query).one()
    return row


def _key_has_expired(row: Checkout) -> bool:
    """Whether its key is of no use any more; of one that has a session Stripe says whether that is open."""
    return row.stripe_session is None and row.created_at <= utc_now() - WITHOUT_SESSION


def pending_checkout(session: Session, user_id: int) -> Checkout | None:
    """One that was filled in, and whose slow payment is on its way."""
    query = select(Checkout).where(
        Checkout.user_id == user_id,
        Checkout.state == CheckoutState.PENDING.value,
        Checkout.created_at > utc_now() - LONGEST_PENDING,
    )
    return session.scalars(query.limit(1)).first()


def read_checkout(row_id: int) -> Checkout | None:
    """The row as it is now."""
    with db.read() as session:
        return session.get(Checkout, row_id)


def keep_session(row_id: int, stripe_session: str, url: str, expires_at: datetime | None) -> bool:
    """Write down the session that Stripe made; False when the row was closed in the meantime."""
    until = {"expires_at": expires_at} if expires_at is not None else {}
    statement = (
        update(Checkout)
        .where(Checkout.id == row_id, Checkout.state == CheckoutState.OPEN.value)
        .values(stripe_session=stripe_session, url=url, **until)
        .returning(Checkout.id)
    )
    with db.write() as session:
        return session.scalars(statement).one_or_none() is not None


def close_checkout(row_id: int, state: CheckoutState) -> None:
    """End an open checkout; one that is done stays so."""
    with db.write() as session:
        session.execute(
            update(Checkout)
            .where(Checkout.id == row_id, Checkout.state == CheckoutState.OPEN.value)
            .values(state=state.value, finished_at=utc_now())
        )


def fail_checkout(stripe_session: str) -> None:
    """Its slow payment failed, or Stripe has no such session any more."""
    with db.write() as session:
        session.execute(
            update(Checkout)
            .where(Checkout.stripe_session == stripe_session, Checkout.state == CheckoutState.PENDING.value)
            .values(state=CheckoutState.FAILED.value, finished_at=utc_now())
        )


def mark_customer_deleted(customer_id: int) -> None:
    """Stripe has no such customer any more."""
    with db.write() as session:
        session.execute(update(Customer).where(Customer.id == customer_id).values(deleted_at=utc_now()))


_PAID = frozenset({"paid", "no_payment_required"})
_FAILED_INVOICE = frozenset({"void", "uncollectible"})
_FAILED_PAYMENT = frozenset({"requires_payment_method", "canceled"})
_INTENT = "payments.data.payment.payment_intent"


def slow_payment_failed(stripe_session: str) -> bool:
    """Ask Stripe, and close the checkout if so: else a webhook that never came would bar its member from buying.

    Raises StripeDownError, StripeRefusedError and the database's errors.
    """
    if not stripe_session:
        return False
    try:
        found = gateway().call("checkout.sessions.retrieve", stripe_session, expand=["subscription"])
        over = _payment_has_failed(found)
    except StripeRefusedError as error:
        if not error.is_missing:
            raise
        over = True
    if over:
        fail_checkout(stripe_session)
    return over


def _payment_has_failed(found: Obj) -> bool:
    """A session is complete and unpaid both before and after its payment failed: the payment itself tells."""
    if found.get("status") != "complete":
        return found.get("status") == "expired"
    if found.get("payment_status") in _PAID:
        return False
    if part(found, "subscription", "status") in ENDED_STATUSES:
        return True
    invoice_id = ref(found.get("invoice"))
    if invoice_id is None:
        return False
    invoice = gateway().call("invoices.retrieve", invoice_id, expand=[_INTENT])
    tried = [part(one, "payment", "payment_intent", "status") for one in listed(invoice, "payments")]
    failed = bool(tried) and all(status in _FAILED_PAYMENT for status in tried)
    return invoice.get("status") in _FAILED_INVOICE or failed
