"""Addresses and networks whose requests the site refuses."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)
_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Apply the migration."""
    op.create_table(
        "blocked_networks",
        sa.Column("id", _ID, nullable=False),
        sa.Column("network", sa.String(), nullable=False),
        sa.Column("until", _TIME, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("blocked_by", _ID),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("lifted_at", _TIME),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["blocked_by"], ["users.id"], name="fk_blocked_networks_blocked_by_users"),
        sa.PrimaryKeyConstraint("id", name="pk_blocked_networks"),
        sa.UniqueConstraint("network", name="uq_blocked_networks_network"),
        sa.UniqueConstraint("revision", name="uq_blocked_networks_revision"),
    )


def downgrade() -> None:
    """Undo the migration."""
    op.drop_table("blocked_networks")
