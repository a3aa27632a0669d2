"""Write objects fetched from Stripe to the database, in one transaction that locks the customer's row.

A row is replaced only by what was fetched later, so that of two workers that fetch in one order and write in the
other, the newer state stays. Applying the same facts again changes nothing.
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

from church import jobs
from church.database import database_now
from church.database.upsert import add_once, count_rows
from church.errors import UnavailableError
from church.extensions import db
from church.models import Checkout, Customer, Invoice, Price, Product, Subscription
from church.models.base import utc_now
from church.models.billing import ENDED_STATUSES, CheckoutState
from church.services import live_broadcast
from church.services.billing import emails
from church.services.billing.errors import NotOursError, StripeRefusedError
from church.services.billing.stripe.client import StripeObject, gateway
from church.services.billing.stripe.fetch import Facts, FetchedSubscription, Fetcher
from church.services.billing.stripe.ledger_entries import book_entries
from church.services.billing.stripe.objects import (
    card_values,
    customer_values,
    first_datetime,
    get_nested,
    invoice_values,
    price_values,
    product_values,
    subscription_values,
)

log = logging.getLogger("church.stripe")

REFRESH = "billing.renewals"
"""The job that asks Stripe what subscriptions pay, where that is not known any more."""
Projected = type[Customer | Invoice | Price | Product | Subscription]
Row = dict[str, Any]
_SETTLED = frozenset({"paid", "void"})
_SHOWN = frozenset({"status", "plan", "cancel_at", "next_price"})
"""Changes of a subscription that the member's open pages are notified of; a renewal is none."""
_RENEWAL = frozenset({"renewal_amount", "renewal_at", "renewal_asked_at", "renewal_basis"})
_NEVER_PAID = frozenset({"incomplete", "incomplete_expired"})
_NO_CARD = {"card_brand": None, "card_last4": None, "card_expires": None}


@dataclass
class Applied:
    """The result of applying facts: rows added or changed, rows that held newer data, ledger entries booked."""

    changed: int = 0
    stale: int = 0
    booked: int = 0
    members: set[int] = field(default_factory=set)
    """Accounts whose subscription changed."""
    new_customer: bool = field(default=False, compare=False)
    """Whether the customer was not stored before."""


def apply_facts(session: Session, facts: Facts, now: datetime | None = None) -> Applied:
    """Write ``facts`` in the caller's transaction; ``now`` is its time by the database's clock."""
    done = Applied()
    writer = _Writer(session, facts, done, now or database_now(session))
    writer.write_catalogue()
    if facts.customer_id is not None and facts.owner_id is not None:
        writer.write_membership(facts.customer_id, facts.owner_id)
        done.booked = book_entries(session, facts)
    for checkout in facts.sessions:
        done.changed += settle_checkout(session, checkout, payment_failed=facts.payment_failed)
    for stripe_id, row in writer.after.items():
        emails.queue_change(session, facts, writer.before[stripe_id], row, writer.now)
    for user_id in done.members:
        live_broadcast.notify_membership_changed(session, user_id)
    return done


