"""Accounts: users, signed-in devices, one-time links, emails and the audit log."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    _users()
    _sign_ins()
    _links()
    _mails()
    _audit()


def downgrade() -> None:
    for table in ("audit_entries", "mails", "links", "sign_ins", "users"):
        op.drop_table(table)


def _users() -> None:
    op.create_table(
        "users",
        sa.Column("id", _BIG_ID, nullable=False),
        sa.Column("ref", sa.String(), nullable=False),
        sa.Column("email", sa.Text()),
        sa.Column("email_key", sa.String()),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("password_hash", sa.String()),
        sa.Column("password_changed_at", _TIME),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("verified_at", _TIME),
        sa.Column("disabled_at", _TIME),
        sa.Column("deleted_at", _TIME),
        sa.CheckConstraint("role IN ('member', 'admin')", name="ck_users_role"),
        sa.CheckConstraint("deleted_at IS NULL OR email IS NULL", name="ck_users_deleted_is_empty"),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("ref", name="uq_users_ref"),
        sa.UniqueConstraint("email_key", name="uq_users_email_key"),
    )
    op.create_index("ix_users_created_at", "users", ["created_at"])


def _sign_ins() -> None:
    op.create_table(
        "sign_ins",
        sa.Column("id", _BIG_ID, nullable=False),
        sa.Column("ref", sa.String(), nullable=False),
        sa.Column("token_hash", sa.String(), nullable=False),
        sa.Column("user_id", _BIG_ID, nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("last_seen_at", _TIME, nullable=False),
        sa.Column("expires_at", _TIME, nullable=False),
        sa.Column("user_agent", sa.Text(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_sign_ins"),
        sa.UniqueConstraint("ref", name="uq_sign_ins_ref"),
        sa.UniqueConstraint("token_hash", name="uq_sign_ins_token_hash"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_sign_ins_user_id_users"),
    )
    op.create_index("ix_sign_ins_user_id", "sign_ins", ["user_id"])
    op.create_index("ix_sign_ins_last_seen_at", "sign_ins", ["last_seen_at"])


def _links() -> None:
    op.create_table(
        "links",
        sa.Column("id", _BIG_ID, nullable=False),
        sa.Column("nonce", sa.String(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("user_id", _BIG_ID),
        sa.Column("email", sa.Text()),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("expires_at", _TIME, nullable=False),
        sa.Column("used_at", _TIME),
        sa.CheckConstraint("purpose IN ('verify', 'reset', 'change_email', 'first_admin')", name="ck_links_purpose"),
        sa.PrimaryKeyConstraint("id", name="pk_links"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_links_user_id_users"),
    )
    op.create_index("ix_links_user_id", "links", ["user_id"])
    op.create_index("ix_links_expires_at", "links", ["expires_at"])


def _mails() -> None:
    op.create_table(
        "mails",
        sa.Column("id", _BIG_ID, nullable=False),
        sa.Column("template", sa.String(), nullable=False),
        sa.Column("recipient", sa.Text(), nullable=False),
        sa.Column("user_id", _BIG_ID),
        sa.Column("link_id", _BIG_ID),
        sa.Column("context", _JSON, nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("sent_at", _TIME),
        sa.CheckConstraint("state IN ('pending', 'sent', 'failed')", name="ck_mails_state"),
        sa.PrimaryKeyConstraint("id", name="pk_mails"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_mails_user_id_users"),
        sa.ForeignKeyConstraint(["link_id"], ["links.id"], name="fk_mails_link_id_links", ondelete="SET NULL"),
    )
    op.create_index("ix_mails_user_id", "mails", ["user_id"])
    op.create_index("ix_mails_state_created_at", "mails", ["state", "created_at"])


def _audit() -> None:
    op.create_table(
        "audit_entries",
        sa.Column("id", _BIG_ID, nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("via", sa.String(), nullable=False),
        sa.Column("actor_id", _BIG_ID),
        sa.Column("subject_id", _BIG_ID),
        sa.Column("detail", _JSON, nullable=False),
        sa.Column("address", sa.String()),
        sa.Column("request_id", sa.String()),
        sa.PrimaryKeyConstraint("id", name="pk_audit_entries"),
        sa.ForeignKeyConstraint(["actor_id"], ["users.id"], name="fk_audit_entries_actor_id_users"),
        sa.ForeignKeyConstraint(["subject_id"], ["users.id"], name="fk_audit_entries_subject_id_users"),
    )
    op.create_index("ix_audit_entries_at", "audit_entries", ["at"])
    op.create_index("ix_audit_entries_action_at", "audit_entries", ["action", "at"])
    op.create_index("ix_audit_entries_actor_id", "audit_entries", ["actor_id"])
    op.create_index("ix_audit_entries_subject_id", "audit_entries", ["subject_id"])
