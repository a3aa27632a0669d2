"""Read the sums that triggers keep in the transaction that changes a row, and compare them with the rows.

A migration made the triggers. On PostgreSQL each statement adds rows to ``kept_sums``, so that no two transactions wait
for each other; ``add_up`` leaves one for each key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from sqlalchemy import Connection, func, select, text
from sqlalchemy.orm import Session

from church.database import Database
from church.models import KeptSum
from church.models.base import utc_now


class SumName(StrEnum):
    """The sums there are, and the form of their keys."""

    LEDGER = "ledger"
    """``2026-05/usd/payment``: month in UTC, currency, kind. The amount is in minor units."""
    SUBSCRIPTIONS = "subscriptions"
    """``active/patron``: status, plan. They have no amount."""
    ACCOUNTS = "accounts"
    """``open/member/confirmed``: open, disabled or deleted; role; confirmed or unconfirmed. They have no amount."""
    SIGN_INS = "sign_ins"
    """``all``, also those that have expired and are not removed yet. They have no amount."""
    LEAD_TIMES = "lead_times"
    """``03/production``: number of the bucket, environment. The amount is in microseconds."""
    REPAIR_TIMES = "repair_times"
    """As lead times."""
    DEPLOYMENTS = "deployments"
    """``production``: environment. They have no amount."""
    INCIDENTS = "incidents"
    """``production``: environment. The amount counts the changes of incidents."""


@dataclass(frozen=True)
class Total:
    """How many rows there are, and the sum of their amounts."""

    count: int
    amount: int


def read_sums(session: Session, name: SumName, *, key_from: int = 1, newest: int | None = None) -> Mapping[str, Total]:
    """Read the sums of one name by key. A key whose rows are all gone is left out.

    ``key_from`` joins the keys that are the same from that character on; ``newest`` reads so many last keys only.
    """
    key = func.substr(KeptSum.key, key_from) if key_from > 1 else KeptSum.key
    summed = select(key, func.sum(KeptSum.count), func.sum(KeptSum.amount)).where(KeptSum.name == name.value)
    found = session.connection().execute(summed.group_by(key).order_by(key.desc()).limit(newest)).all()
    return {row[0]: Total(int(row[1]), int(row[2])) for row in reversed(found) if row[1] or row[2]}


def read_all_sums(session: Session, *names: SumName) -> dict[SumName, dict[str, Total]]:
    """Read the sums of several names in one query."""
    summed = (
        select(KeptSum.name, KeptSum.key, func.sum(KeptSum.count), func.sum(KeptSum.amount))
        .where(KeptSum.name.in_([name.value for name in names]))
        .group_by(KeptSum.name, KeptSum.key)
        .order_by(KeptSum.name, KeptSum.key)
    )
    found: dict[SumName, dict[str, Total]] = {name: {} for name in names}
    for name, key, count, amount in session.connection().execute(summed):
        if count or amount:
            found[SumName(name)][key] = Total(int(count), int(amount))
    return found


_ADD_UP = text(
    "WITH added AS (DELETE FROM kept_sums RETURNING name, key, count, amount) "
    "INSERT INTO kept_sums (name, key, count, amount) "
    "SELECT name, key, sum(count), sum(amount) FROM added GROUP BY name, key HAVING sum(count) <> 0 OR sum(amount) <> 0"
)


# Of two that replace rows at once, the second would not see the rows of the first, and leave both.
_ONE_AT_A_TIME = text("SELECT pg_advisory_xact_lock(hashtextextended('kept_sums', 0))")


def add_up(db: Database) -> None:
    """Replace the rows of each key by their sum, in a transaction of its own.

    Raises DatabaseBusyError, StatementTimeoutError, DatabaseDownError.
    """
    with db.write() as session:
        add_up_in(session)


def add_up_in(session: Session) -> None:
    """Like ``add_up``, in the caller's write transaction. On SQLite each key has one row all along."""
    if _on_postgresql(session.connection()):
        session.execute(_ONE_AT_A_TIME)
        session.execute(_ADD_UP)


# -- compared with the rows -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Source:
    """The table behind a sum, and the key and amount of its rows in SQL: the same as in the triggers."""

    table: str
    key: str
    amount: str


_MONTHS = {"sqlite": "substr(occurred_at, 1, 7)", "postgresql": "to_char(timezone('UTC', occurred_at), 'YYYY-MM')"}
_ACCOUNT = (
    "CASE WHEN deleted_at IS NOT NULL THEN 'deleted' WHEN disabled_at IS NOT NULL THEN 'disabled' ELSE 'open' END "
    "|| '/' || role || '/' || CASE WHEN verified_at IS NULL THEN 'unconfirmed' ELSE 'confirmed' END"
)
_HOUR, _DAY = 3600.0, 86400.0
LEAD_BUCKETS = (300.0, 900.0, _HOUR, 4 * _HOUR, 12 * _HOUR, _DAY, 3 * _DAY, 7 * _DAY, 14 * _DAY, 30 * _DAY, 90 * _DAY)
"""Upper bounds of the buckets of lead times, in seconds. A migration has to come with a change."""
REPAIR_BUCKETS = (60.0, 300.0, 900.0, 1800.0, _HOUR, 2 * _HOUR, 4 * _HOUR, 12 * _HOUR, _DAY, 3 * _DAY, 7 * _DAY)
"""As ``LEAD_BUCKETS``."""


