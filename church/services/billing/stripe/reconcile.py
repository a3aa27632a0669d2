"""Compare the database with Stripe, nightly and on command, and repair what differs: webhooks may get lost.

Also replay failed events, end subscriptions that no longer exist at Stripe, and cancel those of deleted accounts.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from church import jobs
from church.config import current_settings
from church.database import database_now
from church.extensions import db
from church.models import Invoice, LedgerEntry, StripeEvent, Subscription
from church.models.billing import ENDED_STATUSES, EventState
from church.services.billing import account_data, emails, unmatched_payments
from church.services.billing.errors import MissingObjectError, NotOursError, StripeRefusedError
from church.services.billing.stripe import apply_to_database, products_and_prices, webhooks
from church.services.billing.stripe.client import StripeObject, gateway, list_pages
from church.services.billing.stripe.fetch import Facts, Fetcher
from church.services.billing.stripe.fetch_renewal import make_basis
from church.services.billing.stripe.ledger_entries import FAILED_REFUNDS, REFUND, REFUND_FAILED, list_dispute_sources
from church.services.billing.stripe.objects import invoice_values, subscription_values
from church.services.billing.stripe.owners import UnmatchedPaymentError
from church.services.billing.stripe.refresh_renewals import refresh_renewals

log = logging.getLogger("church.stripe")

LOOK_BACK = timedelta(days=35)  # a bit over a month: older objects were compared when they were new
_MOST_REPLAYED = 500
_OLD_AMOUNT = timedelta(hours=20)
_MOST_AMOUNTS = 500
"""Of one night: what subscriptions pay is asked again, oldest answer first, because tax and credit change silently."""
_COLUMNS: dict[Any, tuple[str, ...]] = {
    Subscription: (
        "status", "stripe_price", "quantity", "current_period_end", "cancel_at", "ended_at", "trial_end",
        "collection_paused", "resumes_at", "collection_method", "stripe_schedule", "latest_invoice",
    ),
    Invoice: ("status", "total", "amount_paid", "amount_remaining", "attempts", "paid_at"),
}  # fmt: skip
"""The columns that are compared."""


@dataclass
class Reconciled:
    """The result of a comparison: objects compared, objects repaired, events replayed."""

    checked: int = 0
    repaired: int = 0
    replayed: int = 0
    failed: int = 0
    ended: int = 0
    """Repaired subscriptions that no longer exist at Stripe."""
    unknown: int = 0
    """Failed subscriptions that were left alone, because Stripe has none of all the open ones."""


def reconcile_with_stripe() -> Reconciled:
    """Compare plans, subscriptions, invoices, refunds and disputes with Stripe's, and repair what differs.

    Raises StripeDownError and the database's errors; repairs made before that stay.
    """
    done = Reconciled()
    done.repaired += products_and_prices.sync_catalogue().changed
    missing = []
    for kind, stripe_id, is_same in _objects():
        done.checked += 1
        if not is_same and not _repair(done, kind, stripe_id) and kind == "subscription":
            missing.append(stripe_id)
    _end_missing(done, missing)
    for user_id in account_data.list_deleted_still_paying():
        _cancel_deleted(done, user_id)
    refresh_renewals(older_than=_OLD_AMOUNT, limit=_MOST_AMOUNTS)
    done.replayed = sum(outcome.http == 200 for outcome in replay_failed())
    counts = {"checked": done.checked, "repaired": done.repaired, "replayed": done.replayed, "failed": done.failed}
    log.info("reconciled with Stripe", extra={"event": "stripe.reconciled", **counts})
    return done


@jobs.every(timedelta(days=1), "billing.reconcile")
def reconcile_nightly(_payload: dict[str, Any]) -> None:
    """Compare once a day, on a site that takes payments."""
    if current_settings().payments:
        reconcile_with_stripe()


def replay_failed() -> list[webhooks.Outcome]:
    """Process failed and unfinished events again, oldest first, at most 500."""
    with db.read() as session:
        now = database_now(session)
        unfinished = StripeEvent.state.in_((EventState.FAILED.value, EventState.RECEIVED.value))
        free = StripeEvent.leased_until.is_(None) | (StripeEvent.leased_until <= now)
        query = select(StripeEvent.id).where(unfinished, free).order_by(StripeEvent.id).limit(_MOST_REPLAYED)
        waiting = session.scalars(query).all()
    return [webhooks.replay(event_id) for event_id in waiting]


def _objects() -> Iterator[tuple[str, str, bool]]:
    """Yield kind and id of each object at Stripe or only stored here, and whether both sides agree."""
    with db.read() as session:
        since = {"gte": int((database_now(session) - LOOK_BACK).timestamp())}
    seen = _SeenRows()
    yield from _compare("subscription", seen.find_same, status="all")
    for stripe_id in seen.list_other_open():
        yield "subscription", stripe_id, False
    yield from _compare("invoice", _find_same_invoices, created=since)
    yield from _compare("refund", _find_booked_refunds, created=since)
    yield from _compare("dispute", _find_booked_disputes, created=since)


def _compare(
    kind: str, find_same: Callable[[Session, list[StripeObject]], set[str]], **params: Any
) -> Iterator[tuple[str, str, bool]]:
    """Compare Stripe's objects in pages; ``find_same`` returns the ids of those that both sides agree on."""
    for page in list_pages(gateway(), f"{kind}s.list", **params):
        with db.read() as session:
            same = find_same(session, page)
        for found in page:
            yield kind, found["id"], found["id"] in same


