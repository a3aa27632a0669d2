"""The announcement of maintenance, one row for all hosts.

A restore of an older backup creates the table ahead of this migration, to keep the site closed: then it stays.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "maintenance",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("since", _TIME, nullable=False),
        sa.Column("until", _TIME),
        sa.Column("by", sa.String()),
        sa.CheckConstraint("id = 1", name="ck_maintenance_one_row"),
        sa.PrimaryKeyConstraint("id", name="pk_maintenance"),
        if_not_exists=True,
    )


def downgrade() -> None:
    op.drop_table("maintenance")
