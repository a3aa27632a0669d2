"""The rows of checkouts: the one that a member has open, and how it ends."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from church.extensions import db
from church.models import Checkout, Customer
from church.models.base import utc_now
from church.models.checkout import OPEN_ONLY, CheckoutState

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
        insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
        made = {**values, "user_id": user_id, "state": CheckoutState.OPEN.value}
        session.execute(
            insert(Checkout).values(made).on_conflict_do_nothing(index_elements=["user_id"], index_where=OPEN_ONLY)
        )
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
