"""What becomes of a membership when its account is deleted, and what a member's export tells of it."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, select, update
from sqlalchemy.orm import Session

from church import jobs
from church.database import database_now
from church.extensions import db
from church.models import Checkout, Customer, Grant, Invoice, LedgerEntry, Subscription, User
from church.models.base import utc_now
from church.models.billing import ENDED_STATUSES, CheckoutState
from church.services.accounts.data_registry import exports, on_delete
from church.services.billing.errors import NotOursError, StripeRefusedError
from church.services.billing.stripe import apply_to_database
from church.services.billing.stripe.client import Obj, every, gateway
from church.services.billing.stripe.fetch import Facts, Gatherer

log = logging.getLogger("church.stripe")

_LEFT = select(User.__table__.c.id).where(User.__table__.c.id == bindparam("user"), User.deleted_at.is_not(None))
_ATTEMPTS = 20  # with an hour between the later ones: a Stripe that is down for half a day is outlasted


@on_delete
def leave(session: Session, user: User) -> None:
    """Have the subscriptions of a deleted account cancelled, in the transaction that deletes it.

    The rows of money stay: they name nobody any more.
    """
    session.execute(update(Grant).where(Grant.user_id == user.id).values(reason="", revoked_at=utc_now()))
    no_card = {"card_brand": None, "card_last4": None, "card_expires": None}
    session.execute(update(Customer).where(Customer.user_id == user.id).values(**no_card))
    if session.scalars(select(Customer.id).where(Customer.user_id == user.id).limit(1)).first() is not None:
        _enqueue(session, user.id)


@jobs.handler("billing.cancel")
def cancel(payload: dict[str, Any]) -> None:
    """Cancel at once whatever a member who left still pays for; those begun while they left, too."""
    with db.read() as session:
        query = select(Customer.stripe_id).where(Customer.user_id == payload["user_id"], Customer.deleted_at.is_(None))
        customers = session.scalars(query).all()
    for customer in customers:
        for subscription in _subscriptions(customer):
            if subscription["status"] not in ENDED_STATUSES:
                _cancel(subscription["id"])


def _subscriptions(customer: str) -> list[Obj]:
    """All of a customer's; none of one whom Stripe does not know, who keeps none of the others from being ended.

    What is kept of that customer stays: if it is the key that is wrong, ``still_paying`` finds them once it is right.
    """
    try:
        return list(every(gateway(), "subscriptions.list", customer=customer, status="all"))
    except StripeRefusedError as error:
        if not error.is_missing:
            raise
    log.warning("no such customer", extra={"event": "stripe.customer_gone", "stripe_id": customer})
    return []


def still_paying() -> list[int]:
    """Who has left, and pays all the same by what is known here: the job that was to cancel it gave up, or was lost."""
    query = select(Subscription.user_id).join(User, User.id == Subscription.user_id).distinct()
    with db.read() as session:
        return list(
            session.scalars(query.where(User.deleted_at.is_not(None), Subscription.status.not_in(ENDED_STATUSES)))
        )


def _cancel(stripe_id: str) -> None:
    try:
        _fetch(stripe_id)
    except NotOursError:
        return  # something else of the same customer's, which this site does not sell
    gateway().call("subscriptions.cancel", stripe_id)
    facts = _fetch(stripe_id)
    with db.write() as session:
        apply_to_database.apply(session, facts)


def _fetch(stripe_id: str) -> Facts:
    with db.read() as session:
        now = database_now(session)
    return Gatherer(gateway(), now).about("subscription", stripe_id)


def cancel_if_left(session: Session, facts: Facts) -> None:
    """Have a subscription cancelled that was begun by somebody who has left, as by a checkout that was still open."""
    living = [one for one, _ in facts.subscriptions.values() if one.get("status") not in ENDED_STATUSES]
    if living and facts.owner_id is not None and has_left(session, facts):
        _enqueue(session, facts.owner_id)


def has_left(session: Session, facts: Facts) -> bool:
    """Whether what was fetched is about somebody whose account is deleted."""
    return facts.owner_id is not None and session.scalars(_LEFT, {"user": facts.owner_id}).first() is not None


def _enqueue(session: Session, user_id: int) -> None:
    kind = "billing.cancel"
    jobs.enqueue(session, kind, {"user_id": user_id}, unique_key=f"{kind}:{user_id}", max_attempts=_ATTEMPTS)


@exports("membership")
def export(session: Session, user: User) -> dict[str, Any]:
    """What is kept of a member's payments, for them to take along."""
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
            {name: _plain(getattr(row, name)) for name in names}
            for row in session.scalars(select(model).where(model.user_id == user.id).order_by(model.id))
        ]
        for part, (model, names) in columns.items()
    }


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


_EXPIRE_ATTEMPTS = 20


@on_delete
def abandon(session: Session, user: User) -> None:
    """Have the checkouts of a deleted account closed, in the transaction that deletes it."""
    query = select(Checkout).where(Checkout.user_id == user.id, Checkout.state == CheckoutState.OPEN.value)
    for row in session.scalars(query):
        if row.stripe_session is not None:
            jobs.enqueue(session, "billing.abandon", {"session": row.stripe_session}, max_attempts=_EXPIRE_ATTEMPTS)


@jobs.handler("billing.abandon")
def close(payload: dict[str, Any]) -> None:
    """Close a session. One that was paid meanwhile is told by its webhook, which cancels what it began."""
    found = gateway().call("checkout.sessions.retrieve", str(payload["session"]))
    if found.get("status") == "open":
        gateway().call("checkout.sessions.expire", str(payload["session"]))
