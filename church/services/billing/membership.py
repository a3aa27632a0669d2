"""Load what a member has: subscriptions, free pass, customer and newest invoice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from church.models import Customer, Grant, Invoice, Price, Product, Subscription
from church.models.billing import CURRENT_STATUSES
from church.services.billing.plans import amount_in
from church.services.entitlements import SubscriptionFacts, has_premium


@dataclass(frozen=True)
class MembershipData:
    """What a member has. Of several subscriptions, one that gives premium now comes first, then the newest."""

    subscription: Subscription | None
    grant: Grant | None
    customer: Customer | None
    invoice: Invoice | None
    """The newest invoice of the subscription, which shows why it was not paid."""
    plan_name: str
    next_plan_name: str
    next_amount: int | None
    """What the plan that a schedule changes to costs by its price, with the items that stay."""
    had_one: bool
    """Whether the member ever had a subscription."""
    others: tuple[MembershipData, ...] = ()
    """Each further subscription that the member has, and may pay for; newest first."""


def load_membership(session: Session, user_id: int, now: datetime, grace_days: int) -> MembershipData:
    """Load everything the billing pages need about a member; each query uses an index."""
    rows = session.scalars(select(Subscription).where(Subscription.user_id == user_id)).all()
    current = [row for row in rows if row.status in CURRENT_STATUSES]
    current.sort(key=lambda row: (_has_premium(row, now, grace_days), row.created_at, row.id), reverse=True)
    best = current[0] if current else None
    grants = select(Grant).where(Grant.user_id == user_id, Grant.revoked_at.is_(None), Grant.until > now)
    main = _load_subscription(session, best)
    return replace(
        main,
        grant=session.scalars(grants.order_by(Grant.until.desc()).limit(1)).first(),
        customer=find_customer(session, user_id),
        had_one=bool(rows),
        others=tuple(_load_subscription(session, row) for row in current[1:]),
    )


def _load_subscription(session: Session, row: Subscription | None) -> MembershipData:
    """Load what belongs to one subscription: its plan, the next one, and its invoice."""
    name = _find_plan_name(session, row.stripe_product) if row else ""
    next_name, next_amount = _find_next_plan(session, row) if row and row.next_price else ("", None)
    return MembershipData(
        subscription=row,
        grant=None,
        customer=None,
        invoice=_find_invoice(session, row) if row else None,
        plan_name=name or (row.plan.capitalize() if row else ""),
        next_plan_name=next_name,
        next_amount=next_amount,
        had_one=row is not None,
    )


def find_customer(session: Session, user_id: int) -> Customer | None:
    """Find the member's customer at Stripe: one with a current subscription first, then the newest not deleted."""
    current = select(Subscription.id).where(
        Subscription.customer_id == Customer.id, Subscription.status.in_(CURRENT_STATUSES)
    )
    query = select(Customer).where(Customer.user_id == user_id, Customer.deleted_at.is_(None))
    order = (current.exists().desc(), Customer.created_at.desc(), Customer.id.desc())
    return session.scalars(query.order_by(*order).limit(1)).first()


def list_current_subscriptions(session: Session, user_id: int) -> Sequence[Subscription]:
    """List the member's subscriptions that began and have not ended."""
    return session.scalars(
        select(Subscription).where(Subscription.user_id == user_id, Subscription.status.in_(CURRENT_STATUSES))
    ).all()


def compute_add_ons(row: Subscription) -> int:
    """Return what the items beside the plan's cost in a period, before discounts."""
    return row.amount - row.plan_amount if row.amount is not None and row.plan_amount is not None else 0


def find_product(session: Session, price: Price) -> Product | None:
    """Find the plan's product of a price."""
    return session.scalars(select(Product).where(Product.stripe_id == price.stripe_product)).one_or_none()


def had_subscription(session: Session, user_id: int) -> bool:
    """Whether the member ever had a subscription: only the first one has a trial."""
    return session.scalars(select(Subscription.id).where(Subscription.user_id == user_id).limit(1)).first() is not None


def _has_premium(row: Subscription, now: datetime, grace_days: int) -> bool:
    return has_premium([SubscriptionFacts(row.status, row.past_due_since)], [], now, grace_days)


def _find_invoice(session: Session, row: Subscription) -> Invoice | None:
    query = select(Invoice).where(Invoice.stripe_subscription == row.stripe_id, Invoice.status != "draft")
    return session.scalars(query.order_by(Invoice.created_at.desc(), Invoice.id.desc()).limit(1)).first()


def _find_plan_name(session: Session, stripe_product: str | None) -> str:
    return session.scalars(select(Product.name).where(Product.stripe_id == stripe_product)).first() or ""


def _find_next_plan(session: Session, row: Subscription) -> tuple[str, int | None]:
    """Find name and amount of the plan that a schedule changes to."""
    price = session.scalars(select(Price).where(Price.stripe_id == row.next_price)).first()
    if price is None:
        return "", None
    unit = amount_in(price, row.currency)
    amount = None if unit is None else unit * row.quantity + compute_add_ons(row)
    return _find_plan_name(session, price.stripe_product), amount