def _repair(done: Reconciled, kind: str, stripe_id: str) -> bool:
    """Fetch and store an object that differs. False where Stripe does not have it."""
    with db.read() as session:
        fetcher = Fetcher(gateway(), database_now(session))
    try:
        facts = fetcher.about(kind, stripe_id)
    except MissingObjectError:
        return False
    except UnmatchedPaymentError as error:
        with db.write() as session:
            unmatched_payments.keep_payment(session, error.payer, database_now(session))
        return True
    except NotOursError:
        return True
    except StripeRefusedError as error:
        done.failed += 1
        log.warning("not reconciled", extra={"event": "stripe.unreconciled", "kind": kind, "reason": error.reason})
        return True
    with db.write() as session:
        applied = apply_to_database.apply_facts(session, facts)
        if applied.new_customer:
            unmatched_payments.settle_customer(session, facts.customer_id or "")
    if applied.changed or applied.booked:
        done.repaired += 1
        log.warning("repaired", extra={"event": "stripe.repaired", "kind": kind, "stripe_id": stripe_id})
    return True


def _end_missing(done: Reconciled, missing: list[str]) -> None:
    """End subscriptions that Stripe does not have: no webhook would ever end their premium."""
    if missing:
        found = end_missing(missing)
        done.ended, done.unknown = found.ended, found.left
        done.repaired += found.ended
        done.failed += found.left


def _cancel_deleted(done: Reconciled, user_id: int) -> None:
    """Cancel the subscriptions of a deleted account whose job gave up or was lost."""
    fields = {"kind": "deleted account", "user_id": user_id}
    try:
        account_data.cancel_subscriptions({"user_id": user_id})
    except StripeRefusedError as error:
        done.failed += 1
        log.warning("not reconciled", extra={"event": "stripe.unreconciled", "reason": error.reason, **fields})
        return
    done.repaired += 1
    log.warning("repaired", extra={"event": "stripe.repaired", **fields})


# -- a page of Stripe's objects beside the rows -----------------------------------------------------------------------

_IS_OPEN = Subscription.status.not_in(ENDED_STATUSES)
_BLOCK = 1000  # rows that are read at once


