"""What a scrape reads of memberships: numbers of rows, so that they are true on every host and after every crash."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal

from sqlalchemy import select

from church.extensions import db
from church.models import Price, Product
from church.services.billing import totals, views

MOST_PLANS = 50
STATUSES = ("trialing", "active", "past_due", "unpaid", "incomplete", "paused")
"""Those of a subscription that has not ended."""
_OTHER = "other"


def subscriptions_by_status() -> Iterator[tuple[tuple[str, str], int]]:
    """How many subscriptions of each (plan, status) have not ended; each known plan has all statuses, from 0.

    A plan is known while its product is in the catalogue; any other, and all after the first 50, are ``other``.
    """
    known = _known_plans()
    counted: Counter[tuple[str, str]] = Counter()
    for plan, status, count in views.count_active_subscriptions():
        counted[plan if plan in known else _OTHER, status if status in STATUSES else _OTHER] += count
    every = {(plan, status) for plan in known for status in STATUSES}
    for labels in sorted(every | counted.keys()):
        yield labels, counted[labels]


def paid_by_currency() -> Iterator[tuple[str, Decimal]]:
    """Of each currency all payments ever, in major units."""
    for currency, (value, _) in _values().items():
        yield currency, value


def refunded_by_currency() -> Iterator[tuple[str, Decimal]]:
    """Of each currency all refunds ever, in major units; disputes are none."""
    for currency, (_, value) in _values().items():
        yield currency, value


def _values() -> dict[str, tuple[Decimal, Decimal]]:
    """Payments and refunds by currency, those that something is priced in from 0: a rate needs a zero to rise from."""
    with db.read() as session:
        priced = session.scalars(select(Price.currency).distinct().order_by(Price.currency)).all()
    none = (Decimal(0), Decimal(0))
    return dict.fromkeys(priced, none) | {currency: (value, back) for currency, value, back in totals.value_totals()}


def _known_plans() -> list[str]:
    query = select(Product.plan).distinct().order_by(Product.plan).limit(MOST_PLANS)
    with db.read() as session:
        return list(session.scalars(query))
