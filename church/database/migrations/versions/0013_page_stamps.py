"""Which file each row of the search index was made of, so that an update renders only the pages that changed.

PostgreSQL gets an index of titles, summaries and tags alone: hits in them are found without ranking all hits.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_UPDATE = """CREATE TRIGGER page_texts_update AFTER UPDATE {columns}ON page_texts BEGIN
    INSERT INTO page_texts_fts(page_texts_fts, rowid, title, summary, tags, body)
    VALUES ('delete', old.id, old.title, old.summary, old.tags, old.body);
    INSERT INTO page_texts_fts(rowid, title, summary, tags, body)
    VALUES (new.id, new.title, new.summary, new.tags, new.body); END"""


def upgrade() -> None:
    op.add_column("page_texts", sa.Column("stamp", sa.String()))
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            """ALTER TABLE page_texts ADD COLUMN headline tsvector GENERATED ALWAYS AS (
                setweight(to_tsvector('simple', church_fold(title)), 'A') ||
                setweight(to_tsvector('simple', church_fold(summary || ' ' || tags)), 'B')) STORED"""
        )
        op.execute("CREATE INDEX ix_page_texts_headline ON page_texts USING gin (headline)")
    else:
        _replace_trigger("OF title, summary, tags, body ")


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.drop_column("page_texts", "headline")
    else:
        _replace_trigger("")
    op.drop_column("page_texts", "stamp")


def _replace_trigger(columns: str) -> None:
    """Write to the index only when a text changes, and not for a new stamp."""
    op.execute("DROP TRIGGER page_texts_update")
    op.execute(_UPDATE.format(columns=columns))
