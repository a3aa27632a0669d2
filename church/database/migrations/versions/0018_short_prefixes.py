"""Words of pages are found by their first one or two letters through an index of these, on SQLite.

Without it, a search for the first letter of a word reads the places of all words that begin with it.
"""

from __future__ import annotations

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the migration."""
    _make_index(", prefix='1 2'")


def downgrade() -> None:
    """Undo the migration."""
    _make_index("")


def _make_index(options: str) -> None:
    """Make the index anew from the texts. The triggers that keep it belong to the texts, and stay."""
    if op.get_bind().dialect.name != "sqlite":
        return
    op.execute("DROP TABLE page_texts_fts")
    op.execute(f"""CREATE VIRTUAL TABLE page_texts_fts USING fts5(
        title, summary, tags, body, content='page_texts', content_rowid='id',
        tokenize="unicode61 remove_diacritics 2"{options})""")
    op.execute("INSERT INTO page_texts_fts(page_texts_fts) VALUES ('rebuild')")
