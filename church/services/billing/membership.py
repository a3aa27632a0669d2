"""Load what a member has: subscriptions, free pass, customer and newest invoice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, and_, bindparam, select
from sqlalchemy.orm import Session, aliased

from church.models import Customer, Grant, Invoice, Price, Product, Subscription, User
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


class _Row(NamedTuple):
    """A subscription with the name of its product and its newest invoice."""

    subscription: Subscription
    product_name: str | None
    invoice: Invoice | None


@cache
def _subscriptions_query() -> Select[*tuple[Any, ...]]:
    """Make the query for all subscriptions of a member, once: making it costs as much as sending it."""
    own = aliased(Invoice)
    newest = (
        select(own.id)
        .where(own.stripe_subscription == Subscription.stripe_id, own.status != "draft")
        .order_by(own.created_at.desc(), own.id.desc())
        .limit(1)
        .correlate(Subscription)
        .scalar_subquery()
    )
    query = select(Subscription, Product.name, Invoice).where(Subscription.user_id == bindparam("user_id"))
    named = query.outerjoin(Product, Product.stripe_id == Subscription.stripe_product)
    return named.outerjoin(Invoice, Invoice.id == newest)


@cache
def _customer_query() -> Select[*tuple[Any, ...]]:
    """Make the query for the customer in use and the grant that lasts longest, each None if there is none."""
    customer = and_(Customer.user_id == User.id, Customer.deleted_at.is_(None))
    grant = and_(Grant.user_id == User.id, Grant.revoked_at.is_(None), Grant.until > bindparam("now"))
    query = select(Customer, Grant).select_from(User).outerjoin(Customer, customer).outerjoin(Grant, grant)
    order = (*_customers_in_use_first(), Grant.until.desc())
    return query.where(User.id == bindparam("user_id")).order_by(*order).limit(1)


def load_membership(session: Session, user_id: int, now: datetime, grace_days: int) -> MembershipData:
    """Load everything the billing pages need about a member: two queries, and one for a change of plan to come."""
    rows = [_Row(*row) for row in session.execute(_subscriptions_query(), {"user_id": user_id})]
    current = [row for row in rows if row.subscription.status in CURRENT_STATUSES]
    current.sort(key=lambda row: _rank(row.subscription, now, grace_days), reverse=True)
    found = session.execute(_customer_query(), {"user_id": user_id, "now": now}).first()
    customer, grant = found if found is not None else (None, None)
    main = _load_subscription(session, current[0] if current else None)
    others = tuple(_load_subscription(session, row) for row in current[1:])
    return replace(main, grant=grant, customer=customer, had_one=bool(rows), others=others)


def _rank(row: Subscription, now: datetime, grace_days: int) -> tuple[bool, datetime, int]:
    return _has_premium(row, now, grace_days), row.created_at, row.id


def _load_subscription(session: Session, row: _Row | None) -> MembershipData:
    """Describe one subscription with its plan, the next one, and its invoice."""
    if row is None:
        return MembershipData(None, None, None, None, "", "", None, had_one=False)
    own = row.subscription
    next_name, next_amount = _find_next_plan(session, own) if own.next_price else ("", None)
    return MembershipData(
        subscription=own,
        grant=None,
        customer=None,
        invoice=row.invoice,
        plan_name=row.product_name or own.plan.capitalize(),
        next_plan_name=next_name,
        next_amount=next_amount,
        had_one=True,
    )


def find_customer(session: Session, user_id: int) -> Customer | None:
    """Find the member's customer at Stripe: one with a current subscription first, then the newest not deleted."""
    query = select(Customer).where(Customer.user_id == user_id, Customer.deleted_at.is_(None))
    return session.scalars(query.order_by(*_customers_in_use_first()).limit(1)).first()


def _customers_in_use_first() -> tuple[ColumnElement[Any], ...]:
    current = select(Subscription.id).where(
        Subscription.customer_id == Customer.id, Subscription.status.in_(sorted(CURRENT_STATUSES))
    )
    return current.exists().desc(), Customer.created_at.desc(), Customer.id.desc()


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


def _find_next_plan(session: Session, row: Subscription) -> tuple[str, int | None]:
    """Find name and amount of the plan that a schedule changes to."""
    query = select(Price, Product.name).outerjoin(Product, Product.stripe_id == Price.stripe_product)
    found = session.execute(query.where(Price.stripe_id == row.next_price)).first()
    if found is None:
        return "", None
    price, name = found
    unit = amount_in(price, row.currency)
    amount = None if unit is None else unit * row.quantity + compute_add_ons(row)
    return name or "", amount
