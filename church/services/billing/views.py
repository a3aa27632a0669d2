"""What admins and the scrape see of payments: webhook events, subscriptions, counts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select

from church.extensions import db
from church.models import StripeEvent, Subscription, User
from church.models.base import utc_now
from church.services import money
from church.services.billing.stripe.objects import ENDED

_MOST = 200


@dataclass(frozen=True)
class EventView:
    """One webhook event; ``payload`` only where one event alone is looked at."""

    id: int
    stripe_id: str
    type: str
    object_id: str | None
    state: str
    reason: str | None
    attempts: int
    created_at: datetime
    received_at: datetime
    processed_at: datetime | None
    request_id: str | None
    under_way: bool
    """Whether a delivery is at it right now."""
    payload: dict[str, Any] | None = None


@dataclass(frozen=True)
class SubscriptionView:
    """One subscription, and whose; ``price`` is as people write it, for one ``interval``."""

    id: int
    stripe_id: str
    plan: str
    status: str
    price: str | None
    interval: str | None
    user_ref: str
    user_name: str
    started_at: datetime
    current_period_start: datetime | None
    current_period_end: datetime | None
    cancel_at: datetime | None
    ended_at: datetime | None
    past_due_since: datetime | None


def list_events(
    *, state: str | None = None, event_type: str | None = None, before_id: int | None = None, limit: int = 50
) -> list[EventView]:
    """Webhook events, the newest first; ``before_id`` is the last one of the page before."""
    query = select(StripeEvent)
    if state is not None:
        query = query.where(StripeEvent.state == state)
    if event_type is not None:
        query = query.where(StripeEvent.type == event_type)
    if before_id is not None:
        query = query.where(StripeEvent.id < before_id)
    with db.read() as session:
        found = session.scalars(query.order_by(StripeEvent.id.desc()).limit(min(limit, _MOST))).all()
    return [_event(row, None) for row in found]


def find_event(event_id: int) -> EventView | None:
    """One webhook event with its payload."""
    with db.read() as session:
        row = session.get(StripeEvent, event_id)
    return None if row is None else _event(row, row.payload)


def find_event_id(stripe_id: str) -> int | None:
    """The number of the event that Stripe calls so."""
    with db.read() as session:
        return session.scalars(select(StripeEvent.id).where(StripeEvent.stripe_id == stripe_id)).one_or_none()


def count_events() -> dict[str, int]:
    """How many events are in each state."""
    with db.read() as session:
        found = session.execute(select(StripeEvent.state, func.count()).group_by(StripeEvent.state)).all()
    return {state: count for state, count in found}  # noqa: C416 - rows are no pairs to the type checker


def list_subscriptions(
    *, status: str | None = None, user_ref: str | None = None, before_id: int | None = None, limit: int = 50
) -> list[SubscriptionView]:
    """Subscriptions, the newest first; ``before_id`` is the last one of the page before."""
    query = select(Subscription, User.ref, User.name).join(User, User.id == Subscription.user_id)
    if status is not None:
        query = query.where(Subscription.status == status)
    if user_ref is not None:
        query = query.where(User.ref == user_ref)
    if before_id is not None:
        query = query.where(Subscription.id < before_id)
    with db.read() as session:
        found = session.execute(query.order_by(Subscription.id.desc()).limit(min(limit, _MOST))).all()
    return [_subscription(row, ref, name) for row, ref, name in found]


def count_active_subscriptions() -> list[tuple[str, str, int]]:
    """For the scrape: how many subscriptions of each plan are in each status, those that ended left out."""
    query = select(Subscription.plan, Subscription.status, func.count()).where(Subscription.status.not_in(ENDED))
    with db.read() as session:
        found = session.execute(query.group_by(Subscription.plan, Subscription.status)).all()
    return [(plan, status, count) for plan, status, count in found]


def _event(row: StripeEvent, payload: dict[str, Any] | None) -> EventView:
    under_way = row.lease is not None and row.leased_until is not None and utc_now() < row.leased_until
    return EventView(
        row.id, row.stripe_id, row.type, row.object_id, row.state, row.reason, row.attempts, row.created_at,
        row.received_at, row.processed_at, row.request_id, under_way, payload,
    )  # fmt: skip


def _subscription(row: Subscription, user_ref: str, user_name: str) -> SubscriptionView:
    price = None if row.amount is None else money.display(row.amount, row.currency)
    return SubscriptionView(
        row.id, row.stripe_id, row.plan, row.status, price, row.interval, user_ref, user_name, row.started_at,
        row.current_period_start, row.current_period_end, row.cancel_at, row.ended_at, row.past_due_since,
    )  # fmt: skip
