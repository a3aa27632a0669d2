"""Sign-ins and emailed links of a restored database end."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import select

from church.backup import sign_ins
from church.backup.archive import BackupError
from church.config import Settings
from church.database.engines import sqlite_path
from church.extensions import db
from church.models import Link, SignIn
from church.models.accounts import Purpose
from church.services import email_links
from tests.support.people import add_user, sign_in


def test_sign_ins_end_and_links_are_revoked(app: Flask, settings: Settings) -> None:
    user = add_user(app, "ada@example.org")
    sign_in(app, user)
    sign_in(app, user)
    with app.app_context():
        with db.write() as session:
            email_links.make(session, Purpose.RESET, user)
        db.dispose()
        assert sign_ins.end_in_site(settings) == 2
        with db.read() as session:
            assert session.scalars(select(SignIn)).all() == []
            assert session.scalars(select(Link.used_at)).one() is not None


def test_backup_older_than_accounts_has_none(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "old")) as connection:
        connection.execute("CREATE TABLE any (n)")
    assert sign_ins.end_in_file(tmp_path / "old") == 0


def test_damaged_database_is_reported(site: Settings) -> None:
    sqlite_path(site).write_bytes(b"no database " * 100)
    with pytest.raises(BackupError, match="can't end the restored sign-ins: DatabaseError"):
        sign_ins.end_in_site(site)
