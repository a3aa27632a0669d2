"""Accounts that were deleted get another ref, and their audit entries no longer name requests.

So nothing leads from them to what the logs have of them.
"""

from __future__ import annotations

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

_BATCH = 500
_users = sa.table("users", sa.column("id"), sa.column("ref"), sa.column("deleted_at"))
_entries = sa.table("audit_entries", sa.column("actor_id"), sa.column("subject_id"), sa.column("request_id"))


def upgrade() -> None:
    """Apply the migration."""
    connection = op.get_bind()
    deleted = sa.select(_users.c.id).where(_users.c.deleted_at.is_not(None))
    last = 0
    while found := list(connection.scalars(deleted.where(_users.c.id > last).order_by(_users.c.id).limit(_BATCH))):
        change = sa.update(_users).where(_users.c.id == sa.bindparam("user_id")).values(ref=sa.bindparam("new_ref"))
        connection.execute(change, [{"user_id": user_id, "new_ref": secrets.token_hex(8)} for user_id in found])
        about = sa.or_(_entries.c.subject_id.in_(found), _entries.c.actor_id.in_(found))
        connection.execute(sa.update(_entries).where(about).values(request_id=None))
        last = found[-1]


def downgrade() -> None:
    """Undo the migration: there is nothing to undo."""
