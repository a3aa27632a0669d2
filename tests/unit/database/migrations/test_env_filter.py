"""Objects that Alembic ignores because only migrations create them."""

from __future__ import annotations

import pytest

from church.database.migrations.env_filter import include_object


@pytest.mark.parametrize(
    "name",
    [
        "search",
        "ix_page_texts_search",
        "page_texts_fts",
        "page_texts_fts_data",
        "title_search",
        "ix_video_texts_title_search",
        "video_texts_fts_idx",
    ],
)
def test_object_of_the_search_in_the_database_is_ignored(name: str) -> None:
    assert not include_object(None, name, "table", True, None)


@pytest.mark.parametrize("name", ["page_texts", "video_texts", "jobs", None])
def test_other_object_in_the_database_is_compared(name: str | None) -> None:
    assert include_object(None, name, "table", True, None)


def test_object_of_a_model_is_always_compared() -> None:
    assert include_object(None, "search", "column", False, None)
