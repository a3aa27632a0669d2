"""Payments for a plan whose payer is no member: keep them, give them to a member, or dismiss them.

A payer by payment link or by Stripe's dashboard becomes a member's when an account has confirmed the payer's address,
then or later, or when an admin says whose it is. Log lines and audit entries never contain the address.
"""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, func, select, update
from sqlalchemy.orm import Session

from church import jobs
from church.config import current_settings
from church.database import database_now
from church.database.batches import delete_in_batches, find_in_batches
from church.database.paging import NEWEST, ListPage, Place, fetch_page
from church.database.upsert import add_once, count_rows
from church.errors import ConflictError, FieldErrors, NotFoundError, UnavailableError
from church.extensions import db
from church.models import Customer, UnmatchedPayment, User
from church.models.base import plain, utc_now
from church.models.billing import ENDED_STATUSES
from church.services import audit, money
from church.services.accounts import register_confirmation
from church.services.audit import Actor
from church.services.billing import account_data
from church.services.billing.errors import NotOursError, PaymentsOffError, StripeRefusedError
from church.services.billing.membership import list_current_subscriptions
from church.services.billing.stripe import apply_to_database, owners
from church.services.billing.stripe.client import gateway, list_all
from church.services.billing.stripe.fetch import Fetcher, is_deleted
from church.services.billing.stripe.objects import subscription_values
from church.services.billing.stripe.owners import UnmatchedPayer

log = logging.getLogger("church.stripe")

KEEP_ENDED = timedelta(days=90)
_LOAD = "billing.load_customer"
_ATTEMPTS = 20
_PATIENCE = 10.0  # seconds that an admin waits for a customer; the worker process loads the rest
_NOT_PAID = frozenset({"incomplete", "incomplete_expired"})
_NO_ACCOUNT = "No account has this email address or ref."


class UnknownPaymentError(NotFoundError):
    """There is no payment without a member with this id."""

    def __init__(self, payment_id: int) -> None:
        super().__init__(f"There is no payment {payment_id} without a member.")


class _OutOfTimeError(UnavailableError):
    """The customer has more than one request can load."""

    def __init__(self) -> None:
        super().__init__("The worker process loads the rest.", retry_after=None)


# -- what Stripe reports ----------------------------------------------------------------------------------------------


def keep_payment(session: Session, payer: UnmatchedPayer, now: datetime) -> None:
    """Store a payment without a member, or what changed of it, in the caller's transaction.

    One that nobody has paid yet, or that ended before it was first seen, is not stored. If an account has confirmed the
    address meanwhile, the payment becomes that member's.
    """
    values = _values(payer, now)
    stored = select(UnmatchedPayment).where(UnmatchedPayment.stripe_subscription == payer.subscription["id"])
    row = session.scalars(stored.with_for_update()).one_or_none()
    if row is None:
        if values["status"] in ENDED_STATUSES | _NOT_PAID:
            return
        key = {"stripe_subscription": payer.subscription["id"], "created_at": now}
        if add_once(session, UnmatchedPayment, "stripe_subscription", {**values, **key}) is not None:
            facts = {"event": "stripe.unmatched_payment", "stripe_id": payer.subscription["id"]}
            log.warning("payment without a member", extra=facts)
    else:
        values["ended_at"] = row.ended_at or values["ended_at"]
        session.execute(update(UnmatchedPayment).where(UnmatchedPayment.id == row.id).values(**values))
    same_payer = update(UnmatchedPayment).where(UnmatchedPayment.stripe_customer == payer.customer)
    address = {name: values[name] for name in ("email", "email_key")}
    session.execute(same_payer.values(**address).execution_options(synchronize_session=False))
    user = owners.find_confirmed(session, payer.email)
    if user is not None:
        _match(session, payer.customer, user)


def _values(payer: UnmatchedPayer, now: datetime) -> dict[str, Any]:
    columns = subscription_values(payer.subscription, payer.plan, payer.item)
    kept = {name: columns[name] for name in ("status", "plan", "amount", "currency", "interval", "started_at")}
    ended = (columns["ended_at"] or now) if columns["status"] in ENDED_STATUSES else None
    address = {"email": payer.email, "email_key": owners.address_key(payer.email)}
    return {**kept, **address, "stripe_customer": payer.customer, "ended_at": ended}


def end_payments_of(session: Session, customer: str, now: datetime) -> None:
    """End the payments of a deleted customer, in the caller's transaction."""
    theirs = update(UnmatchedPayment).where(
        UnmatchedPayment.stripe_customer == customer, UnmatchedPayment.ended_at.is_(None)
    )
    session.execute(theirs.values(status="canceled", ended_at=now).execution_options(synchronize_session=False))


def settle_customer(session: Session, customer: str) -> None:
    """Remove the payments of a customer that has become a member's, and load what came before, in the transaction."""
    theirs = delete(UnmatchedPayment).where(UnmatchedPayment.stripe_customer == customer)
    if count_rows(session.execute(theirs.execution_options(synchronize_session=False))):
        _queue_load(session, customer)


