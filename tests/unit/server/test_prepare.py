"""Preparing an instance, and a second start that skips it."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys

import pytest

from church import create_app
from church.config import Settings
from church.database import migrations
from church.server import prepare
from church.services.pages import current_pages


def rows(settings: Settings, query: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(settings.instance / "church.db") as connection:
        found = connection.execute(query).fetchall()
    connection.close()
    return found


@pytest.fixture
def prepared(settings: Settings) -> Settings:
    prepare.prepare_instance(settings)
    return settings


def test_prepare_creates_folders_and_schema_and_leaves_the_index_to_the_worker(prepared: Settings):
    assert rows(prepared, "SELECT version_num FROM alembic_version") == [(migrations.head_revision(),)]
    assert rows(prepared, "SELECT slug FROM page_texts") == []
    assert prepared.instance.stat().st_mode & 0o077 == 0


def test_prepare_reads_the_pages_of_a_new_site(settings: Settings):
    app = prepare.prepare_instance(settings)
    assert app is not None
    with app.app_context():
        library = current_pages()
        library.shelf.is_resting = True  # shows what was read, and reads nothing itself
        assert library.is_complete()
        library.shelf.rows.close()


def test_prepare_a_second_time_loads_neither_alembic_nor_the_site(prepared: Settings):
    code = (
        "import sys; from church.config import load_settings; from church.server.prepare import prepare_instance;"
        "prepare_instance(load_settings()); sys.exit('alembic' in sys.modules or 'church.factory' in sys.modules)"
    )
    environment = {"CHURCH_INSTANCE": str(prepared.instance), "CHURCH_LOG_DIR": str(prepared.log_dir)}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0


def test_prepare_after_the_database_was_lost_creates_it_again(prepared: Settings):
    for path in prepared.instance.glob("church.db*"):
        path.unlink()
    prepare.prepare_instance(prepared)
    assert rows(prepared, "SELECT version_num FROM alembic_version") == [(migrations.head_revision(),)]


def test_prepare_of_a_database_at_another_revision_migrates(prepared: Settings):
    migrations.downgrade(prepared, "base")
    prepare.prepare_instance(prepared)
    assert rows(prepared, "SELECT kind FROM jobs") == [("videos.demo",)]  # like a new site


def test_prepare_after_an_upgrade_of_the_code_checks_again(prepared: Settings, monkeypatch):
    stamp = prepared.instance / "prepared.json"
    stamp.write_text(json.dumps({**json.loads(stamp.read_text()), "revisions": "of older code"}))
    migrated = []
    monkeypatch.setattr(migrations, "migrate", migrated.append)
    prepare.prepare_instance(prepared)
    assert migrated == [prepared]


def test_index_names_pages_that_are_left_out_and_what_is_not_shown(prepared: Settings, tmp_path, capsys):
    content = tmp_path / "content"
    content.mkdir()
    (content / "bad.md").write_text("---\nsummary: no title\n---\n")
    (content / "odd.md").write_text("---\ntitle: Odd\n---\n<script>x</script>\n\n![x](none.png)\n")
    assert prepare.index_pages(create_app(prepared.model_copy(update={"content": content}))) == 1
    told = capsys.readouterr().err
    assert "left out: bad.md" in told
    assert "removed: odd.md: <script>\npicture not shown: odd.md: none.png: there is no such file\n" in told
