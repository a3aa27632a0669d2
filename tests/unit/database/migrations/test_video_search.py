"""The migration that makes the videos searchable: texts of before are found, on both databases."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest
from sqlalchemy import insert, select

from church import create_app
from church.config import Settings
from church.database import migrations
from church.extensions import db
from church.models import Video, VideoText
from church.services import videos
from church.services.videos import search
from tests.support.services_fixture import on_postgresql, site_settings
from tests.support.video_fixture import row_values

_migration = import_module("church.database.migrations.versions.0014_video_search")


@pytest.fixture(params=["sqlite", on_postgresql])
def old_site(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """A site of the release before."""
    url = request.getfixturevalue("postgres").new_database() if request.param == "postgresql" else None
    site = site_settings(tmp_path, url)
    migrations.migrate(site, _migration.down_revision)
    return site


def test_videos_of_the_release_before_are_found_after_the_upgrade(
    old_site: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_migration, "_BATCH", 2)
    app = create_app(old_site)
    with app.app_context():
        with db.write() as session:
            session.execute(insert(Video), [row_values(f"v{n}", description="Nets 海と") for n in range(5)])
        migrations.migrate(old_site)
        found = videos.search_videos("nets")
        assert [one.slug for one in found.videos] == ["v4", "v3", "v2", "v1", "v0"]
        search.prepare_texts({})
        assert len(videos.search_videos("と").videos) == 5
        migrations.downgrade(old_site, _migration.down_revision)
        with db.write() as session:
            session.execute(insert(Video), [row_values("later", description="Nets")])
        migrations.migrate(old_site)
        assert videos.search_videos("nets").videos[0].slug == "later"
        with db.read() as session:
            assert len(session.scalars(select(VideoText.id)).all()) == 6
        db.dispose()