def _bucket(column: str, bounds: tuple[float, ...]) -> str:
    cases = " ".join(f"WHEN {column} <= {bound} THEN '{number:02}'" for number, bound in enumerate(bounds))
    return f"CASE WHEN {column} IS NULL THEN NULL {cases} ELSE '{len(bounds):02}' END"


def _microseconds(column: str) -> str:
    return f"CAST(round({column} * 1000000) AS BIGINT)"


_SOURCES = {
    SumName.SUBSCRIPTIONS: _Source("subscriptions", "status || '/' || plan", "0"),
    SumName.ACCOUNTS: _Source("users", _ACCOUNT, "0"),
    SumName.SIGN_INS: _Source("sign_ins", "'all'", "0"),
    SumName.LEAD_TIMES: _Source(
        "delivered_commits",
        f"{_bucket('lead_seconds', LEAD_BUCKETS)} || '/' || environment",
        _microseconds("lead_seconds"),
    ),
    SumName.REPAIR_TIMES: _Source(
        "incidents", f"{_bucket('seconds', REPAIR_BUCKETS)} || '/' || environment", _microseconds("seconds")
    ),
    SumName.DEPLOYMENTS: _Source("deployments", "environment", "0"),
    SumName.INCIDENTS: _Source("incidents", "environment", "changes"),
}


def _source(name: SumName, dialect: str) -> _Source:
    if name is SumName.LEDGER:
        return _Source("ledger_entries", f"{_MONTHS[dialect]} || '/' || currency || '/' || kind", "amount")
    return _SOURCES[name]


_RECENT = timedelta(days=62)


def find_wrong_sums(connection: Connection) -> list[SumName]:
    """Return the names whose kept sums differ from the rows.

    Of the ledger the last two or three months are compared by key, and the rest as a whole: to sort a million entries
    by month would take seconds.
    """
    since = f"{utc_now() - _RECENT:%Y-%m}"
    checks = {name: [_compare(connection, name)] for name in SumName}
    checks[SumName.LEDGER] = [_compare_total(SumName.LEDGER), _compare(connection, SumName.LEDGER, since)]
    return [name for name in SumName if any(connection.execute(text(check)).first() for check in checks[name])]


def _compare(connection: Connection, name: SumName, since: str | None = None) -> str:
    """Select the keys that differ, in one statement, so that both sides are of one moment."""
    rows, kept = ("", "") if since is None else (f"AND occurred_at >= '{since}-01 00:00:00'", f"AND key >= '{since}'")
    if since is not None and _on_postgresql(connection):
        rows = f"AND occurred_at >= timestamptz '{since}-01 00:00:00+00'"
    return (
        "SELECT key FROM ("  # noqa: S608
        f"SELECT key, -count AS count, -amount AS amount FROM ({_count(connection, name, rows)}) AS counted "
        f"UNION ALL SELECT key, count, amount FROM kept_sums WHERE name = '{name}' {kept}"
        ") AS sides GROUP BY key HAVING sum(count) <> 0 OR sum(amount) <> 0"
    )


def _compare_total(name: SumName) -> str:
    """Select one row if the sums of all keys differ."""
    source = _source(name, "sqlite")
    return (
        "SELECT sum(count) FROM ("  # noqa: S608
        f"SELECT -count(*) AS count, -sum({source.amount}) AS amount FROM {source.table} "
        f"UNION ALL SELECT sum(count), sum(amount) FROM kept_sums WHERE name = '{name}'"
        ") AS sides HAVING sum(count) <> 0 OR sum(amount) <> 0"
    )


def _count(connection: Connection, name: SumName, matching: str = "") -> str:
    source = _source(name, connection.dialect.name)
    return (
        f"SELECT {source.key} AS key, count(*) AS count, sum({source.amount}) AS amount FROM {source.table} "  # noqa: S608
        f"WHERE {source.key} IS NOT NULL {matching} GROUP BY 1"
    )


def recount(session: Session) -> None:
    """Replace all sums by those of the rows, in the caller's write transaction. Other writers may go on meanwhile."""
    connection = session.connection()
    if _on_postgresql(connection):
        connection.execute(_ONE_AT_A_TIME)
    for name in SumName:
        taken = f"DELETE FROM kept_sums WHERE name = '{name}'"  # noqa: S608
        counted = (
            "INSERT INTO kept_sums (name, key, count, amount) "  # noqa: S608
            f"SELECT '{name}', key, count, amount FROM ({_count(connection, name)}) AS counted"
        )
        if _on_postgresql(connection):
            # One statement: what another transaction commits meanwhile is in both, rows and sums, or in neither.
            connection.execute(text(f"WITH taken AS ({taken}) {counted}"))
        else:
            connection.execute(text(taken))
            connection.execute(text(counted))


def _on_postgresql(connection: Connection) -> bool:
    return connection.dialect.name == "postgresql"
