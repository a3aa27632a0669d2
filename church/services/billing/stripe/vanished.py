"""Subscriptions that are kept here and that Stripe does not have: no event ever comes that would end them."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from church.extensions import db
from church.jobs.queue import database_now
from church.models import Subscription
from church.services.billing.errors import StripeRefusedError
from church.services.billing.stripe.client import gateway
from church.services.billing.stripe.objects import ENDED

log = logging.getLogger("church.stripe")

_LIVES = Subscription.status.not_in(ENDED)
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
    if row.status in ENDED or row.fetched_at > now:
        return False
    came = {"status": "canceled", "ended_at": now, "canceled_at": row.canceled_at or now, "fetched_at": now}
    session.execute(update(Subscription).where(Subscription.id == row.id).values(**came))
    return True
