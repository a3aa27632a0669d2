"""Two hosts that index the pages at once, on PostgreSQL: SQLite has one writer at a time."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select

from church.extensions import db
from church.models.pages import PageText
from church.services.pages.search import index
from tests.support.services_fixture import site_settings

pytestmark = pytest.mark.services

PAGE = {"title": "Bells", "summary": "", "tags": "", "body": "They ring.", "access": "public", "stamp": "1:x"}


def test_index_two_hosts_at_once_writes_each_row_once_and_announces_a_page_once(
    tmp_path: Path, migrated_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = Flask("test")
    app.config["CHURCH"] = site_settings(tmp_path, migrated_url)
    db.init_app(app)
    announced: list[str] = []
    monkeypatch.setattr(index.live_broadcast, "notify_new_pages", lambda _, titles: announced.extend(titles))
    first = {("about", "full"): PAGE}
    both = first | {("bells", "full"): PAGE, ("bells", "open"): PAGE}
    insert = index.insert_or_ignore

    def other_host() -> None:
        with app.app_context():
            index.write_rows(db, both)

    def insert_late(*row: Any, **options: Any) -> bool:
        """Insert after the other host, which has read the same index."""
        monkeypatch.setattr(index, "insert_or_ignore", insert)
        thread = threading.Thread(target=other_host)
        thread.start()
        thread.join(60)
        return insert(*row, **options)

    with app.app_context():
        index.write_rows(db, first, announce=False)
        monkeypatch.setattr(index, "insert_or_ignore", insert_late)
        assert index.write_rows(db, both).changed == 2
        with db.read() as session:
            assert session.scalar(select(func.count()).select_from(PageText)) == 3
        db.dispose()
    assert announced == ["bells"]
