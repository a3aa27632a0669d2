"""Rows of the billing tables for tests, with a value for each column that needs one."""

from __future__ import annotations

from itertools import count
from typing import Any

from sqlalchemy import select, text

from church.extensions import db
from church.models import Base, Customer, Grant, Invoice, LedgerEntry, StripeEvent, Subscription
from church.models.base import utc_now
from tests.support.stripe_fixture import DAY, START, T, utc_time

_numbers = count(1)


def store(*rows: Base) -> None:
    """Insert ``rows``, in the app context of the test."""
    with db.write() as session:
        session.add_all(rows)


def stored(model: type[T]) -> list[T]:
    """List all rows of a table, oldest first."""
    with db.read() as session:
        return list(session.scalars(select(model).order_by(text("id"))))


def add_customer(user_id: int, stripe_id: str = "", **values: Any) -> Customer:
    """Store a customer of the account ``user_id``."""
    row = Customer(
        **{"stripe_id": stripe_id or f"cus_row{next(_numbers)}", "user_id": user_id, "created_at": utc_time(START)}
        | values
    )
    store(row)
    return row


def add_subscription(customer: Customer, stripe_id: str = "", **values: Any) -> Subscription:
    """Store an active subscription for 12 dollars a month."""
    defaults: dict[str, Any] = {
        "stripe_id": stripe_id or f"sub_row{next(_numbers)}", "customer_id": customer.id, "user_id": customer.user_id,
        "status": "active", "plan": "patron", "quantity": 1, "amount": 1200, "plan_amount": 1200,
        "renewal_amount": 1200, "currency": "usd", "interval": "month", "interval_count": 1,
        "started_at": utc_time(START), "current_period_end": utc_time(START + 30 * DAY),
        "created_at": utc_time(START), "fetched_at": utc_now(),
    }  # fmt: skip
    row = Subscription(**defaults | values)
    store(row)
    return row


def add_invoice(subscription: Subscription, stripe_id: str = "", **values: Any) -> Invoice:
    """Store an open invoice of 12 dollars."""
    defaults: dict[str, Any] = {
        "stripe_id": stripe_id or f"in_row{next(_numbers)}", "customer_id": subscription.customer_id,
        "user_id": subscription.user_id, "stripe_subscription": subscription.stripe_id, "status": "open",
        "currency": "usd", "total": 1200, "amount_paid": 0, "amount_remaining": 1200,
        "created_at": utc_time(START), "fetched_at": utc_now(),
    }  # fmt: skip
    row = Invoice(**defaults | values)
    store(row)
    return row


def add_entry(user_id: int, amount: int, kind: str = "payment", **values: Any) -> LedgerEntry:
    """Store a ledger entry of ``amount`` cents."""
    defaults: dict[str, Any] = {
        "source_id": f"row:{next(_numbers)}", "kind": kind, "amount": amount, "currency": "usd", "user_id": user_id,
        "stripe_customer": "cus_1", "occurred_at": utc_time(START),
    }  # fmt: skip
    row = LedgerEntry(**defaults | values)
    store(row)
    return row


def add_grant(user_id: int, **values: Any) -> Grant:
    """Store a grant of premium that never ends."""
    now = utc_now()
    row = Grant(
        **{"user_id": user_id, "reason": "a friend", "created_at": now, "until": now.replace(year=9999)} | values
    )
    store(row)
    return row


def add_event(stripe_id: str, event_type: str, object_id: str, **values: Any) -> StripeEvent:
    """Store a processed webhook event."""
    now = utc_now()
    payload = {"id": stripe_id, "type": event_type, "data": {"object": {"id": object_id}}}
    defaults: dict[str, Any] = {
        "stripe_id": stripe_id, "type": event_type, "object_id": object_id, "payload": payload, "state": "processed",
        "created_at": now, "received_at": now, "processed_at": now,
    }  # fmt: skip
    row = StripeEvent(**defaults | values)
    store(row)
    return row
