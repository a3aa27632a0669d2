"""Chat: three rooms, their messages, sanctions and reports."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TIME = sa.DateTime(timezone=True)
_ROOMS = (("public", "Public", "members"), ("premium", "Premium", "premium"), ("admins", "Admins", "admins"))


def upgrade() -> None:
    _rooms()
    _messages()
    _sanctions()
    _reports()


def downgrade() -> None:
    for table in ("chat_reports", "chat_sanctions", "chat_messages", "chat_rooms"):
        op.drop_table(table)


def _rooms() -> None:
    rooms = op.create_table(
        "chat_rooms",
        sa.Column("id", _BIG_ID, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("access", sa.String(), nullable=False),
        sa.Column("last_number", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("access IN ('members', 'premium', 'admins')", name="ck_chat_rooms_access"),
        sa.PrimaryKeyConstraint("id", name="pk_chat_rooms"),
        sa.UniqueConstraint("name", name="uq_chat_rooms_name"),
    )
    rows = [{"name": name, "title": title, "access": access, "last_number": 0} for name, title, access in _ROOMS]
    op.bulk_insert(rooms, rows)


def _messages() -> None:
    op.create_table(
        "chat_messages",
        sa.Column("id", _BIG_ID, nullable=False),
        sa.Column("room_id", _BIG_ID, nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("changed", sa.BigInteger(), nullable=False),
        sa.Column("user_id", _BIG_ID, nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("client_id", sa.String()),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("edited_at", _TIME),
        sa.Column("deleted_at", _TIME),
        sa.Column("deleted_by", _BIG_ID),
        sa.PrimaryKeyConstraint("id", name="pk_chat_messages"),
        sa.UniqueConstraint("room_id", "number", name="uq_chat_messages_room_id_number"),
        sa.UniqueConstraint("room_id", "changed", name="uq_chat_messages_room_id_changed"),
        sa.UniqueConstraint("room_id", "user_id", "client_id", name="uq_chat_messages_room_id_user_id_client_id"),
        sa.ForeignKeyConstraint(["room_id"], ["chat_rooms.id"], name="fk_chat_messages_room_id_chat_rooms"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_chat_messages_user_id_users"),
        sa.ForeignKeyConstraint(["deleted_by"], ["users.id"], name="fk_chat_messages_deleted_by_users"),
    )
    op.create_index("ix_chat_messages_user_id", "chat_messages", ["user_id"])
    op.create_index("ix_chat_messages_created_at", "chat_messages", ["created_at"])


def _sanctions() -> None:
    op.create_table(
        "chat_sanctions",
        sa.Column("id", _BIG_ID, nullable=False),
        sa.Column("user_id", _BIG_ID, nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("room_id", _BIG_ID),
        sa.Column("until", _TIME),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("given_by", _BIG_ID),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("lifted_at", _TIME),
        sa.CheckConstraint("kind IN ('mute', 'ban')", name="ck_chat_sanctions_kind"),
        sa.PrimaryKeyConstraint("id", name="pk_chat_sanctions"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_chat_sanctions_user_id_users"),
        sa.ForeignKeyConstraint(["room_id"], ["chat_rooms.id"], name="fk_chat_sanctions_room_id_chat_rooms"),
        sa.ForeignKeyConstraint(["given_by"], ["users.id"], name="fk_chat_sanctions_given_by_users"),
    )
    op.create_index("ix_chat_sanctions_user_id", "chat_sanctions", ["user_id"])


def _reports() -> None:
    op.create_table(
        "chat_reports",
        sa.Column("id", _BIG_ID, nullable=False),
        sa.Column("message_id", _BIG_ID, nullable=False),
        sa.Column("user_id", _BIG_ID, nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("settled_at", _TIME),
        sa.Column("settled_by", _BIG_ID),
        sa.PrimaryKeyConstraint("id", name="pk_chat_reports"),
        sa.UniqueConstraint("message_id", "user_id", name="uq_chat_reports_message_id_user_id"),
        sa.ForeignKeyConstraint(["message_id"], ["chat_messages.id"], name="fk_chat_reports_message_id_chat_messages"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_chat_reports_user_id_users"),
        sa.ForeignKeyConstraint(["settled_by"], ["users.id"], name="fk_chat_reports_settled_by_users"),
    )
    op.create_index("ix_chat_reports_user_id", "chat_reports", ["user_id"])
    op.create_index("ix_chat_reports_settled_at_created_at", "chat_reports", ["settled_at", "created_at"])
