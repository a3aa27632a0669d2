"""Load what a member has: subscriptions, free pass, customer and newest invoice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, ScalarSelect, bindparam, or_, select
from sqlalchemy.orm import Session, aliased

from church.database.direct import DirectStatement
from church.database.plain_rows import build_rows, columns_of
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


_NOTHING = MembershipData(None, None, None, None, "", "", None, had_one=False)


class _Row(NamedTuple):
    """A subscription with its newest invoice and the name of its product, if there is one, and what the member has."""

    product_name: str | None
    subscription: Subscription | None
    invoice: Invoice | None
    customer: Customer | None
    grant: Grant | None


@cache
def _membership_query() -> DirectStatement:
    """Make the query for all that a member has, once: making it costs as much as sending it.

    It finds a row for each subscription, or one without. All have the customer in use and the grant that lasts longest.
    """
    models = (Subscription, Invoice, Customer, Grant)
    query = select(Product.name, *(column for model in models for column in columns_of(model))).select_from(User)
    query = query.outerjoin(Customer, Customer.id == _customer_in_use())
    query = query.outerjoin(Grant, Grant.id == _longest_grant())
    query = query.outerjoin(Subscription, Subscription.user_id == User.id)
    query = query.outerjoin(Product, Product.stripe_id == Subscription.stripe_product)
    query = query.outerjoin(Invoice, Invoice.id == _newest_invoice())
    return DirectStatement(query.where(User.id == bindparam("user_id")))


def _customer_in_use() -> ScalarSelect[int]:
    own = aliased(Customer)
    query = select(own.id).where(own.user_id == User.id, own.deleted_at.is_(None))
    return query.order_by(*_in_use_first(own)).limit(1).correlate(User).scalar_subquery()


def _longest_grant() -> ScalarSelect[int]:
    own = aliased(Grant)
    query = select(own.id).where(own.user_id == User.id, own.revoked_at.is_(None), own.until > bindparam("now"))
    return query.order_by(own.until.desc()).limit(1).correlate(User).scalar_subquery()


def _newest_invoice() -> ScalarSelect[int]:
    own = aliased(Invoice)
    query = select(own.id).where(own.stripe_subscription == Subscription.stripe_id, own.status != "draft")
    newest = query.order_by(own.created_at.desc(), own.id.desc()).limit(1)
    return newest.correlate(Subscription).scalar_subquery()


def load_membership(connection: Connection, user_id: int, now: datetime, grace_days: int) -> MembershipData:
    """Load everything the billing pages need about a member: one query, and one for a change of plan to come."""
    found = _membership_query().run(connection, {"user_id": user_id, "now": now}).rows
    rows = [_Row(name, *build_rows(values, Subscription, Invoice, Customer, Grant)) for name, *values in found]
    own = [(row.subscription, row) for row in rows if row.subscription is not None]
    current = [one for one in own if one[0].status in CURRENT_STATUSES]
    current.sort(key=lambda one: _rank(one[0], now, grace_days), reverse=True)
    described = [_describe(connection, subscription, row) for subscription, row in current]
    main = described[0] if described else _NOTHING
    customer, grant = (rows[0].customer, rows[0].grant) if rows else (None, None)
    return replace(main, grant=grant, customer=customer, had_one=bool(own), others=tuple(described[1:]))


def _rank(row: Subscription, now: datetime, grace_days: int) -> tuple[bool, datetime, int]:
    return _has_premium(row, now, grace_days), row.created_at, row.id


def _describe(connection: Connection, own: Subscription, row: _Row) -> MembershipData:
    """Describe one subscription with its plan, the next one, and its invoice."""
    next_name, next_amount = _find_next_plan(connection, own) if own.next_price else ("", None)
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
    return session.scalars(query.order_by(*_in_use_first(Customer)).limit(1)).first()


def _in_use_first(customer: type[Customer]) -> tuple[ColumnElement[Any], ...]:
    is_current = or_(*(Subscription.status == status for status in sorted(CURRENT_STATUSES)))  # IN is written each time
    current = select(Subscription.id).where(Subscription.customer_id == customer.id, is_current)
    return current.exists().desc(), customer.created_at.desc(), customer.id.desc()


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


def _find_next_plan(connection: Connection, row: Subscription) -> tuple[str, int | None]:
    """Find name and amount of the plan that a schedule changes to."""
    columns = (Product.name, *columns_of(Price))
    query = select(*columns).select_from(Price).outerjoin(Product, Product.stripe_id == Price.stripe_product)
    found = connection.execute(query.where(Price.stripe_id == row.next_price)).first()
    (price,) = build_rows(found[1:], Price) if found is not None else (None,)
    if found is None or price is None:
        return "", None
    name, unit = found[0], amount_in(price, row.currency)
    amount = None if unit is None else unit * row.quantity + compute_add_ons(row)
    return name or "", amount