class _Writer:
    def __init__(self, session: Session, facts: Facts, done: Applied, now: datetime) -> None:
        self._session = session
        self._facts = facts
        self._done = done
        self.before: dict[str, Row | None] = {}  # each subscription, before it was written; None for a new one
        self.after: dict[str, Row] = {}
        self.now = now

    def write_catalogue(self) -> None:
        for stripe_id, (product, plan) in self._facts.products.items():
            self._put(Product, stripe_id, {**product_values(product), "plan": plan})
        for stripe_id, price in self._facts.prices.items():
            before = self._done.changed
            self._put(Price, stripe_id, price_values(price))
            if self._done.changed > before:
                self._ask_again(stripe_id)
        for stripe_id, (price, product, plan) in self._facts.sold.items():
            if self._session.scalars(_select_id(Price.__table__), {"name": stripe_id}).first() is None:
                self._put(Product, product["id"], {**product_values(product), "plan": plan})
                self._put(Price, stripe_id, price_values(price))
        for stripe_id in self._facts.gone_products:
            self._put(Product, stripe_id, {"active": False})
        for stripe_id in self._facts.gone_prices:
            self._put(Price, stripe_id, {"active": False})

    def _ask_again(self, stripe_price: str) -> None:
        """Have Stripe asked again what the subscriptions with a changed price pay."""
        theirs = update(Subscription).where(
            Subscription.stripe_price == stripe_price,
            Subscription.status.not_in(ENDED_STATUSES),
            Subscription.renewal_asked_at.is_not(None),
        )
        unasked = theirs.values(renewal_asked_at=None).execution_options(synchronize_session=False)
        if count_rows(self._session.execute(unasked)):
            jobs.enqueue(self._session, REFRESH, {}, unique_key=REFRESH)

    def write_membership(self, customer_id: str, owner_id: int) -> None:
        customer = self._lock(customer_id, owner_id)
        if (found := self._facts.customer) is not None:
            gone = {"deleted_at": customer["deleted_at"] or self.now, **_NO_CARD} if found.get("deleted") else {}
            self._update(Customer, customer, gone or customer_values(found))
        owner = {"customer_id": customer["id"], "user_id": customer["user_id"]}
        for stripe_id, fetched in self._facts.subscriptions.items():
            values = self._subscription_values(fetched) | owner
            if self._put(Subscription, stripe_id, values) and values["ended_at"] is None:
                self._set(Customer, customer, card_values(fetched.found.get("default_payment_method")))
        for stripe_id, invoice in self._facts.invoices.items():
            self._put(Invoice, stripe_id, invoice_values(invoice) | owner)
        if found is not None and found.get("deleted"):
            self._end_subscriptions(customer["id"])

    def _end_subscriptions(self, customer_id: int) -> None:
        """End the subscriptions of a deleted customer: Stripe cancels them, and may no longer have them."""
        theirs = select(Subscription.stripe_id).where(
            Subscription.customer_id == customer_id, Subscription.status.not_in(ENDED_STATUSES)
        )
        for stripe_id in self._session.scalars(theirs).all():
            self._put(Subscription, stripe_id, {"status": "canceled", "ended_at": self.now})

    def _subscription_values(self, fetched: FetchedSubscription) -> Row:
        found, plan, item_id, plan_prices, renewal = fetched
        values = subscription_values(found, plan, item_id, plan_prices)
        if renewal is None:
            return values
        asked_at = self._facts.started_at if renewal.is_sure else None
        # Reckoned is the price of the present plan, which a scheduled change makes wrong.
        amount = renewal.amount if renewal.is_sure or values["next_price"] is None else None
        values |= {"renewal_amount": amount, "renewal_at": renewal.at, "renewal_basis": renewal.basis}
        return {**values, "renewal_asked_at": asked_at}

    def _lock(self, stripe_id: str, owner_id: int) -> Row:
        """Lock the customer's row, added if it is new: all writers of one customer take turns."""
        found = self._load(Customer, stripe_id)
        if found is None:
            created = first_datetime((self._facts.customer or {}).get("created"), int(self.now.timestamp()))
            row = {"stripe_id": stripe_id, "user_id": owner_id, "created_at": created}
            self._done.new_customer = add_once(self._session, Customer, "stripe_id", row) is not None
            found = self._load(Customer, stripe_id)
        return found or {}

    def _put(self, model: Projected, stripe_id: str, values: Row) -> bool:
        """Add or update the row; False when it holds newer data."""
        stored = self._load(model, stripe_id)
        if model is Subscription:
            self.before.setdefault(stripe_id, dict(stored) if stored else None)
        if stored is None:
            fresh = {**values, "stripe_id": stripe_id, "fetched_at": self._facts.started_at}
            if add_once(self._session, model, "stripe_id", fresh) is not None:
                self._done.changed += 1
                self._note(model, fresh, _SHOWN)
                return True
            stored = self._load(model, stripe_id) or {}
        return self._update(model, stored, values)

    def _load(self, model: Projected, stripe_id: str) -> Row | None:
        """Lock and read the row, into a dict that ``_set`` keeps up to date."""
        found = self._session.execute(_select_for_update(model.__table__), {"name": stripe_id}).mappings().one_or_none()
        return None if found is None else dict(found)

    def _update(self, model: Projected, stored: Row, values: Row) -> bool:
        if _is_newer(stored["fetched_at"], self._facts.started_at, self.now):
            self._done.stale += 1
            return False
        since, new_since = stored.get("past_due_since"), values.get("past_due_since")
        if since and new_since and not self._is_settled(stored["latest_invoice"]):
            # While the former invoice is unpaid, a further one does not restart the grace period.
            values = {**values, "past_due_since": min(since, new_since)}
        if _is_older_amount_better(stored, values):
            values = {name: value for name, value in values.items() if name not in _RENEWAL}
        if _is_older_amount_wrong(stored, values):
            values = {**values, **dict.fromkeys(_RENEWAL)}
        self._done.changed += self._set(model, stored, values, fetched_at=self._facts.started_at)
        return True

    def _is_settled(self, invoice: str | None) -> bool:
        found = self._facts.invoices.get(invoice or "")
        return found is not None and found.get("status") in _SETTLED

    def _set(self, model: Projected, stored: Row, values: Row, **always: Any) -> bool:
        """Write the values that differ, and ``always``. Returns whether any differed."""
        changed = {name: value for name, value in values.items() if stored[name] != value}
        if changed or always:
            self._session.execute(_update_row(model.__table__), {"row": stored["id"], **changed, **always})
            stored.update(changed, **always)
            self._note(model, stored, changed.keys())
        return bool(changed)

    def _note(self, model: Projected, row: Row, changed: Collection[str]) -> None:
        if model is Subscription:
            self.after[row["stripe_id"]] = row
        if model is Subscription and row["status"] not in _NEVER_PAID and not _SHOWN.isdisjoint(changed):
            self._done.members.add(row["user_id"])


