"""Count subscriptions and sums for a scrape, from rows: the numbers are right on every host and after a crash."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from decimal import Decimal

from sqlalchemy import select

from church.extensions import db
from church.models import Price, Product
from church.models.billing import OPEN_STATUSES, EntryKind
from church.services import money
from church.services.billing import admin_actions
from church.services.billing.ledger_sums import read_ledger_sums

MOST_PLANS = 50
"""Those of a subscription that has not ended."""
_OTHER = "other"


def count_subscriptions_by_status() -> Iterator[tuple[tuple[str, str], int]]:
    """Count open subscriptions by (plan, status); each plan for sale has all statuses, from 0.

    Plans without a stored product, and all after the first 50, are counted as ``other``.
    """
    plans = _list_plans()
    counts: Counter[tuple[str, str]] = Counter()
    for plan, status, count in admin_actions.count_active_subscriptions():
        counts[plan if plan in plans else _OTHER, status if status in OPEN_STATUSES else _OTHER] += count
    every = {(plan, status) for plan in plans for status in OPEN_STATUSES}
    for labels in sorted(every | counts.keys()):
        yield labels, counts[labels]


def sum_payments_by_currency() -> Iterator[tuple[str, Decimal]]:
    """Sum all payments ever, by currency, in major units."""
    for currency, (value, _) in _values().items():
        yield currency, value


def sum_refunds_by_currency() -> Iterator[tuple[str, Decimal]]:
    """Sum all refunds ever, by currency, in major units, without disputes."""
    for currency, (_, value) in _values().items():
        yield currency, value


def _values() -> dict[str, tuple[Decimal, Decimal]]:
    """Payments and refunds by currency; every currency with a price starts at 0, which a rate needs."""
    with db.read() as session:
        priced = session.scalars(select(Price.currency).distinct().order_by(Price.currency)).all()
    none = (Decimal(0), Decimal(0))
    return dict.fromkeys(priced, none) | {currency: (value, back) for currency, value, back in sum_by_currency()}


def _list_plans() -> list[str]:
    query = select(Product.plan).distinct().order_by(Product.plan).limit(MOST_PLANS)
    with db.read() as session:
        return list(session.scalars(query))


def sum_by_currency() -> list[tuple[str, Decimal, Decimal]]:
    """Sum all payments and refunds ever, by currency, in major units; neither sum ever falls.

    A failed refund stays among the refunds, because a counter cannot decrease.
    """
    sums: defaultdict[str, Counter[str]] = defaultdict(Counter)
    with db.read() as session:
        for found in read_ledger_sums(session):
            sums[found.currency][found.kind] += found.amount
    return [
        (
            currency,
            money.to_major_units(amounts[EntryKind.PAYMENT], currency),
            money.to_major_units(-amounts[EntryKind.REFUND], currency),
        )
        for currency, amounts in sorted(sums.items())
    ]
