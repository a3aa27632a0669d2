"""Decide who has premium: the one rule, for pages, videos and the chat.

Premium comes from a subscription that is trialing or active, or past due for at most ``CHURCH_GRACE_DAYS``, or from a
complimentary grant until its date. Stripe is never asked.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache

from sqlalchemy import Connection, bindparam, literal, or_, select, union_all
from sqlalchemy.orm import Session

from church.config import current_settings
from church.database.direct import DirectStatement
from church.models import Grant, Subscription
from church.models.billing import PAID_STATUSES

PAST_DUE = "past_due"


@dataclass(frozen=True)
class SubscriptionFacts:
    """The facts of a subscription that decide."""

    status: str
    past_due_since: datetime | None = None


@dataclass(frozen=True)
class GrantFacts:
    """The facts of a complimentary grant that decide."""

    until: datetime
    revoked_at: datetime | None = None


def has_premium(
    subscriptions: Iterable[SubscriptionFacts], grants: Iterable[GrantFacts], now: datetime, grace_days: int
) -> bool:
    """Whether any subscription or grant gives premium at ``now``."""
    return any(_opens(subscription, now, grace_days) for subscription in subscriptions) or any(
        grant.revoked_at is None and now < grant.until for grant in grants
    )


def grace_end(subscription: SubscriptionFacts, grace_days: int) -> datetime | None:
    """Return when the grace of a past-due subscription ends; None if it is not past due."""
    if subscription.status != PAST_DUE or subscription.past_due_since is None:
        return None
    return subscription.past_due_since + timedelta(days=grace_days)


def _opens(subscription: SubscriptionFacts, now: datetime, grace_days: int) -> bool:
    if subscription.status in PAID_STATUSES:
        return True
    until = grace_end(subscription, grace_days)
    return until is not None and now < until


@cache
def _premium_query() -> DirectStatement:
    subscribed = select(Subscription.status, Subscription.past_due_since, literal(0)).where(
        Subscription.user_id == bindparam("user_id"),
        or_(*(Subscription.status == status for status in sorted({*PAID_STATUSES, PAST_DUE}))),
    )
    granted = select(literal(""), Grant.until, literal(1)).where(
        Grant.user_id == bindparam("user_id"), Grant.revoked_at.is_(None)
    )
    return DirectStatement(union_all(subscribed, granted))


def member_has_premium(session: Session, user_id: int, now: datetime) -> bool:
    """Whether the member has premium according to the database; one statement, by index."""
    return read_premium(session.connection(), user_id, now)


def read_premium(connection: Connection, user_id: int, now: datetime) -> bool:
    """Like ``member_has_premium``, without a session."""
    rows = _premium_query().run(connection, {"user_id": user_id}).rows
    subscriptions = [SubscriptionFacts(status, moment) for status, moment, is_grant in rows if not is_grant]
    grants = [GrantFacts(moment) for _, moment, is_grant in rows if is_grant]
    return has_premium(subscriptions, grants, now, current_settings().grace_days)
