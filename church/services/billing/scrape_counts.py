"""What a scrape reads of memberships: numbers of rows, so that they are true on every host and after every crash."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from flask import current_app
from sqlalchemy import ColumnElement, Row, Select, case, func, select, true
from sqlalchemy.orm import Session

from church.extensions import db
from church.models import LedgerEntry, Price, Product
from church.models.billing import OPEN_STATUSES, EntryKind
from church.services import money
from church.services.billing import admin_actions

MOST_PLANS = 50
"""Those of a subscription that has not ended."""
_OTHER = "other"


def subscriptions_by_status() -> Iterator[tuple[tuple[str, str], int]]:
    """How many subscriptions of each (plan, status) have not ended; each known plan has all statuses, from 0.

    A plan is known while its product is in the catalogue; any other, and all after the first 50, are ``other``.
    """
    known = _known_plans()
    counted: Counter[tuple[str, str]] = Counter()
    for plan, status, count in admin_actions.count_active_subscriptions():
        counted[plan if plan in known else _OTHER, status if status in OPEN_STATUSES else _OTHER] += count
    every = {(plan, status) for plan in known for status in OPEN_STATUSES}
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
    return dict.fromkeys(priced, none) | {currency: (value, back) for currency, value, back in value_totals()}


def _known_plans() -> list[str]:
    query = select(Product.plan).distinct().order_by(Product.plan).limit(MOST_PLANS)
    with db.read() as session:
        return list(session.scalars(query))


_CACHE = "billing_totals"


@dataclass(frozen=True)
class _Totals:
    """Of ``count`` entries, ``last`` the newest: what was paid in each currency and what went back, in minor units."""

    count: int = 0
    last: int = 0
    sums: Mapping[str, tuple[int, int]] = field(default_factory=dict)


def value_totals() -> list[tuple[str, Decimal, Decimal]]:
    """For the scrape: of each currency all payments and all refunds ever, in major units; neither ever falls.

    A refund that failed stays among the refunds: a counter can't take back.
    """
    known: _Totals = current_app.extensions.get(_CACHE) or _Totals()
    with db.read() as session:
        found = _added(session, known) or _added(session, _Totals()) or _Totals()
    current_app.extensions[_CACHE] = found
    return [
        (currency, money.major(paid, currency), money.major(back, currency))
        for currency, (paid, back) in sorted(found.sums.items())
    ]


def _added(session: Session, known: _Totals) -> _Totals | None:
    """The totals with what came since ``known``; None where an entry before its last one is new or gone.

    Numbers are given before a transaction ends, so one of two that write at once may show a lower number later. It is
    one statement, so that the count of all and the rows that are new are of the same moment.
    """
    rows = session.execute(_query(known.last)).all()
    new = [row for row in rows if row.currency is not None]
    if rows[0].of_all - known.count != sum(row.added for row in new):
        return None
    sums = dict(known.sums)
    for row in new:
        sums[row.currency] = _plus(sums.get(row.currency, (0, 0)), row)
    return _Totals(rows[0].of_all, max((row.last for row in new), default=known.last), sums)


def _plus(before: tuple[int, int], row: Row[Any]) -> tuple[int, int]:
    return before[0] + int(row.paid), before[1] - int(row.refunded)


def _query(last: int) -> Select[Any]:
    """A row for each currency that has entries after ``last``; where none has, one row without a currency."""
    # By an expression: with the column itself SQLite walks its index, which is all entries, to find none of them new.
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
