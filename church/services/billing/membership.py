"""A member's subscriptions, grants and customer, read at once: what the services of membership decide by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from church.models import Customer, Grant, Invoice, Price, Product, Subscription
from church.models.billing import CURRENT_STATUSES
from church.services.entitlements import Subscribed, has_premium

"""A second checkout would make a second one of these."""


@dataclass(frozen=True)
class Holding:
    """What a member has. ``subscription`` is the one that counts: one that opens premium before any other."""

    subscription: Subscription | None
    grant: Grant | None
    customer: Customer | None
    invoice: Invoice | None
    """The newest of the subscription, which says why it was not paid."""
    plan_name: str
    next_plan_name: str
    next_amount: int | None
    had_one: bool
    """Whether there ever was a subscription."""


def holding(session: Session, user_id: int, now: datetime, grace_days: int) -> Holding:
    """All of it, by index."""
    rows = session.scalars(select(Subscription).where(Subscription.user_id == user_id)).all()
    living = [row for row in rows if row.status in CURRENT_STATUSES]
    best = max(living, key=lambda row: (_opens(row, now, grace_days), row.created_at, row.id), default=None)
    grants = select(Grant).where(Grant.user_id == user_id, Grant.revoked_at.is_(None), Grant.until > now)
    name = _plan_name(session, best.stripe_product) if best else ""
    next_name, next_amount = _next(session, best) if best and best.next_price else ("", None)
    return Holding(
        subscription=best,
        grant=session.scalars(grants.order_by(Grant.until.desc()).limit(1)).first(),
        customer=customer_of(session, user_id),
        invoice=_invoice(session, best) if best else None,
        plan_name=name or (best.plan.capitalize() if best else ""),
        next_plan_name=next_name,
        next_amount=next_amount,
        had_one=bool(rows),
    )


def customer_of(session: Session, user_id: int) -> Customer | None:
    """The member as Stripe knows them: the newest customer that is not deleted."""
    query = select(Customer).where(Customer.user_id == user_id, Customer.deleted_at.is_(None))
    return session.scalars(query.order_by(Customer.created_at.desc(), Customer.id.desc()).limit(1)).first()


def living_of(session: Session, user_id: int) -> Sequence[Subscription]:
    """The member's subscriptions that have not ended."""
    return session.scalars(
        select(Subscription).where(Subscription.user_id == user_id, Subscription.status.in_(CURRENT_STATUSES))
    ).all()


def product_of(session: Session, price: Price) -> Product | None:
    """The plan that a price is of."""
    return session.scalars(select(Product).where(Product.stripe_id == price.stripe_product)).one_or_none()


def had_subscription(session: Session, user_id: int) -> bool:
    """Whether the member ever had one: a trial is for the first alone."""
    return session.scalars(select(Subscription.id).where(Subscription.user_id == user_id).limit(1)).first() is not None


def _opens(row: Subscription, now: datetime, grace_days: int) -> bool:
    return has_premium([Subscribed(row.status, row.past_due_since)], [], now, grace_days)


def _invoice(session: Session, row: Subscription) -> Invoice | None:
    query = select(Invoice).where(Invoice.stripe_subscription == row.stripe_id, Invoice.status != "draft")
    return session.scalars(query.order_by(Invoice.created_at.desc(), Invoice.id.desc()).limit(1)).first()


def _plan_name(session: Session, stripe_product: str | None) -> str:
    return session.scalars(select(Product.name).where(Product.stripe_id == stripe_product)).first() or ""


def _next(session: Session, row: Subscription) -> tuple[str, int | None]:
    """Name and amount of what a schedule changes to."""
    price = session.scalars(select(Price).where(Price.stripe_id == row.next_price)).first()
    if price is None:
        return "", None
    return _plan_name(session, price.stripe_product), None if price.amount is None else price.amount * row.quantity
