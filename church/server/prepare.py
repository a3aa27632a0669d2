"""Prepare an instance before its processes start: folders, database, threat scan. ``flask church work`` indexes.

A second start finds all of it in place, without importing Alembic, which alone takes a third of a second.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from church.config import Settings
from church.lib.files import make_private

if TYPE_CHECKING:
    from flask import Flask

_REVISIONS = Path(__file__).parent.parent / "database" / "migrations" / "versions"


def prepare_instance(settings: Settings) -> Flask | None:
    """Prepare the instance. Returns the app, if it had to be loaded for that.

    Raises the database's errors if it can't be migrated.
    """
    for folder in (settings.instance, settings.log_dir):
        make_private(folder)
    stamp = settings.instance / "prepared.json"
    if _is_prepared(settings, stamp):
        return None
    from church import create_app, telemetry  # noqa: PLC0415 - a second start does not load it
    from church.database import migrations  # noqa: PLC0415 - a second start does not load it

    telemetry.compile_threat_patterns()
    migrations.migrate(settings)
    app = create_app(settings)
    _fill(app)
    stamp.write_text(json.dumps({"revisions": _fingerprint(), "head": migrations.head_revision()}))
    return app


def _fill(app: Flask) -> None:
    """Queue the demo video that a new site starts with, and read its pages: gunicorn's master then need not."""
    from church.services import pages, videos  # noqa: PLC0415 - a second start does not load it

    with app.app_context():
        videos.queue_demo()
        pages.current_pages().read_new_folder()


def _is_prepared(settings: Settings, stamp: Path) -> bool:
    """Whether this version of the code has prepared this database. The revision stored in the database counts."""
    if settings.database_url is not None:
        return False
    with suppress(OSError, ValueError, KeyError, sqlite3.Error):
        prepared = json.loads(stamp.read_text())
        address = (settings.instance / "church.db").as_uri() + "?mode=ro"
        with closing(sqlite3.connect(address, uri=True, timeout=1)) as connection:
            revisions = connection.execute("SELECT version_num FROM alembic_version").fetchall()
        return bool(prepared["revisions"] == _fingerprint() and revisions == [(prepared["head"],)])
    return False


def _fingerprint() -> str:
    names = sorted(path.name for path in _REVISIONS.glob("*.py"))
    return hashlib.sha256("\n".join(names).encode()).hexdigest()


def index_pages(app: Flask) -> int:
    """Update the search index, and print what is left out and not shown. Returns how many rows changed."""
    from church.extensions import db  # noqa: PLC0415 - a second start does not load it
    from church.services import pages  # noqa: PLC0415

    with app.app_context():
        library = pages.current_pages()
        library.refresh()
        changed = library.reindex(db)
        for problem in library.problems():
            click.echo(f"left out: {problem.path}: {problem.reason}", err=True)
        for report in library.reports():
            for notice in report.removed:
                click.echo(f"removed: {report.path}: {notice}", err=True)
            for notice in report.pictures:
                click.echo(f"picture not shown: {report.path}: {notice}", err=True)
    return changed
