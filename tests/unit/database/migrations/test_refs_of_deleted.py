"""The migration that gives accounts which were deleted before another ref."""

from __future__ import annotations

from importlib import import_module

import pytest
from sqlalchemy import text

from church.config import Settings
from church.database import migrations
from church.database.engines import make_upkeep_engine

_migration = import_module("church.database.migrations.versions.0022_refs_of_deleted")
_USER = text(
    "INSERT INTO users (id, ref, name, role, source, created_at, deleted_at)"
    " VALUES (:id, :ref, '', 'member', 'web', '2026-01-01', :deleted)"
)
_ENTRY = text(
    "INSERT INTO audit_entries (at, action, via, actor_id, subject_id, detail, request_id)"
    " VALUES ('2026-01-01', 'member.promoted', 'web', :actor, :subject, '{}', 'a request')"
)


@pytest.mark.services
def test_deleted_accounts_get_another_ref_and_others_keep_theirs(
    migrated_site: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_migration, "_BATCH", 2)
    engine = make_upkeep_engine(migrated_site)
    migrations.downgrade(migrated_site, "0021")
    with engine.begin() as connection:
        for number in range(1, 7):
            deleted = "2026-02-01" if number <= 5 else None
            connection.execute(_USER, {"id": number, "ref": f"{number:016x}", "deleted": deleted})
        for actor, subject in ((6, 1), (5, 6), (6, 6)):
            connection.execute(_ENTRY, {"actor": actor, "subject": subject})
    migrations.migrate(migrated_site, "0022")
    with engine.connect() as connection:
        refs = list(connection.scalars(text("SELECT ref FROM users ORDER BY id")))
        requests = list(connection.scalars(text("SELECT request_id FROM audit_entries ORDER BY id")))
    engine.dispose()
    assert refs[5] == f"{6:016x}"
    assert set(refs[:5]).isdisjoint(f"{number:016x}" for number in range(7))
    assert len(set(refs)) == 6
    assert requests == [None, None, "a request"]
