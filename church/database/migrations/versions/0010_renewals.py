"""What the next invoice takes, as Stripe previews it, and how it is collected; columns that nothing reads are dropped.

The columns that go were only written by the release before, so it loses nothing that it shows. Existing subscriptions
have no preview yet: the first hourly job asks Stripe for it, and the amount that was reckoned stays until then.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
_TIME = sa.DateTime(timezone=True)
_NEVER = "1970-01-01 00:00:00.000000+00:00"


def upgrade() -> None:
    _add_columns()
    op.execute("UPDATE subscriptions SET plan_amount = amount, renewal_at = current_period_end")
    for table, names in {
        "customers": ("delinquent",),
        "subscriptions": ("canceled_at",),
        "invoices": ("billing_reason", "amount_due", "next_attempt_at"),
        "ledger_entries": ("recorded_at",),
        "checkouts": ("stripe_subscription", "expires_at"),
    }.items():
        for name in names:
            op.drop_column(table, name)


def _add_columns() -> None:
    for column in (
        sa.Column("plan_amount", sa.BigInteger()),
        sa.Column("renewal_at", _TIME),
        sa.Column("renewal_asked_at", _TIME),
        sa.Column("renewal_basis", sa.String()),
        sa.Column("resumes_at", _TIME),
        sa.Column("collection_method", sa.String(), nullable=False, server_default="charge_automatically"),
    ):
        op.add_column("subscriptions", column)
    op.add_column("invoices", sa.Column("due_at", _TIME))
    op.add_column("prices", sa.Column("currency_amounts", _JSON, nullable=False, server_default=sa.text("'{}'")))
    op.create_index("ix_subscriptions_renewal_asked_at", "subscriptions", ["renewal_asked_at"])


def downgrade() -> None:
    never = sa.text(f"'{_NEVER}'")
    op.drop_index("ix_subscriptions_renewal_asked_at", "subscriptions")
    for name in (
        "plan_amount",
        "renewal_at",
        "renewal_asked_at",
        "renewal_basis",
        "resumes_at",
        "collection_method",
    ):
        op.drop_column("subscriptions", name)
    op.drop_column("invoices", "due_at")
    op.drop_column("prices", "currency_amounts")
    op.add_column("customers", sa.Column("delinquent", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("subscriptions", sa.Column("canceled_at", _TIME))
    op.add_column("invoices", sa.Column("billing_reason", sa.String()))
    op.add_column("invoices", sa.Column("amount_due", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("invoices", sa.Column("next_attempt_at", _TIME))
    op.add_column("ledger_entries", sa.Column("recorded_at", _TIME, nullable=False, server_default=never))
    op.add_column("checkouts", sa.Column("stripe_subscription", sa.String()))
    op.add_column("checkouts", sa.Column("expires_at", _TIME, nullable=False, server_default=never))
