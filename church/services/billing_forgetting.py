"""What webhooks said is kept for a while, for admins to look into; that they came, and what came of it, stays."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from sqlalchemy import select

from church import jobs
from church.extensions import db
from church.jobs_queue import database_now
from church.models import StripeEvent
from church.services.billing_events import outline

__all__ = ["KEEP_PAYLOADS", "forget_payloads"]

log = logging.getLogger("church.stripe")

KEEP_PAYLOADS = timedelta(days=90)  # Stripe itself gives events for 30
_BATCH = 200


@jobs.every(timedelta(days=1), "billing.forget_payloads")
def forget_payloads(_payload: dict[str, Any]) -> None:
    """Leave of old payloads the names of their parts alone, by which an event can still be done again."""
    count = 0
    while batch := _forget_some():
        count += batch
    log.info("payloads forgotten", extra={"event": "stripe.forgotten", "count": count})


def _forget_some() -> int:
    with db.write() as session:
        old = StripeEvent.received_at < database_now(session) - KEEP_PAYLOADS
        whole = StripeEvent.payload["truncated"].as_boolean().is_(None)
        query = select(StripeEvent).where(old, whole).order_by(StripeEvent.received_at).limit(_BATCH)
        rows = session.scalars(query.with_for_update(skip_locked=True)).all()
        for row in rows:
            row.payload = outline(row.payload)
        return len(rows)