class _SeenRows:
    """Compares subscriptions, and knows which rows Stripe had: a bit for each, as there may be millions."""

    def __init__(self) -> None:
        with db.read() as session:
            self._last = session.scalar(select(func.max(Subscription.id))) or 0
        self._bits = bytearray(self._last // 8 + 1)

    def find_same(self, session: Session, page: list[StripeObject]) -> set[str]:
        """Return the ids of those whose row agrees."""
        rows = _find_rows(session, Subscription, page, ("id", "plan", "stripe_item", "renewal_basis"))
        for row in rows.values():
            if row.id <= self._last:
                self._bits[row.id // 8] |= 1 << row.id % 8
        return {found["id"] for found in page if _is_same_subscription(found, rows.get(found["id"]))}

    def list_other_open(self) -> Iterator[str]:
        """Yield the Stripe ids of open rows that were not on any page; not of rows added since the first one."""
        query = select(Subscription.id, Subscription.stripe_id).where(_IS_OPEN).order_by(Subscription.id).limit(_BLOCK)
        after = 0
        while after < self._last:
            with db.read() as session:
                block = session.execute(query.where(Subscription.id > after, Subscription.id <= self._last)).all()
            for row_id, stripe_id in block:
                if not self._bits[row_id // 8] & 1 << row_id % 8:
                    yield stripe_id
            after = block[-1].id if len(block) == _BLOCK else self._last


def _find_rows(session: Session, model: Any, page: list[StripeObject], more: tuple[str, ...] = ()) -> dict[str, Any]:
    """Find the rows of a page by their Stripe id, with the columns that are compared and some more."""
    columns = [getattr(model, name) for name in ("stripe_id", *_COLUMNS[model], *more)]
    found = session.execute(select(*columns).where(model.stripe_id.in_([one["id"] for one in page])))
    return {row.stripe_id: row for row in found}


def _is_same_subscription(found: StripeObject, row: Any) -> bool:
    """Whether the row agrees, with all items and discounts; rows of a former release have no digest of them yet."""
    if row is None or row.renewal_basis not in {None, make_basis(found)}:
        return False
    return _is_same(Subscription, row, subscription_values(found, row.plan, row.stripe_item))


def _is_same(model: Any, row: Any, values: StripeObject) -> bool:
    return row is not None and all(getattr(row, name) == values[name] for name in _COLUMNS[model])


def _find_same_invoices(session: Session, page: list[StripeObject]) -> set[str]:
    """Return the ids of those whose row agrees; what was paid is booked too."""
    rows = _find_rows(session, Invoice, page)
    booked = _find_booked(session, LedgerEntry.stripe_invoice, [one["id"] for one in page if one.get("amount_paid")])
    return {
        found["id"]
        for found in page
        if _is_same(Invoice, rows.get(found["id"]), invoice_values(found))
        and (not found.get("amount_paid") or found["id"] in booked)
    }


def _find_booked_refunds(session: Session, page: list[StripeObject]) -> set[str]:
    """Return the ids of those that the ledger agrees on: an undone one has its opposite entry too, or neither."""
    sources = [f"{kind}{found['id']}" for found in page for kind in (REFUND, REFUND_FAILED)]
    booked = _find_booked(session, LedgerEntry.source_id, sources)

    def agrees(found: StripeObject) -> bool:
        is_booked = REFUND + found["id"] in booked
        if found.get("status") in FAILED_REFUNDS:
            return is_booked is (REFUND_FAILED + found["id"] in booked)
        return is_booked or found.get("status") != "succeeded"

    return {found["id"] for found in page if agrees(found)}


def _find_booked_disputes(session: Session, page: list[StripeObject]) -> set[str]:
    """Return the ids of those with an entry for each time that their money moved."""
    sources = {found["id"]: list_dispute_sources(found["id"]) for found in page}
    booked = _find_booked(session, LedgerEntry.source_id, [one for names in sources.values() for one in names])
    return {
        found["id"]
        for found in page
        if len(found.get("balance_transactions") or []) == len(booked.intersection(sources[found["id"]]))
    }


def _find_booked(session: Session, column: Any, values: list[str]) -> set[str]:
    """Return those of ``values`` that the ledger has in a column."""
    return set(session.scalars(select(column).where(column.in_(values)))) if values else set()


# -- subscriptions that no longer exist at Stripe ---------------------------------------------------------------------

_MISSING = "Stripe has no such subscription"
_WRONG_KEY = "Stripe has none of the subscriptions stored here: is STRIPE_SECRET_KEY of the same account?"


@dataclass(frozen=True)
class MissingSubscriptions:
    """How many were ended, and how many were left alone because Stripe has none at all."""

    ended: int = 0
    left: int = 0


def end_missing(suspects: list[str]) -> MissingSubscriptions:
    """End those of ``suspects`` that no longer exist at Stripe. Call it once the lists from Stripe are complete.

    Where every open subscription is missing and there is more than one, the key is probably another account's. Ending
    them would take premium from all members, so they are left alone and a warning is logged. Raises StripeDownError,
    StripeRefusedError and the database's errors.
    """
    with db.read() as session:
        started_at = database_now(session)
    missing = [stripe_id for stripe_id in suspects if _is_missing(stripe_id)]
    with db.write() as session:
        count = session.scalar(select(func.count()).select_from(Subscription).where(_IS_OPEN)) or 0
        wrong_key = len(missing) == count > 1
        ended = [] if wrong_key else [stripe_id for stripe_id in missing if _end(session, stripe_id, started_at)]
    for stripe_id in ended:
        fields = {"kind": "subscription", "stripe_id": stripe_id, "reason": _MISSING}
        log.warning("repaired", extra={"event": "stripe.repaired", **fields})
    if wrong_key:
        fields = {"kind": "subscription", "reason": _WRONG_KEY}
        log.warning("not reconciled", extra={"event": "stripe.unreconciled", "count": count, **fields})
    return MissingSubscriptions(len(ended), len(missing) if wrong_key else 0)


def _is_missing(stripe_id: str) -> bool:
    try:
        gateway().call("subscriptions.retrieve", stripe_id)
    except StripeRefusedError as error:
        if error.is_missing:
            return True
        raise
    return False


def _end(session: Session, stripe_id: str, now: datetime) -> bool:
    """End a subscription unless a webhook updated it since. Returns whether it was ended."""
    row = session.scalars(select(Subscription).where(Subscription.stripe_id == stripe_id).with_for_update()).one()
    if row.status in ENDED_STATUSES or row.fetched_at > now:
        return False
    values = {"status": "canceled", "ended_at": now, "fetched_at": now}
    session.execute(update(Subscription).where(Subscription.id == row.id).values(**values))
    emails.queue_ended(session, stripe_id, Facts(now), now)
    return True
