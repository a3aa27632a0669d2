"""Emails that a date causes, each hour: a yearly renewal ahead, and free premium that ends soon or has ended.

The dates are those of the database, so nothing depends on how the webhooks at Stripe are set up.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, literal_column, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from church import jobs
from church.config import current_settings
from church.database import database_now
from church.database.batches import delete_in_batches, find_in_batches
from church.extensions import db
from church.models import Grant, Notice, Subscription
from church.models.billing import YEARLY_ONLY
from church.services.billing import emails

log = logging.getLogger("church.stripe")

PASS_AHEAD = timedelta(days=7)
_LATE = timedelta(days=2)
"""How long after the end of free premium its email is still sent, if no worker process ran."""
KEEP_NOTICES = timedelta(days=800)
"""Longer than two yearly periods: an occasion so long ago does not come again."""

_AT_ONCE = 50  # rows in one transaction: each email takes some statements, and other writers wait

_M = TypeVar("_M", Grant, Subscription)
_YEARLY: ColumnElement[bool] = literal_column(YEARLY_ONLY.text)


@jobs.every(timedelta(hours=1), "billing.reminders")
def send_reminders(_payload: dict[str, Any]) -> None:
    """Queue the emails that are due, each once."""
    with db.read() as session:
        now = database_now(session)
    counts = {"renewals": _remind_of_renewals(now), "ending": _tell_ending(now), "ended": _tell_ended(now)}
    if any(counts.values()):
        log.info("reminders queued", extra={"event": "billing.reminders", **counts})


@jobs.every(timedelta(days=1), "billing.forget_notices")
def forget_notices(_payload: dict[str, Any]) -> None:
    """Forget emails that were queued long ago."""
    with db.read() as session:
        old = [Notice.created_at < database_now(session) - KEEP_NOTICES]
    delete_in_batches(db, Notice.id, along=Notice.created_at, within=old)


def _remind_of_renewals(now: datetime) -> int:
    days = current_settings().email_renewal_days
    if not days or not current_settings().payments:
        return 0
    soon = [Subscription.current_period_end > now, Subscription.current_period_end <= now + timedelta(days=days)]
    renews = [
        Subscription.status == "active",
        Subscription.cancel_at.is_(None),
        Subscription.collection_paused.is_(False),
    ]
    return _queue_each(Subscription, Subscription.current_period_end, [_YEARLY, *soon], renews, emails.queue_renewal)


def _tell_ending(now: datetime) -> int:
    """Tell of free premium that ends soon; not of a pass so short that its first email has just said so."""
    within = [Grant.until > now, Grant.until <= now + PASS_AHEAD]
    new = [Grant.revoked_at.is_(None), Grant.created_at < now - PASS_AHEAD, ~emails.had_pass_email("pass_ending")]
    return _queue_each(Grant, Grant.until, within, new, emails.queue_pass_ending)


def _tell_ended(now: datetime) -> int:
    within = [Grant.until <= now, Grant.until > now - _LATE]
    return _queue_each(
        Grant, Grant.until, within, [Grant.revoked_at.is_(None), ~emails.had_pass_email("pass_ended")],
        lambda session, row: emails.queue_pass_ended(session, row, now),
    )  # fmt: skip


def _queue_each(
    model: type[_M],
    along: InstrumentedAttribute[Any],
    within: Sequence[ColumnElement[bool]],
    matching: Sequence[ColumnElement[bool]],
    queue: Callable[[Session, _M], bool],
) -> int:
    """Call ``queue`` with each row, in short transactions. Returns how many emails were queued."""
    count = 0
    for ids in find_in_batches(db, model.id, *matching, along=along, within=within):
        for some in (ids[first : first + _AT_ONCE] for first in range(0, len(ids), _AT_ONCE)):
            with db.write() as session:
                still = select(model).where(model.id.in_(some), *within, *matching)
                count += sum(queue(session, row) for row in session.scalars(still.order_by(model.id)).all())
    return count
