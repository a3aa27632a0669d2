"""Jobs, audit entries and webhook events are found by the request that made them."""

from __future__ import annotations

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

_TABLES = ("jobs", "audit_entries", "stripe_events")


def upgrade() -> None:
    """Apply the migration."""
    for table in _TABLES:
        op.create_index(f"ix_{table}_request_id", table, ["request_id"])


def downgrade() -> None:
    """Undo the migration."""
    for table in _TABLES:
        op.drop_index(f"ix_{table}_request_id", table)
