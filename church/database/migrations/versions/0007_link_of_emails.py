"""An index on the link of an email: without it, each link that is deleted reads all emails.

It is made in the migration's transaction, and writers of emails wait for as long: about half a second for 500,000 of
them. CREATE INDEX CONCURRENTLY would spare that, but leave a broken index behind if it failed.
"""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_mails_link_id", "mails", ["link_id"])


def downgrade() -> None:
    op.drop_index("ix_mails_link_id", "mails")