def _is_older_amount_better(stored: Row, values: Row) -> bool:
    """Whether Stripe did not tell the amount now, and told it before for the same items, discounts and period."""
    is_answered = "renewal_basis" in values and values["renewal_asked_at"] is not None
    has_amount = bool(stored.get("renewal_basis"))
    return not is_answered and has_amount and stored["renewal_basis"] == values.get("renewal_basis")


def _is_older_amount_wrong(stored: Row, values: Row) -> bool:
    """Whether the amount was told before the change of plan that is scheduled now; it is to be asked for again.

    A schedule gets its phases after it was attached, and no other sign of the subscription tells these two apart.
    """
    return "renewal_basis" not in values and "next_price" in values and stored["next_price"] != values["next_price"]


# Built once and of the tables, because the ORM's way takes several times as long for each event.


@cache
def _select_id(table: Any) -> Select[tuple[int]]:
    return select(table.c.id).where(table.c.stripe_id == bindparam("name"))


@cache
def _select_for_update(table: Any) -> Select[Any]:
    return select(table).where(table.c.stripe_id == bindparam("name")).with_for_update()


@cache
def _update_row(table: Any) -> Update:
    return update(table).where(table.c.id == bindparam("row"))


def _is_newer(stored: datetime | None, fetched: datetime, now: datetime) -> bool:
    """Whether the stored row was fetched later. A time in the future was written before the clock was set back."""
    return stored is not None and fetched < stored <= now


# -- checkouts --------------------------------------------------------------------------------------------------------


_UNFINISHED = frozenset({CheckoutState.OPEN.value, CheckoutState.PENDING.value})
_PAID = frozenset({"paid", "no_payment_required"})


def settle_checkout(session: Session, found: StripeObject, *, payment_failed: bool) -> bool:
    """Update the checkout's row from Stripe's session, in the caller's transaction. Returns whether it changed.

    A finished checkout stays finished, in whatever order events arrive. Only the event (``payment_failed``) shows that
    a slow payment failed: the session is complete and unpaid before and after.
    """
    ours = or_(Checkout.stripe_session == found["id"], Checkout.ref == get_nested(found, "metadata", "church_checkout"))
    row = session.scalars(select(Checkout).where(ours).with_for_update()).first()
    if row is None or row.state not in _UNFINISHED:
        return False
    state = _checkout_state(found, payment_failed=payment_failed)
    if state.value == row.state:
        return False
    row.state, row.stripe_session = state.value, found["id"]
    row.finished_at = None if row.state in _UNFINISHED else utc_now()
    return True


def _checkout_state(found: StripeObject, *, payment_failed: bool) -> CheckoutState:
    if found.get("status") == "expired":
        return CheckoutState.EXPIRED
    if found.get("status") != "complete":
        return CheckoutState.OPEN
    if found.get("payment_status") in _PAID:
        return CheckoutState.COMPLETED
    return CheckoutState.FAILED if payment_failed else CheckoutState.PENDING


def refresh_subscription(stripe_subscription: str, *, stop_if_down: bool = False) -> bool:
    """Fetch and store a subscription now. False if that fails: its webhook will bring the same.

    With ``stop_if_down``, raises StripeDownError and the database's errors instead.
    """
    try:
        with db.read() as session:
            fetcher = Fetcher(gateway(), database_now(session))
        facts = fetcher.about("subscription", stripe_subscription)
        with db.write() as session:
            apply_facts(session, facts)
    except (NotOursError, StripeRefusedError, UnavailableError) as error:
        if stop_if_down and isinstance(error, UnavailableError):
            raise
        log.warning(
            "subscription not refreshed",
            extra={"event": "stripe.not_refreshed", "reason": getattr(error, "reason", str(error))},
        )
        return False
    return True
