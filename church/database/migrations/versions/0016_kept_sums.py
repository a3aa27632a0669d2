"""Sums of the ledger, subscriptions, accounts and deliveries, kept by triggers in the transaction that changes a row.

On PostgreSQL each statement adds rows of its own, so that no two transactions wait for each other, and a job adds them
up. On SQLite, where one transaction writes at a time, there is one row for each key. The rows that are there are added
up in batches. A worker of the release before that is still running is counted too.

The figures of deliveries get indexes that hold all they read, and the ledger of one currency is listed by id.

A later migration that copies one of the tables on SQLite drops its triggers with it, and has to make them again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_BATCH = 100_000


class _Sum(NamedTuple):
    """``{row}`` stands for the row in ``key`` and ``amount``; a row whose key is NULL does not count."""

    name: str
    table: str
    key: str
    amount: str
    columns: tuple[str, ...]
    """A change of these changes key or amount. Without any, rows are only ever added."""
    by_id: bool = True

    @property
    def events(self) -> tuple[str, ...]:
        return ("insert", "delete", "update") if self.columns else ("insert",)


def _month() -> str:
    if _on_postgresql():
        return "to_char(timezone('UTC', {row}.occurred_at), 'YYYY-MM')"
    return "substr({row}.occurred_at, 1, 7)"


def _bucket(column: str, bounds: tuple[int, ...]) -> str:
    cases = " ".join(f"WHEN {{row}}.{column} <= {bound} THEN '{number:02}'" for number, bound in enumerate(bounds))
    return f"CASE WHEN {{row}}.{column} IS NULL THEN NULL {cases} ELSE '{len(bounds):02}' END"


_ACCOUNT = (
    "CASE WHEN {row}.deleted_at IS NOT NULL THEN 'deleted' WHEN {row}.disabled_at IS NOT NULL THEN 'disabled' "
    "ELSE 'open' END || '/' || {row}.role || '/' || "
    "CASE WHEN {row}.verified_at IS NULL THEN 'unconfirmed' ELSE 'confirmed' END"
)
_HOUR, _DAY = 3600, 86400
_LEAD = (300, 900, _HOUR, 4 * _HOUR, 12 * _HOUR, _DAY, 3 * _DAY, 7 * _DAY, 14 * _DAY, 30 * _DAY, 90 * _DAY)
_REPAIR = (60, 300, 900, 1800, _HOUR, 2 * _HOUR, 4 * _HOUR, 12 * _HOUR, _DAY, 3 * _DAY, 7 * _DAY)


def _sums() -> tuple[_Sum, ...]:
    seconds = "CAST(round({{row}}.{} * 1000000) AS BIGINT)".format
    return (
        _Sum(
            "ledger",
            "ledger_entries",
            f"{_month()} || '/' || {{row}}.currency || '/' || {{row}}.kind",
            "{row}.amount",
            (),
        ),
        _Sum("accounts", "users", _ACCOUNT, "0", ("role", "verified_at", "disabled_at", "deleted_at")),
        _Sum("sign_ins", "sign_ins", "'all'", "0", ("user_id",)),
        _Sum("subscriptions", "subscriptions", "{row}.status || '/' || {row}.plan", "0", ("status", "plan")),
        _Sum(
            "lead_times",
            "delivered_commits",
            f"{_bucket('lead_seconds', _LEAD)} || '/' || {{row}}.environment",
            seconds("lead_seconds"),
            ("environment", "lead_seconds"),
            by_id=False,
        ),
        _Sum(
            "repair_times",
            "incidents",
            f"{_bucket('seconds', _REPAIR)} || '/' || {{row}}.environment",
            seconds("seconds"),
            ("environment", "seconds"),
        ),
        _Sum("deployments", "deployments", "{row}.environment", "0", ("environment",)),
        _Sum("incidents", "incidents", "{row}.environment", "{row}.changes", ("environment", "changes")),
    )


def upgrade() -> None:
    op.create_table(
        "kept_sums",
        sa.Column("id", _ID, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_kept_sums"),
    )
    op.create_index("ix_kept_sums_name_key", "kept_sums", ["name", "key"])
    for kept in _sums():
        # Once PostgreSQL has the triggers, all other transactions that changed the table have ended, or wait.
        for statement in _postgresql_triggers(kept) if _on_postgresql() else _sqlite_triggers(kept):
            op.execute(statement)
        _fill(kept)
    _add_up()
    op.create_index("ix_ledger_entries_currency_id", "ledger_entries", ["currency", "id"])
    op.drop_index("ix_ledger_entries_currency_occurred_at", "ledger_entries")
    op.create_index("ix_deployments_window", "deployments", ["environment", "finished_at", "status", "kind"])
    op.drop_index("ix_deployments_environment_finished_at", "deployments")
    op.create_index(
        "ix_delivered_commits_environment_lead_seconds",
        "delivered_commits",
        ["environment", "lead_seconds", "delivered_at"],
    )


def downgrade() -> None:
    op.drop_index("ix_delivered_commits_environment_lead_seconds", "delivered_commits")
    op.create_index("ix_deployments_environment_finished_at", "deployments", ["environment", "finished_at"])
    op.drop_index("ix_deployments_window", "deployments")
    op.create_index("ix_ledger_entries_currency_occurred_at", "ledger_entries", ["currency", "occurred_at"])
    op.drop_index("ix_ledger_entries_currency_id", "ledger_entries")
    for kept in _sums():
        for what in kept.events:
            on = f" ON {kept.table}" if _on_postgresql() else ""
            op.execute(f"DROP TRIGGER sum_{kept.name}_{what}{on}")
            if _on_postgresql():
                op.execute(f"DROP FUNCTION church_sum_{kept.name}_{what}()")
    op.drop_table("kept_sums")


def _on_postgresql() -> bool:
    return op.get_bind().dialect.name == "postgresql"


# -- triggers ---------------------------------------------------------------------------------------------------------


def _sqlite_triggers(kept: _Sum) -> Iterator[str]:
    add, take = _sqlite_change(kept, "new", "+"), _sqlite_change(kept, "old", "-")
    changed = " OR ".join(f"old.{column} IS NOT new.{column}" for column in kept.columns)
    bodies = {"insert": add, "delete": take, "update": f"{take} {add}"}
    for what in kept.events:
        event = f"UPDATE OF {', '.join(kept.columns)}" if what == "update" else what.upper()
        when = f" WHEN {changed}" if what == "update" else ""
        name = f"sum_{kept.name}_{what}"
        yield f"CREATE TRIGGER {name} AFTER {event} ON {kept.table}{when} BEGIN {bodies[what]} END"


def _sqlite_change(kept: _Sum, row: str, sign: str) -> str:
    """Make the key's row if it is missing, and change it."""
    key, amount = kept.key.format(row=row), kept.amount.format(row=row)
    of_key = f"name = '{kept.name}' AND key = {key}"
    return (
        f"INSERT INTO kept_sums (name, key, count, amount) SELECT '{kept.name}', {key}, 0, 0 "  # noqa: S608
        f"WHERE {key} IS NOT NULL AND NOT EXISTS (SELECT 1 FROM kept_sums WHERE {of_key}); "
        f"UPDATE kept_sums SET count = count {sign} 1, amount = amount {sign} {amount} WHERE {of_key};"
    )


