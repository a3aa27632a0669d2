"""What webhooks said is kept for a while, for admins to look into; that they came, and what came of it, stays."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from church import jobs
from church.extensions import db
from church.jobs.queue import database_now
from church.models import Checkout, Customer, StripeEvent, User
from church.services.accounts.data_registry import on_delete
from church.services.billing.stripe.event_types import outline

__all__ = ["KEEP_PAYLOADS", "forget_member", "forget_payloads"]

log = logging.getLogger("church.stripe")

KEEP_PAYLOADS = timedelta(days=90)  # Stripe itself gives events for 30
_BATCH = 200
_IS_WHOLE = StripeEvent.payload["truncated"].as_boolean().is_(None)


@jobs.every(timedelta(days=1), "billing.forget_payloads")
def forget_payloads(_payload: dict[str, Any]) -> None:
    """Leave of old payloads the names of their parts alone, by which an event can still be done again."""
    count = 0
    while batch := _forget_some():
        count += batch
    log.info("payloads forgotten", extra={"event": "stripe.forgotten", "count": count})


@on_delete
def forget_member(session: Session, user: User) -> None:
    """Leave the same of what webhooks said of a member who leaves, such as the address that Stripe has of them."""
    customers = session.scalars(select(Customer.stripe_id).where(Customer.user_id == user.id)).all()
    checkouts = session.scalars(select(Checkout.stripe_session).where(Checkout.user_id == user.id)).all()
    customer = StripeEvent.payload["data"]["object"]["customer"]
    theirs = or_(
        StripeEvent.object_id.in_([*customers, *filter(None, checkouts)]),
        customer.as_string().in_(customers),
        customer["id"].as_string().in_(customers),
    )
    for row in session.scalars(select(StripeEvent).where(theirs, _IS_WHOLE)):
        row.payload = outline(row.payload)


def _forget_some() -> int:
    with db.write() as session:
        old = StripeEvent.received_at < database_now(session) - KEEP_PAYLOADS
        query = select(StripeEvent).where(old, _IS_WHOLE).order_by(StripeEvent.received_at).limit(_BATCH)
        rows = session.scalars(query.with_for_update(skip_locked=True)).all()
        for row in rows:
            row.payload = outline(row.payload)
        return len(rows)
