"""Objects that Alembic ignores when it compares models and database: only migrations create them."""

from __future__ import annotations

from typing import Any

# SQLite's full-text tables with their shadows, PostgreSQL's generated columns, and indexes of these and of expressions.
_UNMODELLED = {
    *("search", "headline", "title_search", "ix_users_words", "ix_users_name_start", "ix_users_email_key_start"),
    *("ix_page_texts_search", "ix_page_texts_headline", "ix_video_texts_search", "ix_video_texts_title_search"),
}


def include_object(_object: Any, name: str | None, _kind: str, reflected: bool, _other: Any) -> bool:
    """Tell Alembic whether to compare an object (its ``include_object`` option)."""
    if not reflected or name is None:
        return True
    return name not in _UNMODELLED and not name.startswith(("page_texts_fts", "video_texts_fts", "users_search"))
