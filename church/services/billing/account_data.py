"""Cancel the subscriptions and checkouts of a deleted account, and export a member's billing data."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from church import jobs
from church.database import database_now
from church.extensions import db
from church.models import Checkout, Customer, Grant, Invoice, LedgerEntry, Subscription, User
from church.models.base import utc_now
from church.models.billing import ENDED_STATUSES, CheckoutState
from church.services.accounts import register_deletion, register_export
from church.services.billing.errors import NotOursError, StripeRefusedError
from church.services.billing.stripe import apply_to_database
from church.services.billing.stripe.client import StripeObject, gateway, list_all
from church.services.billing.stripe.fetch import Facts, Fetcher

log = logging.getLogger("church.stripe")

_ATTEMPTS = 20  # an hour apart later on: enough for a Stripe that is down for half a day

# -- subscriptions ----------------------------------------------------------------------------------------------------


@register_deletion
def cancel_on_delete(session: Session, user: User) -> None:
    """Queue the cancellation of a deleted account's subscriptions, in the transaction that deletes it.

    Rows about money stay; they no longer name anyone.
    """
    session.execute(update(Grant).where(Grant.user_id == user.id).values(reason="", revoked_at=utc_now()))
    no_card = {"card_brand": None, "card_last4": None, "card_expires": None}
    session.execute(update(Customer).where(Customer.user_id == user.id).values(**no_card))
    if session.scalars(select(Customer.id).where(Customer.user_id == user.id).limit(1)).first() is not None:
        queue_cancellation(session, user.id)


def queue_cancellation(session: Session, user_id: int) -> None:
    """Queue the job that cancels all subscriptions of a deleted account; at most one waits for each account."""
    kind = "billing.cancel"
    jobs.enqueue(session, kind, {"user_id": user_id}, unique_key=f"{kind}:{user_id}", max_attempts=_ATTEMPTS)


@jobs.handler("billing.cancel")
def cancel_subscriptions(payload: dict[str, Any]) -> None:
    """Cancel every subscription of a deleted account at once, including those begun during the deletion."""
    with db.read() as session:
        query = select(Customer.stripe_id).where(Customer.user_id == payload["user_id"], Customer.deleted_at.is_(None))
        customers = session.scalars(query).all()
    for customer in customers:
        for subscription in _list_subscriptions(customer):
            if subscription["status"] not in ENDED_STATUSES:
                _cancel_subscription(subscription["id"])


def list_deleted_still_paying() -> list[int]:
    """List deleted accounts that still have an open subscription here, because the job gave up or was lost."""
    query = select(Subscription.user_id).join(User, User.id == Subscription.user_id).distinct()
    with db.read() as session:
        return list(
            session.scalars(query.where(User.deleted_at.is_not(None), Subscription.status.not_in(ENDED_STATUSES)))
        )


def _list_subscriptions(customer: str) -> list[StripeObject]:
    """List a customer's subscriptions at Stripe; none for an unknown customer, so that the others are cancelled.

    The stored rows of an unknown customer stay: if the key was wrong, the nightly comparison finds them once it is
    right.
    """
    try:
        return list(list_all(gateway(), "subscriptions.list", customer=customer, status="all"))
    except StripeRefusedError as error:
        if not error.is_missing:
            raise
    log.warning("no such customer", extra={"event": "stripe.customer_gone", "stripe_id": customer})
    return []


def _cancel_subscription(stripe_id: str) -> None:
    try:
        _fetch(stripe_id)
    except NotOursError:
        return  # the same customer's subscription to something that this site does not sell
    try:
        gateway().call("subscriptions.cancel", stripe_id)
    except StripeRefusedError as error:
        if not error.is_missing:  # else it has just been cancelled: another host may run a second job for the account
            raise
    facts = _fetch(stripe_id)
    with db.write() as session:
        apply_to_database.apply_facts(session, facts)


def _fetch(stripe_id: str) -> Facts:
    with db.read() as session:
        now = database_now(session)
    return Fetcher(gateway(), now).about("subscription", stripe_id)


# -- checkouts --------------------------------------------------------------------------------------------------------


@register_deletion
def expire_checkouts_on_delete(session: Session, user: User) -> None:
    """Queue the expiry of a deleted account's open checkouts, in the transaction that deletes it."""
    query = select(Checkout).where(Checkout.user_id == user.id, Checkout.state == CheckoutState.OPEN.value)
    for row in session.scalars(query):
        if row.stripe_session is not None:
            jobs.enqueue(session, "billing.abandon", {"session": row.stripe_session}, max_attempts=_ATTEMPTS)


@jobs.handler("billing.abandon")
def expire_checkout(payload: dict[str, Any]) -> None:
    """Expire an open checkout session. If it was paid meanwhile, its webhook cancels the new subscription."""
    found = gateway().call("checkout.sessions.retrieve", str(payload["session"]))
    if found.get("status") == "open":
        gateway().call("checkout.sessions.expire", str(payload["session"]))


# -- export -----------------------------------------------------------------------------------------------------------


@register_export("membership")
def export_billing(session: Session, user: User) -> dict[str, Any]:
    """Collect what is stored about a member's payments."""
    columns: dict[str, tuple[type[Any], tuple[str, ...]]] = {
        "subscriptions": (
            Subscription,
            ("stripe_id", "plan", "status", "currency", "amount", "started_at", "ended_at"),
        ),
        "invoices": (Invoice, ("stripe_id", "number", "status", "currency", "total", "created_at", "paid_at")),
        "checkouts": (Checkout, ("state", "created_at", "finished_at")),
        "payments": (LedgerEntry, ("kind", "currency", "amount", "occurred_at")),
        "grants": (Grant, ("reason", "created_at", "until", "revoked_at")),
        "customers": (Customer, ("stripe_id", "card_brand", "card_last4", "card_expires", "created_at")),
    }
    return {
        part: [
            {name: _to_json(getattr(row, name)) for name in names}
            for row in session.scalars(select(model).where(model.user_id == user.id).order_by(model.id))
        ]
        for part, (model, names) in columns.items()
    }


def _to_json(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
