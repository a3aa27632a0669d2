"""List what moved in the ledger, entry by entry and as totals of each month, for admins and exports."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter

from sqlalchemy import select

from church.database.paging import LARGEST_PAGE, NEWEST, ListPage, Place, fetch_page
from church.extensions import db
from church.models import LedgerEntry, User
from church.services import money
from church.services.billing.ledger_sums import LedgerSum, read_monthly_sums, sum_kinds

_BATCH = LARGEST_PAGE
_COLUMNS = (
    "entry", "occurred_at", "member", "kind", "amount", "currency", "minor_units", "source", "invoice",
)  # fmt: skip


@dataclass(frozen=True)
class EntryView:
    """One ledger entry, for a page of the admin area or an export; ``amount`` is in minor units."""

    id: int
    kind: str
    amount: int
    currency: str
    shown: str
    """The amount as people write it."""
    occurred_at: datetime
    source_id: str
    stripe_invoice: str | None
    user_ref: str
    user_name: str


@dataclass(frozen=True)
class MonthTotal:
    """Sums of one month (``2026-05``, UTC) and one currency, in minor units."""

    month: str
    currency: str
    payments: int
    refunds: int
    disputes: int
    count: int

    @property
    def net(self) -> int:
        """Payments less refunds and disputes, which are negative."""
        return self.payments + self.refunds + self.disputes


def list_ledger_entries(
    *, currency: str | None = None, user_ref: str | None = None, place: Place = NEWEST
) -> ListPage[EntryView]:
    """List entries, newest first, optionally in one currency or of one member."""
    query = select(LedgerEntry, User.ref, User.name).join(User, User.id == LedgerEntry.user_id)
    if currency is not None:
        query = query.where(LedgerEntry.currency == currency)
    if user_ref is not None:
        query = query.where(User.ref == user_ref)
    with db.read() as session:
        found = fetch_page(session, query, LedgerEntry.id, LedgerEntry.occurred_at, place)
    return found.convert(lambda row: _view(*row))


def _view(row: LedgerEntry, user_ref: str, user_name: str) -> EntryView:
    shown = money.format_amount(row.amount, row.currency)
    return EntryView(
        row.id, row.kind, row.amount, row.currency, shown, row.occurred_at, row.source_id, row.stripe_invoice,
        user_ref, user_name,
    )  # fmt: skip


def list_months(limit: int = 60) -> list[MonthTotal]:
    """List the totals of each month and currency, latest month first; currencies are never added up."""
    with db.read() as session:
        sums = read_monthly_sums(session, limit)
    months: defaultdict[tuple[str, str], list[LedgerSum]] = defaultdict(list)
    for found in sums:
        months[found.month, found.currency].append(found)
    latest_first = sorted(sorted(months, key=itemgetter(1)), key=itemgetter(0), reverse=True)
    return [_month_total(*key, months[key]) for key in latest_first[:limit]]


def _month_total(month: str, currency: str, sums: Sequence[LedgerSum]) -> MonthTotal:
    return MonthTotal(month, currency, *sum_kinds(sums), sum(found.count for found in sums))


def export_ledger(currency: str | None = None, user_ref: str | None = None) -> Iterator[str]:
    """Yield the ledger as CSV (RFC 4180) in pieces, newest entry first; amounts in major and in minor units."""
    yield _csv([_COLUMNS])
    place: Place | None = Place(size=_BATCH)
    while place is not None:
        found = list_ledger_entries(currency=currency, user_ref=user_ref, place=place)
        if found:
            yield _csv(_csv_row(entry) for entry in found)
        place = Place(before=found.older, size=_BATCH) if found.older is not None else None


def _csv_row(entry: EntryView) -> tuple[object, ...]:
    """Make a row without any text of a member's, which a spreadsheet might run as a formula."""
    amount = f"{money.to_major_units(entry.amount, entry.currency):f}"
    at = entry.occurred_at.strftime("%Y-%m-%dT%H:%M:%SZ")
    return (
        entry.id, at, entry.user_ref, entry.kind, amount, entry.currency, entry.amount, entry.source_id,
        entry.stripe_invoice or "",
    )  # fmt: skip


def _csv(rows: object) -> str:
    out = io.StringIO()
    csv.writer(out).writerows(rows)  # type: ignore[arg-type]
    return out.getvalue()