def _postgresql_triggers(kept: _Sum) -> Iterator[str]:
    insert = "INSERT INTO kept_sums (name, key, count, amount)"
    all_added, all_taken = (
        f"{insert} SELECT '{kept.name}', {kept.key.format(row='changed')}, {sign}count(*), "  # noqa: S608
        f"{sign}sum({kept.amount.format(row='changed')}) FROM changed "
        f"WHERE {kept.key.format(row='changed')} IS NOT NULL GROUP BY 2;"
        for sign in ("", "-")
    )
    one_taken, one_added = (
        f"{insert} SELECT '{kept.name}', {kept.key.format(row=row)}, {sign}1, {sign}({kept.amount.format(row=row)}) "
        f"WHERE {kept.key.format(row=row)} IS NOT NULL;"
        for row, sign in (("old", "-"), ("new", ""))
    )
    changed = " OR ".join(f"old.{column} IS DISTINCT FROM new.{column}" for column in kept.columns)
    kinds = {
        "insert": (all_added, "INSERT", "REFERENCING NEW TABLE AS changed FOR EACH STATEMENT"),
        "delete": (all_taken, "DELETE", "REFERENCING OLD TABLE AS changed FOR EACH STATEMENT"),
        "update": (
            f"{one_taken} {one_added}",
            f"UPDATE OF {', '.join(kept.columns)}",
            f"FOR EACH ROW WHEN ({changed})",
        ),
    }
    for what in kept.events:
        body, event, each = kinds[what]
        function = f"church_sum_{kept.name}_{what}()"
        yield f"CREATE FUNCTION {function} RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} RETURN NULL; END $$"
        yield f"CREATE TRIGGER sum_{kept.name}_{what} AFTER {event} ON {kept.table} {each} EXECUTE FUNCTION {function}"


# -- the rows that are there ------------------------------------------------------------------------------------------


def _fill(kept: _Sum) -> None:
    key, amount = kept.key.format(row=kept.table), kept.amount.format(row=kept.table)
    counted = (
        f"INSERT INTO kept_sums (name, key, count, amount) SELECT '{kept.name}', {key}, count(*), sum({amount}) "  # noqa: S608
        f"FROM {kept.table} WHERE {key} IS NOT NULL"
    )
    if not kept.by_id:
        op.execute(f"{counted} GROUP BY 2")
        return
    connection = op.get_bind()
    last: int | None = connection.scalar(sa.text(f"SELECT max(id) FROM {kept.table}"))  # noqa: S608
    for first in range(0, (last or 0) + 1, _BATCH):
        batch = sa.text(f"{counted} AND id >= :first AND id < :end GROUP BY 2")
        connection.execute(batch, {"first": first, "end": first + _BATCH})


def _add_up() -> None:
    """Leave one row for each key."""
    last = op.get_bind().scalar(sa.text("SELECT max(id) FROM kept_sums"))
    op.execute(
        "INSERT INTO kept_sums (name, key, count, amount) "
        "SELECT name, key, sum(count), sum(amount) FROM kept_sums GROUP BY name, key"
    )
    op.get_bind().execute(sa.text("DELETE FROM kept_sums WHERE id <= :last"), {"last": last or 0})
