"""What the comparison of models and database leaves out, because the migrations alone make it."""

from __future__ import annotations

from typing import Any

# SQLite's full-text table with its shadows, PostgreSQL's generated column and its index.
_UNMODELLED = {"search", "ix_page_texts_search"}


def include_object(_object: Any, name: str | None, _kind: str, reflected: bool, _other: Any) -> bool:
    """Alembic's ``include_object``: everything but what no model declares on purpose."""
    if not reflected or name is None:
        return True
    return name not in _UNMODELLED and not name.startswith("page_texts_fts")
