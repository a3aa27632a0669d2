"""Read the sums of the ledger by month, currency and kind, which the transaction that books an entry keeps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy.orm import Session

from church.database.kept_sums import SumName, Total, read_sums
from church.models.billing import EntryKind

_AFTER_MONTH = len("2026-05/") + 1


@dataclass(frozen=True)
class LedgerSum:
    """The entries of one currency and kind, of one month (``2026-05``, UTC) or of all; ``amount`` is in minor units."""

    month: str
    currency: str
    kind: str
    amount: int
    count: int


def read_ledger_sums(session: Session) -> list[LedgerSum]:
    """Read the sums of all time, for each currency and kind; their month is empty."""
    sums = read_sums(session, SumName.LEDGER, key_from=_AFTER_MONTH)
    return [_ledger_sum("", *key.split("/"), total=total) for key, total in sums.items()]


def read_monthly_sums(session: Session, limit: int) -> list[LedgerSum]:
    """Read the sums of the latest months, at least of ``limit`` pairs of month and currency if there are so many."""
    sums = read_sums(session, SumName.LEDGER, newest=limit * len(EntryKind))
    return [_ledger_sum(*key.split("/"), total=total) for key, total in sums.items()]


def _ledger_sum(month: str, currency: str, kind: str, *, total: Total) -> LedgerSum:
    return LedgerSum(month, currency, kind, total.amount, total.count)


def sum_kinds(sums: Iterable[LedgerSum]) -> tuple[int, int, int]:
    """Add up payments, refunds and disputes, the last two with their reversals."""
    amounts = dict.fromkeys((kind.value for kind in EntryKind), 0)
    for found in sums:
        amounts[found.kind] += found.amount
    return (
        amounts[EntryKind.PAYMENT],
        amounts[EntryKind.REFUND] + amounts[EntryKind.REFUND_FAILED],
        amounts[EntryKind.DISPUTE] + amounts[EntryKind.DISPUTE_REVERSAL],
    )
