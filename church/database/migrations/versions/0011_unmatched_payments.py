"""Payments without a member, the emails that were sent once, and when admins were told of a report.

The reports of before were seen in the admin area: they count as told, and the first new one sends one email.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)
_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "unmatched_payments",
        sa.Column("id", _ID, nullable=False),
        sa.Column("stripe_subscription", sa.String(), nullable=False),
        sa.Column("stripe_customer", sa.String(), nullable=False),
        sa.Column("email", sa.Text()),
        sa.Column("email_key", sa.String()),
        sa.Column("plan", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("amount", sa.BigInteger()),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("interval", sa.String()),
        sa.Column("started_at", _TIME, nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("ended_at", _TIME),
        sa.Column("dismissed_at", _TIME),
        sa.PrimaryKeyConstraint("id", name="pk_unmatched_payments"),
        sa.UniqueConstraint("stripe_subscription", name="uq_unmatched_payments_stripe_subscription"),
    )
    op.create_index("ix_unmatched_payments_stripe_customer", "unmatched_payments", ["stripe_customer"])
    op.create_index("ix_unmatched_payments_email_key", "unmatched_payments", ["email_key"])
    op.create_index("ix_unmatched_payments_ended_at", "unmatched_payments", ["ended_at"])
    op.create_table(
        "notices",
        sa.Column("id", _ID, nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_notices"),
        sa.UniqueConstraint("key", name="uq_notices_key"),
    )
    op.create_index("ix_notices_created_at", "notices", ["created_at"])
    op.create_index("ix_subscriptions_current_period_end", "subscriptions", ["current_period_end"])
    op.create_index("ix_grants_until", "grants", ["until"])
    op.add_column("chat_reports", sa.Column("emailed_at", _TIME))
    op.execute("UPDATE chat_reports SET emailed_at = created_at")
    op.create_index("ix_chat_reports_emailed_at", "chat_reports", ["emailed_at"])


def downgrade() -> None:
    op.drop_index("ix_chat_reports_emailed_at", "chat_reports")
    op.drop_column("chat_reports", "emailed_at")
    op.drop_index("ix_grants_until", "grants")
    op.drop_index("ix_subscriptions_current_period_end", "subscriptions")
    op.drop_table("notices")
    op.drop_table("unmatched_payments")
