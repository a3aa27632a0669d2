"""Jobs, schedules and the searchable text of the pages."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
_TIME = sa.DateTime(timezone=True)
_PENDING = sa.text("state = 'pending'")

# Accents and ASCII punctuation are folded away as SQLite's unicode61 does, so that both find the same pages.
_POSTGRESQL_SEARCH = (
    r"""CREATE FUNCTION church_fold(words text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN
        translate(
            normalize(regexp_replace(normalize(left(words, 200000), NFD), '[\u0300-\u036f]', '', 'g'), NFC),
            '!"#$%&''()*+,-./:;<=>?@[\]^_`{|}~', repeat(' ', 32))""",
    """ALTER TABLE page_texts ADD COLUMN search tsvector GENERATED ALWAYS AS (
        setweight(to_tsvector('simple', church_fold(title)), 'A') ||
        setweight(to_tsvector('simple', church_fold(summary || ' ' || tags)), 'B') ||
        setweight(to_tsvector('simple', church_fold(body)), 'C')) STORED""",
    "CREATE INDEX ix_page_texts_search ON page_texts USING gin (search)",
)
_SQLITE_SEARCH = (
    """CREATE VIRTUAL TABLE page_texts_fts USING fts5(
        title, summary, tags, body, content='page_texts', content_rowid='id',
        tokenize="unicode61 remove_diacritics 2")""",
    """CREATE TRIGGER page_texts_insert AFTER INSERT ON page_texts BEGIN
        INSERT INTO page_texts_fts(rowid, title, summary, tags, body)
        VALUES (new.id, new.title, new.summary, new.tags, new.body); END""",
    """CREATE TRIGGER page_texts_delete AFTER DELETE ON page_texts BEGIN
        INSERT INTO page_texts_fts(page_texts_fts, rowid, title, summary, tags, body)
        VALUES ('delete', old.id, old.title, old.summary, old.tags, old.body); END""",
    """CREATE TRIGGER page_texts_update AFTER UPDATE ON page_texts BEGIN
        INSERT INTO page_texts_fts(page_texts_fts, rowid, title, summary, tags, body)
        VALUES ('delete', old.id, old.title, old.summary, old.tags, old.body);
        INSERT INTO page_texts_fts(rowid, title, summary, tags, body)
        VALUES (new.id, new.title, new.summary, new.tags, new.body); END""",
)


def upgrade() -> None:
    _jobs()
    _page_texts()
    for statement in _POSTGRESQL_SEARCH if _on_postgresql() else _SQLITE_SEARCH:
        op.execute(statement)


def downgrade() -> None:
    if not _on_postgresql():
        op.execute("DROP TABLE page_texts_fts")
    op.drop_table("page_texts")
    if _on_postgresql():
        op.execute("DROP FUNCTION church_fold(text)")
    op.drop_table("schedules")
    op.drop_table("jobs")


def _on_postgresql() -> bool:
    return op.get_bind().dialect.name == "postgresql"


def _jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", _BIG_ID, nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("payload", _JSON, nullable=False),
        sa.Column("unique_key", sa.String()),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("run_at", _TIME, nullable=False),
        sa.Column("leased_until", _TIME),
        sa.Column("lease", sa.String()),
        sa.Column("error", sa.Text()),
        sa.Column("request_id", sa.String()),
        sa.Column("traceparent", sa.String()),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("finished_at", _TIME),
        sa.CheckConstraint("state IN ('pending', 'running', 'done', 'dead')", name="ck_jobs_state"),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
    )
    op.create_index("ix_jobs_state_run_at", "jobs", ["state", "run_at"])
    op.create_index(
        "uq_jobs_pending_key",
        "jobs",
        ["unique_key"],
        unique=True,
        sqlite_where=_PENDING,
        postgresql_where=_PENDING,
    )
    op.create_table(
        "schedules",
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("every_seconds", sa.Double(), nullable=False),
        sa.Column("next_at", _TIME, nullable=False),
        sa.Column("last_at", _TIME),
        sa.PrimaryKeyConstraint("kind", name="pk_schedules"),
    )


def _page_texts() -> None:
    op.create_table(
        "page_texts",
        sa.Column("id", _BIG_ID, nullable=False),
        sa.Column("slug", sa.String(), nullable=False),
        sa.Column("scope", sa.String(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("access", sa.String(), nullable=False),
        sa.CheckConstraint("scope IN ('open', 'full')", name="ck_page_texts_scope"),
        sa.CheckConstraint("access IN ('public', 'members', 'premium')", name="ck_page_texts_access"),
        sa.PrimaryKeyConstraint("id", name="pk_page_texts"),
        sa.UniqueConstraint("slug", "scope", name="uq_page_texts_slug_scope"),
    )
