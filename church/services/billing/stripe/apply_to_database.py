"""What was fetched becomes rows, in one transaction under the lock of its customer's row.

A row is replaced only by what was fetched later than what it holds, so that two workers which fetched in one order
and arrive in the other leave the newer truth. Applying the same facts again changes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Select, Update, bindparam, or_, select, update
from sqlalchemy.orm import Session

from church.database import database_now
from church.database.upsert import add_once
from church.errors import UnavailableError
from church.extensions import db
from church.models import Checkout, Customer, Invoice, Price, Product, Subscription
from church.models.base import utc_now
from church.models.billing import CheckoutState
from church.services import live_broadcast
from church.services.billing import ledger
from church.services.billing.errors import NotOursError, StripeRefusedError
from church.services.billing.stripe.client import Obj, gateway
from church.services.billing.stripe.fetch import Facts, Gatherer
from church.services.billing.stripe.objects import (
    card_values,
    customer_values,
    first_moment,
    invoice_values,
    part,
    price_values,
    product_values,
    ref,
    subscription_values,
)

log = logging.getLogger("church.stripe")

Projected = type[Customer | Invoice | Price | Product | Subscription]
Row = dict[str, Any]
_SETTLED = frozenset({"paid", "void"})
_TOLD = frozenset({"status", "plan", "cancel_at", "next_price"})
"""What of a subscription its member is told of: a renewal is nothing new."""
_UNBORN = frozenset({"incomplete", "incomplete_expired"})  # its first payment was never made


@dataclass
class Applied:
    """What applying facts came to: rows made or changed, rows that held something newer, entries booked."""

    changed: int = 0
    stale: int = 0
    booked: int = 0
    members: set[int] = field(default_factory=set)
    """Whose subscription became otherwise."""


def apply(session: Session, facts: Facts, now: datetime | None = None) -> Applied:
    """Write ``facts`` in the caller's transaction, whose time by the database's clock is ``now``."""
    done = Applied()
    projection = _Projection(session, facts, done, now or database_now(session))
    projection.catalogue()
    if facts.customer_id is not None and facts.owner_id is not None:
        projection.membership(facts.customer_id, facts.owner_id)
        done.booked = ledger.book(session, facts)
    for checkout in facts.sessions:
        done.changed += settle_checkout(session, checkout, payment_failed=facts.payment_failed)
    for user_id in done.members:
        live_broadcast.membership_changed(session, user_id)
    return done


class _Projection:
    def __init__(self, session: Session, facts: Facts, done: Applied, now: datetime) -> None:
        self._session = session
        self._facts = facts
        self._done = done
        self._now = now

    def catalogue(self) -> None:
        for stripe_id, (product, plan) in self._facts.products.items():
            self._put(Product, stripe_id, {**product_values(product), "plan": plan})
        for stripe_id, price in self._facts.prices.items():
            self._put(Price, stripe_id, price_values(price))
        for stripe_id, (price, product, plan) in self._facts.sold.items():
            if self._session.scalars(_named(Price.__table__), {"name": stripe_id}).first() is None:
                self._put(Product, product["id"], {**product_values(product), "plan": plan})
                self._put(Price, stripe_id, price_values(price))
        for stripe_id in self._facts.gone_products:
            self._put(Product, stripe_id, {"active": False})
        for stripe_id in self._facts.gone_prices:
            self._put(Price, stripe_id, {"active": False})

    def membership(self, customer_id: str, owner_id: int) -> None:
        customer = self._lock(customer_id, owner_id)
        if (found := self._facts.customer) is not None:
            gone = {"deleted_at": customer["deleted_at"] or self._now} if found.get("deleted") else {}
            self._fill(Customer, customer, gone or customer_values(found))
        whose = {"customer_id": customer["id"], "user_id": customer["user_id"]}
        for stripe_id, (subscription, plan) in self._facts.subscriptions.items():
            values = subscription_values(subscription, plan) | whose
            if self._put(Subscription, stripe_id, values) and values["ended_at"] is None:
                self._set(Customer, customer, card_values(subscription.get("default_payment_method")))
        for stripe_id, invoice in self._facts.invoices.items():
            self._put(Invoice, stripe_id, invoice_values(invoice) | whose)

    def _lock(self, stripe_id: str, owner_id: int) -> Row:
        """The customer's row, made if this is the first word of it; nobody else writes of it until we are done."""
        found = self._held(Customer, stripe_id)
        if found is None:
            created = first_moment((self._facts.customer or {}).get("created"), int(self._now.timestamp()))
            row = {"stripe_id": stripe_id, "user_id": owner_id, "delinquent": False, "created_at": created}
            add_once(self._session, Customer, "stripe_id", row)
            found = self._held(Customer, stripe_id)
        return found or {}

    def _put(self, model: Projected, stripe_id: str, values: Row) -> bool:
        """Make the row or bring it up to date; False when it holds something newer."""
        held = self._held(model, stripe_id)
        if held is None:
            fresh = {**values, "stripe_id": stripe_id, "fetched_at": self._facts.started_at}
            if add_once(self._session, model, "stripe_id", fresh) is not None:
                self._done.changed += 1
                self._note(model, fresh, _TOLD)
                return True
            held = self._held(model, stripe_id) or {}
        return self._fill(model, held, values)

    def _held(self, model: Projected, stripe_id: str) -> Row | None:
        """The row, locked; a copy of our own, which ``_set`` keeps up to date."""
        found = self._session.execute(_locked(model.__table__), {"name": stripe_id}).mappings().one_or_none()
        return None if found is None else dict(found)

    def _fill(self, model: Projected, held: Row, values: Row) -> bool:
        if _is_newer(held["fetched_at"], self._facts.started_at, self._now):
            self._done.stale += 1
            return False
        if held.get("past_due_since") and values.get("past_due_since") and not self._is_settled(held["latest_invoice"]):
            # Each further invoice would begin the days of grace anew while the one before is unpaid.
            values = {**values, "past_due_since": min(held["past_due_since"], values["past_due_since"])}
        self._done.changed += self._set(model, held, values, fetched_at=self._facts.started_at)
        return True

    def _is_settled(self, invoice: str | None) -> bool:
        found = self._facts.invoices.get(invoice or "")
        return found is not None and found.get("status") in _SETTLED

    def _set(self, model: Projected, held: Row, values: Row, **anyway: Any) -> bool:
        """Write what differs, and ``anyway``; whether something differed."""
        changed = {name: value for name, value in values.items() if held[name] != value}
        if changed or anyway:
            self._session.execute(_rewritten(model.__table__), {"row": held["id"], **changed, **anyway})
            held.update(changed, **anyway)
            self._note(model, held, changed.keys())
        return bool(changed)

    def _note(self, model: Projected, row: Row, changed: Collection[str]) -> None:
        if model is Subscription and row["status"] not in _UNBORN and not _TOLD.isdisjoint(changed):
            self._done.members.add(row["user_id"])


