"""What ``flask church run`` says once before the site starts: on the console alone, for one line of it is a secret.

Whether there is an admin is asked of SQLite directly: the usual start has one, and loads nothing to learn so.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from church.config import Settings
from church.lib.admin_sql import ACTIVE_ADMIN

if TYPE_CHECKING:
    from flask import Flask

_ADMINS = f"SELECT 1 FROM users WHERE {ACTIVE_ADMIN} LIMIT 1"  # noqa: S608 - a constant


def announcements(settings: Settings, app: Flask | None = None) -> Iterator[str]:
    """Lines for the operator; ``app`` is used if it is made already. Raises what the database raises.

    As long as the site has no admin each start prints a new link, and the one before opens nothing any more.
    """
    if line := outbox_line(settings):
        yield line
    if settings.till:
        yield f"Test till: http://{settings.till_address} (payments go there, no money moves)"
    if _has_admin(settings):
        return
    from church import create_app  # noqa: PLC0415 - see above
    from church.extensions import db  # noqa: PLC0415
    from church.services.accounts.registration import first_admin_address  # noqa: PLC0415

    with (app or create_app(settings)).app_context():
        address = first_admin_address()
        db.dispose()  # the process that says this serves nobody and lives for long
    if address is not None:
        yield first_admin_line(address)


def first_admin_line(address: str) -> str:
    """How the link is told."""
    return f"First admin: open {address} (once, within 24 hours)"


def outbox_line(settings: Settings) -> str:
    """Where mails go while there is no mail server; empty with one."""
    if settings.smtp_url is not None:
        return ""
    return f"Mails are written to {settings.instance / 'outbox'}: no mail server is set (CHURCH_SMTP_URL)."


def _has_admin(settings: Settings) -> bool:
    """Whether SQLite knows of one; False is also said of what can't be asked this way."""
    if settings.database_url is not None:
        return False
    with suppress(sqlite3.Error):
        address = (settings.instance / "church.db").as_uri() + "?mode=ro"
        with closing(sqlite3.connect(address, uri=True, timeout=1)) as connection:
            return connection.execute(_ADMINS).fetchone() is not None
    return False