# -- a member is found ------------------------------------------------------------------------------------------------


@register_confirmation
def match_confirmed(session: Session, user: User) -> None:
    """Give an account the payments of the address that it confirms, in the transaction that confirms it."""
    key = owners.address_key(user.email)  # its own may be one of an earlier release, which is that of another inbox
    if key is None or user.deleted_at is not None:
        return
    query = select(UnmatchedPayment.stripe_customer).where(UnmatchedPayment.email_key == key)
    for customer in session.scalars(query.distinct()).all():
        _match(session, customer, user)


def _match(session: Session, customer: str, user: User) -> None:
    _give(session, customer, user.id)
    audit.record(session, "payment.matched", via="site", subject_id=user.id, customer=customer)
    log.info("payment matched", extra={"event": "stripe.payment_matched", "subject_ref": user.ref})


def _give(session: Session, customer: str, user_id: int) -> None:
    """Make a customer the member's: later events find it, and a job loads what was paid before."""
    now = database_now(session)
    row = {"stripe_id": customer, "user_id": user_id, "created_at": now}
    add_once(session, Customer, "stripe_id", row)
    session.execute(
        delete(UnmatchedPayment)
        .where(UnmatchedPayment.stripe_customer == customer)
        .execution_options(synchronize_session=False)
    )
    _queue_load(session, customer)


def _queue_load(session: Session, customer: str) -> None:
    jobs.enqueue(session, _LOAD, {"customer": customer}, unique_key=f"{_LOAD}:{customer}", max_attempts=_ATTEMPTS)


@jobs.handler(_LOAD)
def load_customer(payload: dict[str, Any]) -> None:
    """Fetch and store the subscriptions and invoices of a customer that has become a member's."""
    if current_settings().payments:
        _load_all(str(payload["customer"]), math.inf)


def _load_all(customer: str, seconds: float) -> None:
    """Load the subscriptions first, which open premium. Raises _OutOfTimeError after ``seconds``."""
    end = time.monotonic() + seconds
    found = [("subscription", "subscriptions.list", {"status": "all"}), ("invoice", "invoices.list", {})]
    for kind, method, params in found:
        try:
            for row in list_all(gateway(), method, customer=customer, **params):
                _load(kind, row["id"])
                if time.monotonic() >= end:
                    raise _OutOfTimeError
        except StripeRefusedError as error:
            if not error.is_missing:
                raise
    _load("customer", customer)


def _load(kind: str, stripe_id: str) -> None:
    with db.read() as session:
        fetcher = Fetcher(gateway(), database_now(session))
    try:
        facts = fetcher.about(kind, stripe_id)
    except NotOursError:
        return  # something that this site does not sell
    facts.matched = True
    with db.write() as session:
        apply_to_database.apply_facts(session, facts)
        if facts.has_open_subscription() and is_deleted(session, facts.owner_id):
            account_data.queue_cancellation(session, facts.owner_id or 0)


@jobs.every(timedelta(days=1), "billing.unmatched")
def tidy_payments(_payload: dict[str, Any]) -> None:
    """Match payments whose account confirmed its address at the same moment, and remove those that ended long ago."""
    confirmed = select(User.id).where(User.email_key == UnmatchedPayment.email_key, User.verified_at.is_not(None))
    for ids in find_in_batches(db, UnmatchedPayment.id, confirmed.exists()):
        with db.write() as session:
            for row in session.scalars(select(UnmatchedPayment).where(UnmatchedPayment.id.in_(ids))).all():
                user = owners.find_confirmed(session, row.email)
                if user is not None:
                    _match(session, row.stripe_customer, user)
    old = [UnmatchedPayment.ended_at < utc_now() - KEEP_ENDED]
    delete_in_batches(db, UnmatchedPayment.id, along=UnmatchedPayment.ended_at, within=old)


# -- for admins -------------------------------------------------------------------------------------------------------


class PaymentState(StrEnum):
    """The state of a payment without a member; each is in exactly one."""

    OPEN = "open"
    DISMISSED = "dismissed"
    ENDED = "ended"


@dataclass(frozen=True)
class UnmatchedView:
    """One payment without a member; ``price`` is formatted, for one ``interval``."""

    id: int
    email: str | None
    plan: str
    price: str | None
    interval: str | None
    status: str
    state: PaymentState
    stripe_customer: str
    stripe_subscription: str
    started_at: datetime
    created_at: datetime
    ended_at: datetime | None
    dismissed_at: datetime | None


_IN_STATE: dict[PaymentState, ColumnElement[bool]] = {
    PaymentState.OPEN: and_(UnmatchedPayment.ended_at.is_(None), UnmatchedPayment.dismissed_at.is_(None)),
    PaymentState.DISMISSED: and_(UnmatchedPayment.ended_at.is_(None), UnmatchedPayment.dismissed_at.is_not(None)),
    PaymentState.ENDED: UnmatchedPayment.ended_at.is_not(None),
}


