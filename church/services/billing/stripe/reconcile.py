"""Once a night, and by hand: compare what is known here with Stripe, and repair what differs.

Webhooks are Stripe's word of what changed; this is for those that never came.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
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
from church.services.billing import account_data, emails
from church.services.billing.errors import MissingError, NotOursError, StripeRefusedError
from church.services.billing.stripe import apply_to_database, products_and_prices, webhooks
from church.services.billing.stripe.client import Obj, every, gateway
from church.services.billing.stripe.fetch import Gatherer
from church.services.billing.stripe.ledger_entries import OPPOSITE, UNDONE
from church.services.billing.stripe.objects import invoice_values, subscription_values

log = logging.getLogger("church.stripe")

LOOK_BACK = timedelta(days=35)  # a month and a little: what moved before was compared when it was new
_MOST_REPLAYED = 500
_OF_SUBSCRIPTION = (
    "status", "stripe_price", "quantity", "amount", "current_period_end", "cancel_at", "ended_at", "trial_end",
    "collection_paused", "stripe_schedule", "latest_invoice",
)  # fmt: skip
_OF_INVOICE = ("status", "total", "amount_paid", "amount_remaining", "attempts", "paid_at")


@dataclass
class Reconciled:
    """What a comparison found: objects looked at, those that differed and were repaired, events done at last."""

    checked: int = 0
    repaired: int = 0
    replayed: int = 0
    failed: int = 0
    ended: int = 0
    """Subscriptions among the repaired that Stripe does not have any more."""
    unknown: int = 0
    """Subscriptions among the failed that were left as they are: all of them, and Stripe knows none."""


def reconcile() -> Reconciled:
    """Compare plans, subscriptions, invoices, refunds and disputes with Stripe's; end what leavers still pay for.

    Raises StripeDownError and the database's errors; what was repaired before stays repaired.
    """
    done = Reconciled()
    done.repaired += products_and_prices.sync().changed
    missing = []
    for kind, stripe_id, is_same in _objects():
        done.checked += 1
        if not is_same and not _repair(done, kind, stripe_id) and kind == "subscription":
            missing.append(stripe_id)
    _end_missing(done, missing)
    for user_id in account_data.still_paying():
        _end(done, user_id)
    done.replayed = sum(outcome.http == 200 for outcome in replay_failed())
    facts = {"checked": done.checked, "repaired": done.repaired, "replayed": done.replayed, "failed": done.failed}
    log.info("reconciled with Stripe", extra={"event": "stripe.reconciled", **facts})
    return done


@jobs.every(timedelta(days=1), "billing.reconcile")
def reconcile_nightly(_payload: dict[str, Any]) -> None:
    """The same once a day, where somebody can pay at all."""
    if current_settings().payments:
        reconcile()


def replay_failed() -> list[webhooks.Outcome]:
    """Do every event again that failed, or that nobody finished, the oldest first."""
    with db.read() as session:
        now = database_now(session)
        unfinished = StripeEvent.state.in_((EventState.FAILED.value, EventState.RECEIVED.value))
        free = StripeEvent.leased_until.is_(None) | (StripeEvent.leased_until <= now)
        query = select(StripeEvent.id).where(unfinished, free).order_by(StripeEvent.id).limit(_MOST_REPLAYED)
        waiting = session.scalars(query).all()
    return [webhooks.replay(event_id) for event_id in waiting]


def _objects() -> Iterator[tuple[str, str, bool]]:
    """Kind and id of each object at Stripe, and of those known here alone, and whether both say the same."""
    with db.read() as session:
        since = {"gte": int((database_now(session) - LOOK_BACK).timestamp())}
    seen = set()
    for found in every(gateway(), "subscriptions.list", status="all"):
        seen.add(found["id"])
        yield (
            "subscription",
            found["id"],
            _is_same(Subscription, found, subscription_values(found, ""), _OF_SUBSCRIPTION),
        )
    for stripe_id in _living_but(seen):
        yield "subscription", stripe_id, False
    for found in every(gateway(), "invoices.list", created=since):
        same = _is_same(Invoice, found, invoice_values(found), _OF_INVOICE)
        yield "invoice", found["id"], same and (not found.get("amount_paid") or _is_booked(stripe_invoice=found["id"]))
    for found in every(gateway(), "refunds.list", created=since):
        yield "refund", found["id"], _is_refund_booked(found)
    for found in every(gateway(), "disputes.list", created=since):
        moved = len(found.get("balance_transactions") or [])
        yield "dispute", found["id"], moved == _count_of(f"dispute:{found['id']}:")


def _repair(done: Reconciled, kind: str, stripe_id: str) -> bool:
    """Bring up to date what differs; False where Stripe does not have it."""
    with db.read() as session:
        gatherer = Gatherer(gateway(), database_now(session))
    try:
        facts = gatherer.about(kind, stripe_id)
    except MissingError:
        return False
    except NotOursError:
        return True
    except StripeRefusedError as error:
        done.failed += 1
        log.warning("not reconciled", extra={"event": "stripe.unreconciled", "kind": kind, "reason": error.reason})
        return True
    with db.write() as session:
        before = emails.statuses(session, facts.subscriptions)
        applied = apply_to_database.apply(session, facts)
        emails.tell_unheard(session, before, database_now(session))
    if applied.changed or applied.booked:
        done.repaired += 1
        log.warning("repaired", extra={"event": "stripe.repaired", "kind": kind, "stripe_id": stripe_id})
    return True


def _end_missing(done: Reconciled, missing: list[str]) -> None:
    """Members keep no premium of what Stripe does not have, and is never to say anything of again."""
    if missing:
        found = end_missing(missing)
        done.ended, done.unknown = found.ended, found.left
        done.repaired += found.ended
        done.failed += found.left


def _end(done: Reconciled, user_id: int) -> None:
    """Nobody is charged for an account that is deleted, whatever became of the job that was to see to it."""
    facts = {"kind": "deleted account", "user_id": user_id}
    try:
        account_data.cancel({"user_id": user_id})
    except StripeRefusedError as error:
        done.failed += 1
        log.warning("not reconciled", extra={"event": "stripe.unreconciled", "reason": error.reason, **facts})
        return
    done.repaired += 1
    log.warning("repaired", extra={"event": "stripe.repaired", **facts})


def _is_same(model: Any, found: Obj, values: Obj, names: tuple[str, ...]) -> bool:
    with db.read() as session:
        row = session.scalars(select(model).where(model.stripe_id == found["id"])).one_or_none()
    return row is not None and all(getattr(row, name) == values[name] for name in names)


def _is_refund_booked(found: Obj) -> bool:
    """As far as its money moved: what is undone is booked with its opposite, or not at all."""
    booked = _is_booked(source_id=f"refund:{found['id']}")
    if found.get("status") in UNDONE:
        return booked is _is_booked(source_id=f"{OPPOSITE}{found['id']}")
    return booked or found.get("status") != "succeeded"


def _is_booked(**same: str) -> bool:
    with db.read() as session:
        return session.scalars(select(LedgerEntry.id).filter_by(**same).limit(1)).first() is not None


def _count_of(beginning: str) -> int:
    query = select(LedgerEntry.id).where(LedgerEntry.source_id.startswith(beginning, autoescape=True))
    with db.read() as session:
        return len(session.scalars(query).all())


def _living_but(seen: set[str]) -> list[str]:
    query = select(Subscription.stripe_id).where(Subscription.status.not_in(ENDED_STATUSES))
    with db.read() as session:
        return [stripe_id for stripe_id in session.scalars(query) if stripe_id not in seen]


_LIVES = Subscription.status.not_in(ENDED_STATUSES)
_MISSING = "Stripe has no such subscription"
_WRONG_KEY = "Stripe has none of the subscriptions that are known here: is STRIPE_SECRET_KEY of the same account?"


@dataclass(frozen=True)
class Vanished:
    """How many were ended, and how many were left as they are since no single one is at Stripe."""

    ended: int = 0
    left: int = 0


def end_missing(suspects: list[str]) -> Vanished:
    """End now those of ``suspects`` that Stripe says it does not have; for the caller to ask once its lists came.

    Where every living subscription is missing and there is more than one, the key is another account's, and to end
    them would be to turn out all members: they are left, and the log says so. Raises StripeDownError,
    StripeRefusedError and the database's errors.
    """
    with db.read() as session:
        started_at = database_now(session)
    missing = [stripe_id for stripe_id in suspects if _is_missing(stripe_id)]
    with db.write() as session:
        living = session.scalar(select(func.count()).select_from(Subscription).where(_LIVES)) or 0
        wrong_key = len(missing) == living > 1
        ended = [] if wrong_key else [one for one in missing if _end_vanished(session, one, started_at)]
    for stripe_id in ended:
        facts = {"kind": "subscription", "stripe_id": stripe_id, "reason": _MISSING}
        log.warning("repaired", extra={"event": "stripe.repaired", **facts})
    if wrong_key:
        facts = {"kind": "subscription", "reason": _WRONG_KEY}
        log.warning("not reconciled", extra={"event": "stripe.unreconciled", "count": living, **facts})
    return Vanished(len(ended), len(missing) if wrong_key else 0)


def _is_missing(stripe_id: str) -> bool:
    try:
        gateway().call("subscriptions.retrieve", stripe_id)
    except StripeRefusedError as error:
        if error.is_missing:
            return True
        raise
    return False


def _end_vanished(session: Session, stripe_id: str, now: datetime) -> bool:
    """End it unless a webhook has brought news of it since; whether it was ended."""
    row = session.scalars(select(Subscription).where(Subscription.stripe_id == stripe_id).with_for_update()).one()
    if row.status in ENDED_STATUSES or row.fetched_at > now:
        return False
    came = {"status": "canceled", "ended_at": now, "canceled_at": row.canceled_at or now, "fetched_at": now}
    session.execute(update(Subscription).where(Subscription.id == row.id).values(**came))
    return True
