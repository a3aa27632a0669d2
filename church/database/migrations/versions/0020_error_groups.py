"""Errors, grouped by what is wrong, with what admins have decided about each."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Apply the migration."""
    op.create_table(
        "error_groups",
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("error_type", sa.String(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("first_seen", _TIME, nullable=False),
        sa.Column("last_seen", _TIME, nullable=False),
        sa.Column("first_version", sa.String(), nullable=False),
        sa.Column("last_version", sa.String(), nullable=False),
        sa.Column("resolved_at", _TIME),
        sa.Column("came_back_at", _TIME),
        sa.Column("emailed_at", _TIME),
        sa.CheckConstraint("state IN ('open', 'resolved', 'ignored')", name="ck_error_groups_state"),
        sa.PrimaryKeyConstraint("fingerprint", name="pk_error_groups"),
    )
    op.create_index("ix_error_groups_last_seen", "error_groups", ["last_seen"])


def downgrade() -> None:
    """Undo the migration."""
    op.drop_table("error_groups")
