"""The admin's overview as a whole: a part that fails does not hide the others."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

from church.config import current_settings
from church.database import DatabaseDownError, ProbeResult, migrations
from church.extensions import db
from church.lib.version import COMMIT, VERSION
from church.services.admin_overview import health, read_health, read_overview
from church.services.admin_overview.health import Verdict
from tests.support.people import add_user, sign_in


def found(parts: list[health.PartHealth], name: str) -> tuple[Verdict, str]:
    return next((part.verdict, part.finding) for part in parts if part.name == name)


def test_overview_shows_version_and_counts(at_work: Flask) -> None:
    ada = add_user(at_work, password_hash="x", role="admin")
    sign_in(at_work, ada)
    seen = read_overview(current_settings())
    assert (seen.version, seen.commit, seen.environment) == (VERSION, COMMIT, "development")
    assert seen.members is not None
    assert (seen.members.members, seen.members.admins, seen.signed_in) == (1, 1, 1)
    assert found(seen.parts, "Database") == (Verdict.OK, "SQLite is responding.")
    assert found(seen.parts, "Migrations")[0] is Verdict.OK
    assert "No errors logged" in read_health(current_settings()).errors.problem


def test_overview_with_the_database_down_shows_the_rest(at_work: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    def down(*_args: object) -> Any:
        raise DatabaseDownError

    monkeypatch.setattr(db, "_read", down)
    monkeypatch.setattr(db, "probe", lambda: ProbeResult(answers=False, migrated=False))
    seen = read_overview(current_settings())
    assert (seen.members, seen.signed_in) == (None, None)
    assert found(seen.parts, "Database") == (Verdict.FAIL, "SQLite is not responding.")
    assert found(seen.parts, "Background work")[0] is Verdict.FAIL
    assert "Migrations" not in [part.name for part in seen.parts]
    assert found(seen.parts, "Instance disk")[0] is not None


def test_overview_of_a_database_without_tables_reports_it(at_work: Flask) -> None:
    migrations.downgrade(current_settings(), "base")
    db.dispose()
    seen = read_overview(current_settings())
    assert seen.members is None
    assert found(seen.parts, "Migrations")[0] is Verdict.FAIL
