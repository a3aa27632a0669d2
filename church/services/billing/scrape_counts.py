"""Count subscriptions and sums for a scrape, from rows: the numbers are right on every host and after a crash."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, case, func, select, true
from sqlalchemy.orm import Session

from church.extensions import db
from church.lib.app_context import app_state
from church.models import LedgerEntry, Price, Product
from church.models.billing import OPEN_STATUSES, EntryKind
from church.services import money
from church.services.billing import admin_actions

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


_CACHE = "billing_totals"


@dataclass(frozen=True)
class _Totals:
    """Paid and refunded sums by currency, in minor units, over ``count`` entries up to id ``last``."""

    count: int = 0
    last: int = 0
    sums: Mapping[str, tuple[int, int]] = field(default_factory=dict)


def sum_by_currency() -> list[tuple[str, Decimal, Decimal]]:
    """Sum all payments and refunds ever, by currency, in major units; neither sum ever falls.

    A failed refund stays among the refunds, because a counter cannot decrease.
    """
    cached: _Totals = app_state().get(_CACHE) or _Totals()
    with db.read() as session:
        totals = _add_new(session, cached) or _add_new(session, _Totals()) or _Totals()
    app_state()[_CACHE] = totals
    return [
        (currency, money.to_major_units(paid, currency), money.to_major_units(refunded, currency))
        for currency, (paid, refunded) in sorted(totals.sums.items())
    ]


def _add_new(session: Session, cached: _Totals) -> _Totals | None:
    """Add the entries after ``cached``; None where an entry with a lower id is new or gone.

    Ids are given before a transaction ends, so of two parallel ones, the lower id may appear later. One statement
    reads both the count of all and the new rows, so that they belong to the same moment.
    """
    rows = session.execute(_query(cached.last)).all()
    new = [row for row in rows if row.currency is not None]
    if rows[0].of_all - cached.count != sum(row.added for row in new):
        return None
    sums = dict(cached.sums)
    for row in new:
        sums[row.currency] = _plus(sums.get(row.currency, (0, 0)), row)
    return _Totals(rows[0].of_all, max((row.last for row in new), default=cached.last), sums)


def _plus(before: tuple[int, int], row: Row[Any]) -> tuple[int, int]:
    return before[0] + int(row.paid), before[1] - int(row.refunded)


def _query(last: int) -> Select[Any]:
    """Select one row for each currency with entries after ``last``; one row without a currency where there are none."""
    # An expression: with the column itself, SQLite would walk the whole index of currencies.
    currency = func.coalesce(LedgerEntry.currency, "")
    of_all = select(func.count().label("of_all")).select_from(LedgerEntry).subquery()
    new = (
        select(
            currency.label("currency"),
            func.count().label("added"),
            func.max(LedgerEntry.id).label("last"),
            _sum(EntryKind.PAYMENT).label("paid"),
            _sum(EntryKind.REFUND).label("refunded"),
        )
        .where(LedgerEntry.id > last)
        .group_by(currency)
        .subquery()
    )
    return select(of_all, new).select_from(of_all.outerjoin(new, true()))


def _sum(kind: EntryKind) -> ColumnElement[int]:
    return func.sum(case((LedgerEntry.kind == kind.value, LedgerEntry.amount), else_=0))