def list_unmatched(*, state: PaymentState | None = None, place: Place = NEWEST) -> ListPage[UnmatchedView]:
    """List payments without a member, newest first."""
    query = select(UnmatchedPayment)
    if state is not None:
        query = query.where(_IN_STATE[state])
    with db.read() as session:
        found = fetch_page(session, query, UnmatchedPayment.id, UnmatchedPayment.created_at, place)
    return found.convert(lambda row: _view(row[0]))


def count_unmatched() -> dict[PaymentState, int]:
    """Count the payments in each state."""
    counted = [func.count().filter(condition) for condition in _IN_STATE.values()]
    with db.read() as session:
        row = session.execute(select(*counted).select_from(UnmatchedPayment)).one()
    return dict(zip(_IN_STATE, map(int, row), strict=True))


def count_open_unmatched(session: Session) -> int:
    """Count the payments that an admin has to decide about, in the caller's transaction."""
    return session.scalar(select(func.count()).where(_IN_STATE[PaymentState.OPEN])) or 0


def assign_payment(payment_id: int, member: str, actor: Actor) -> str:
    """Give a payment, with all of its customer's, to the member with this email address or ref. Returns the ref.

    They are loaded from Stripe at once, or by the worker process if that takes long. Raises UnknownPaymentError,
    FieldErrors for ``member``, PaymentsOffError.
    """
    if not current_settings().payments:
        raise PaymentsOffError
    with db.write() as session:
        user = _find_member(session, member)  # the account is locked first, as where it confirms its address
        row = _lock(session, payment_id)
        customer, plan = row.stripe_customer, row.plan
        _give(session, customer, user.id)
        audit.record_by(session, "payment.assigned", actor, user.id, customer=customer, plan=plan)
    log.info("payment assigned", extra={"event": "stripe.payment_assigned", "subject_ref": user.ref})
    _load_now(customer)
    return user.ref


def count_living_subscriptions(user_ref: str) -> int:
    """Count the member's subscriptions that have not ended: with two, they pay twice."""
    with db.read() as session:
        user_id = session.scalars(select(User.id).where(User.ref == plain(user_ref))).one_or_none()
        return len(list_current_subscriptions(session, user_id)) if user_id is not None else 0


def dismiss_payment(payment_id: int, actor: Actor) -> None:
    """Say that a payment belongs to no member: it no longer waits. Raises UnknownPaymentError, ConflictError."""
    with db.write() as session:
        row = _lock(session, payment_id)
        if row.dismissed_at is not None:
            raise ConflictError(f"Payment {payment_id} is dismissed already.")
        row.dismissed_at = utc_now()
        audit.record_by(session, "payment.dismissed", actor, customer=row.stripe_customer, plan=row.plan)
    log.info("payment dismissed", extra={"event": "stripe.payment_dismissed", "payment": payment_id})


def _lock(session: Session, payment_id: int) -> UnmatchedPayment:
    row = session.get(UnmatchedPayment, payment_id, with_for_update=True)
    if row is None:
        raise UnknownPaymentError(payment_id)
    return row


def _find_member(session: Session, text: str) -> User:
    """Find and lock the member whom an admin names by address or ref. Raises FieldErrors for ``member``."""
    key = owners.address_key(text)
    named = User.email_key == key if key is not None else User.ref == plain(text.strip())
    user = session.scalars(select(User).where(named).with_for_update()).one_or_none()
    if user is None or user.deleted_at is not None:
        raise FieldErrors({"member": _NO_ACCOUNT})
    if user.verified_at is None:
        raise FieldErrors({"member": "This account has not confirmed its email address yet."})
    return user


def _load_now(customer: str) -> None:
    """Load the customer in this request, as far as there is time, unless the worker process is at it already."""
    try:
        with jobs.hold_job(f"{_LOAD}:{customer}") as lease:
            if lease is not None:
                _load_all(customer, _PATIENCE)
    except (UnavailableError, StripeRefusedError) as error:
        facts = {"event": "stripe.not_loaded", "reason": getattr(error, "reason", str(error))}
        log.warning("customer not loaded yet", extra=facts)


def _view(row: UnmatchedPayment) -> UnmatchedView:
    state = (
        PaymentState.ENDED
        if row.ended_at is not None
        else PaymentState.DISMISSED
        if row.dismissed_at is not None
        else PaymentState.OPEN
    )
    price = None if row.amount is None else money.format_amount(row.amount, row.currency)
    return UnmatchedView(
        row.id, row.email, row.plan, price, row.interval, row.status, state, row.stripe_customer,
        row.stripe_subscription, row.started_at, row.created_at, row.ended_at, row.dismissed_at,
    )  # fmt: skip
