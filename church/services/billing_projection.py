"""What was fetched becomes rows, in one transaction under the lock of its customer's row.

A row is replaced only by what was fetched later than what it holds, so that two workers which fetched in one order
and arrive in the other leave the newer truth. Applying the same facts again changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from church.jobs_queue import database_now
from church.models import Customer, Invoice, Price, Product, Subscription
from church.services import billing_ledger
from church.services.billing_checkout_state import settle_checkout
from church.services.billing_facts import Facts
from church.services.billing_reading import card_values, customer_values, first_moment, price_values, product_values
from church.services.billing_reading_invoice import invoice_values
from church.services.billing_reading_subscription import subscription_values
from church.services.billing_rows import add_once

Projected = Customer | Invoice | Price | Product | Subscription


@dataclass
class Applied:
    """What applying facts came to: rows made or changed, rows that held something newer, entries booked."""

    changed: int = 0
    stale: int = 0
    booked: int = 0


def apply(session: Session, facts: Facts) -> Applied:
    """Write ``facts`` in the caller's transaction."""
    done = Applied()
    projection = _Projection(session, facts, done)
    projection.catalogue()
    if facts.customer_id is not None and facts.owner_id is not None:
        projection.membership(facts.customer_id, facts.owner_id)
        done.booked = billing_ledger.book(session, facts)
    for checkout in facts.sessions:
        done.changed += settle_checkout(session, checkout, payment_failed=facts.payment_failed)
    return done


class _Projection:
    def __init__(self, session: Session, facts: Facts, done: Applied) -> None:
        self._session = session
        self._facts = facts
        self._done = done
        self._now = database_now(session)

    def catalogue(self) -> None:
        for stripe_id, (product, plan) in self._facts.products.items():
            self._put(Product, stripe_id, {**product_values(product), "plan": plan})
        for stripe_id, price in self._facts.prices.items():
            self._put(Price, stripe_id, price_values(price))
        for stripe_id in self._facts.gone_products:
            self._put(Product, stripe_id, {"active": False})
        for stripe_id in self._facts.gone_prices:
            self._put(Price, stripe_id, {"active": False})

    def membership(self, customer_id: str, owner_id: int) -> None:
        customer = self._lock(customer_id, owner_id)
        if (found := self._facts.customer) is not None:
            gone = {"deleted_at": customer.deleted_at or self._now} if found.get("deleted") else customer_values(found)
            self._fill(customer, gone)
        whose = {"customer_id": customer.id, "user_id": customer.user_id}
        for stripe_id, (subscription, plan) in self._facts.subscriptions.items():
            values = subscription_values(subscription, plan) | whose
            if self._put(Subscription, stripe_id, values) and values["ended_at"] is None:
                self._set(customer, card_values(subscription.get("default_payment_method")))
        for stripe_id, invoice in self._facts.invoices.items():
            self._put(Invoice, stripe_id, invoice_values(invoice) | whose)

    def _lock(self, stripe_id: str, owner_id: int) -> Customer:
        """The customer's row, made if this is the first word of it; nobody else writes of it until we are done."""
        created = first_moment((self._facts.customer or {}).get("created"), int(self._now.timestamp()))
        row = {"stripe_id": stripe_id, "user_id": owner_id, "delinquent": False, "created_at": created}
        query = select(Customer).where(Customer.stripe_id == stripe_id).with_for_update()
        found = self._session.scalars(query).one_or_none()
        if found is None:
            add_once(self._session, Customer, "stripe_id", row)
            found = self._session.scalars(query).one()
        return found

    def _put(self, model: type[Any], stripe_id: str, values: dict[str, Any]) -> bool:
        """Make the row or bring it up to date; False when it holds something newer."""
        query = select(model).where(model.stripe_id == stripe_id).with_for_update()
        row: Projected | None = self._session.scalars(query).one_or_none()
        if row is None:
            fresh = {**values, "stripe_id": stripe_id, "fetched_at": self._facts.started_at}
            if add_once(self._session, model, "stripe_id", fresh) is not None:
                self._done.changed += 1
                return True
            row = self._session.scalars(query).one()
        return self._fill(row, values)

    def _fill(self, row: Projected, values: dict[str, Any]) -> bool:
        if _is_newer(row.fetched_at, self._facts.started_at, self._now):
            self._done.stale += 1
            return False
        if isinstance(row, Subscription) and row.past_due_since and values.get("past_due_since"):
            # Each further unpaid invoice would begin the days of grace anew.
            values = {**values, "past_due_since": min(row.past_due_since, values["past_due_since"])}
        row.fetched_at = self._facts.started_at
        self._done.changed += self._set(row, values)
        return True

    def _set(self, row: Projected, values: dict[str, Any]) -> bool:
        changed = {name: value for name, value in values.items() if getattr(row, name) != value}
        for name, value in changed.items():
            setattr(row, name, value)
        return bool(changed)


def _is_newer(held: datetime | None, offered: datetime, now: datetime) -> bool:
    """Whether what is held was fetched later; a time to come was written before the clock was set back."""
    return held is not None and offered < held <= now
