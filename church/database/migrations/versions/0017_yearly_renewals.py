"""Subscriptions that renew once a year have an index of their own: each hour reads those that renew soon."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_NAME = "ix_subscriptions_yearly"
_YEARLY = sa.text("(\"interval\" = 'year' OR \"interval\" = 'month' AND interval_count >= 12)")


def upgrade() -> None:
    op.create_index(
        _NAME, "subscriptions", ["current_period_end", "id"], sqlite_where=_YEARLY, postgresql_where=_YEARLY
    )


def downgrade() -> None:
    op.drop_index(_NAME, "subscriptions")