# Of the tables and made once each: for every event the ORM's way takes several times as long.


@cache
def _named(table: Any) -> Select[tuple[int]]:
    return select(table.c.id).where(table.c.stripe_id == bindparam("name"))


@cache
def _locked(table: Any) -> Select[Any]:
    return select(table).where(table.c.stripe_id == bindparam("name")).with_for_update()


@cache
def _rewritten(table: Any) -> Update:
    return update(table).where(table.c.id == bindparam("row"))


def _is_newer(held: datetime | None, offered: datetime, now: datetime) -> bool:
    """Whether what is held was fetched later; a time to come was written before the clock was set back."""
    return held is not None and offered < held <= now


_UNFINISHED = frozenset({CheckoutState.OPEN.value, CheckoutState.PENDING.value})
_PAID = frozenset({"paid", "no_payment_required"})


def settle_checkout(session: Session, found: Obj, *, payment_failed: bool) -> bool:
    """Bring our row of it up to date, in the caller's transaction; whether that changed something.

    What is finished stays so, whatever order the events come in. That a slow payment failed is said by its event
    alone (``payment_failed``): the session is complete and unpaid before and after.
    """
    ours = or_(Checkout.stripe_session == found["id"], Checkout.ref == part(found, "metadata", "church_checkout"))
    row = session.scalars(select(Checkout).where(ours).with_for_update()).first()
    if row is None or row.state not in _UNFINISHED:
        return False
    state = _state(found, payment_failed=payment_failed)
    if state.value == row.state:
        return False
    row.state, row.stripe_session = state.value, found["id"]
    row.stripe_subscription = ref(found.get("subscription"))
    row.finished_at = None if row.state in _UNFINISHED else utc_now()
    return True


def _state(found: Obj, *, payment_failed: bool) -> CheckoutState:
    if found.get("status") == "expired":
        return CheckoutState.EXPIRED
    if found.get("status") != "complete":
        return CheckoutState.OPEN
    if found.get("payment_status") in _PAID:
        return CheckoutState.COMPLETED
    return CheckoutState.FAILED if payment_failed else CheckoutState.PENDING


def refresh(stripe_subscription: str) -> bool:
    """Fetch and keep it; False where that did not work, since the webhook will tell the same."""
    try:
        with db.read() as session:
            gatherer = Gatherer(gateway(), database_now(session))
        facts = gatherer.about("subscription", stripe_subscription)
        with db.write() as session:
            apply(session, facts)
    except (NotOursError, StripeRefusedError, UnavailableError) as error:
        log.warning(
            "not refreshed", extra={"event": "stripe.not_refreshed", "reason": getattr(error, "reason", str(error))}
        )
        return False
    return True
