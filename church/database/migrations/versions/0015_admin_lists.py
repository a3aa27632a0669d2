"""Fast lists for admins and the search of accounts: indexes, and a full-text table on SQLite.

On SQLite the search is a table of trigrams. Triggers keep it, by whatever way an account changes. It stores no text,
only which account has which trigrams. On PostgreSQL it is an index of the extension pg_trgm, which
``church.database.member_index`` makes after each migration where the extension may be installed.

A later migration that copies ``users`` on SQLite drops the triggers with it, and has to make them again.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_BATCH = 20_000

# name, table, columns, condition
_INDEXES = (
    ("ix_users_created_at_deleted_at", "users", ["created_at", "deleted_at"], None),
    ("ix_users_kept", "users", ["id"], "deleted_at IS NULL"),
    ("ix_users_deleted", "users", ["id"], "deleted_at IS NOT NULL"),
    ("ix_users_disabled", "users", ["id"], "deleted_at IS NULL AND disabled_at IS NOT NULL"),
    (
        "ix_users_active",
        "users",
        ["id"],
        "deleted_at IS NULL AND disabled_at IS NULL AND verified_at IS NOT NULL",
    ),
    (
        "ix_users_unverified",
        "users",
        ["id"],
        "deleted_at IS NULL AND disabled_at IS NULL AND verified_at IS NULL",
    ),
    ("ix_users_admins", "users", ["id"], "role = 'admin'"),
    ("ix_sign_ins_created_at", "sign_ins", ["created_at"], None),
    ("ix_sign_ins_expires_at", "sign_ins", ["expires_at"], None),
    ("ix_audit_entries_action_id", "audit_entries", ["action", "id"], None),
    ("ix_audit_entries_subject_id_id", "audit_entries", ["subject_id", "id"], None),
    ("ix_jobs_state_id", "jobs", ["state", "id"], None),
    ("ix_mails_state_id", "mails", ["state", "id"], None),
    ("ix_videos_state_id", "videos", ["state", "id"], None),
    ("ix_subscriptions_status_id", "subscriptions", ["status", "id"], None),
    (
        "ix_subscriptions_current",
        "subscriptions",
        ["user_id", "status"],
        "status NOT IN ('canceled', 'incomplete', 'incomplete_expired')",
    ),
    ("ix_grants_revoked", "grants", ["id"], "revoked_at IS NOT NULL"),
    ("ix_chat_reports_open", "chat_reports", ["id"], "settled_at IS NULL"),
    ("ix_chat_reports_settled", "chat_reports", ["id"], "settled_at IS NOT NULL"),
    ("ix_chat_sanctions_not_lifted", "chat_sanctions", ["id"], "lifted_at IS NULL"),
)
# Replaced by one above that begins with the same columns.
_REPLACED = (
    ("ix_users_created_at", "users", ["created_at"]),
    ("ix_audit_entries_action_at", "audit_entries", ["action", "at"]),
    ("ix_audit_entries_subject_id", "audit_entries", ["subject_id"]),
    ("ix_chat_reports_settled_at_created_at", "chat_reports", ["settled_at", "created_at"]),
)


def upgrade() -> None:
    for name, table, columns, condition in _INDEXES:
        where = sa.text(condition) if condition else None
        op.create_index(name, table, columns, sqlite_where=where, postgresql_where=where)
    for name, table, _ in _REPLACED:
        op.drop_index(name, table)
    for statement in _POSTGRESQL_SEARCH if _on_postgresql() else _SQLITE_SEARCH:
        op.execute(statement)
    if not _on_postgresql():
        _fill_search()


def downgrade() -> None:
    for statement in _POSTGRESQL_DOWN if _on_postgresql() else _SQLITE_DOWN:
        op.execute(statement)
    for name, table, columns in _REPLACED:
        op.create_index(name, table, columns)
    for name, table, _, _ in reversed(_INDEXES):
        op.drop_index(name, table)


def _on_postgresql() -> bool:
    return op.get_bind().dialect.name == "postgresql"


# -- the search -------------------------------------------------------------------------------------------------------

# The same text as church.database.member_index.WORDS: between two parts are two blanks, which no query has.
_WORDS = (
    "coalesce({row}.email, '') || '  ' || {row}.name || "
    "CASE WHEN {row}.email_key <> lower({row}.email) THEN '  ' || {row}.email_key ELSE '' END"
)
_OLD, _NEW = _WORDS.format(row="old"), _WORDS.format(row="new")
_ADD = f"INSERT INTO users_search(rowid, words) VALUES (new.id, {_NEW});"  # noqa: S608 (no text of others)
_TAKE = f"INSERT INTO users_search(users_search, rowid, words) VALUES ('delete', old.id, {_OLD});"  # noqa: S608
_SQLITE_SEARCH = (
    "CREATE VIRTUAL TABLE users_search USING fts5(words, content='', columnsize=0, tokenize='trigram')",
    f"CREATE TRIGGER users_search_insert AFTER INSERT ON users BEGIN {_ADD} END",
    f"""CREATE TRIGGER users_search_update AFTER UPDATE OF email, email_key, name ON users
        WHEN {_OLD} <> {_NEW} BEGIN {_TAKE} {_ADD} END""",
    f"CREATE TRIGGER users_search_delete AFTER DELETE ON users BEGIN {_TAKE} END",
    "CREATE INDEX ix_users_name_start ON users (name COLLATE NOCASE)",
)
_POSTGRESQL_SEARCH = (
    "CREATE INDEX ix_users_email_key_start ON users (email_key text_pattern_ops)",
    "CREATE INDEX ix_users_name_start ON users (lower(name) text_pattern_ops)",
)


def _fill_search() -> None:
    """Fill the search of SQLite in batches, so that its memory stays small."""
    connection = op.get_bind()
    last: int | None = connection.scalar(sa.text("SELECT max(id) FROM users"))
    for first in range(0, (last or 0) + 1, _BATCH):
        connection.execute(
            sa.text(
                f"INSERT INTO users_search(rowid, words) SELECT id, {_WORDS.format(row='users')} FROM users "  # noqa: S608
                "WHERE id >= :first AND id < :end"
            ),
            {"first": first, "end": first + _BATCH},
        )


_SQLITE_DOWN = (
    *(f"DROP TRIGGER users_search_{what}" for what in ("insert", "update", "delete")),
    "DROP TABLE users_search",
    "DROP INDEX ix_users_name_start",
)
_POSTGRESQL_DOWN = (
    "DROP INDEX IF EXISTS ix_users_words",
    "DROP INDEX ix_users_name_start",
    "DROP INDEX ix_users_email_key_start",
)
