"""What ``flask church run`` prints for the operator: where the site is, and how the first admin gets in.

It goes to the console and not to the log, since the link for the first admin is a secret. SQLite is asked directly
whether there is an admin: most starts have one, and then need to load neither SQLAlchemy nor the site.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from church.config import Settings
from church.lib.admin_sql import ACTIVE_ADMIN

if TYPE_CHECKING:
    from flask import Flask

_ADMINS = f"SELECT 1 FROM users WHERE {ACTIVE_ADMIN} LIMIT 1"  # noqa: S608 - a constant


def list_notes(settings: Settings) -> list[str]:
    """Where emails and payments go while neither a mail server nor Stripe is configured."""
    notes = [line] if (line := describe_outbox(settings)) else []
    if settings.till:
        notes.append(f"Test till: http://{settings.till_address} (payments go there, no money moves)")
    return notes


def list_addresses(settings: Settings, app: Flask | None = None) -> list[str]:
    """The address of the site and, until it has an admin, a link to become one. Raises what the database raises.

    Each start prints a new link, which replaces the one before. ``app`` saves loading the site, if it exists already.
    """
    site = f"{settings.site_name}: {settings.origin}"
    if _has_admin(settings):
        return [site]
    from church import create_app  # noqa: PLC0415 - see above
    from church.extensions import db  # noqa: PLC0415
    from church.services.accounts import make_first_admin_link  # noqa: PLC0415

    with (app or create_app(settings)).app_context():
        address = make_first_admin_link()
        db.dispose()
    return [site] if address is None else [site, describe_first_admin_link(address)]


def describe_first_admin_link(address: str) -> str:
    """The line with the link for the first admin."""
    return f"First admin: open {address} (once, within 24 hours)"


def describe_outbox(settings: Settings) -> str:
    """Where emails go while no mail server is configured; empty if one is."""
    if settings.smtp_url is not None:
        return ""
    return f"Emails are saved in {settings.instance / 'outbox'}: no mail server is configured (CHURCH_SMTP_URL)."


def _has_admin(settings: Settings) -> bool:
    """Whether SQLite has an admin; False also if it cannot be asked this way."""
    if settings.database_url is not None:
        return False
    with suppress(sqlite3.Error):
        address = (settings.instance / "church.db").as_uri() + "?mode=ro"
        with closing(sqlite3.connect(address, uri=True, timeout=1)) as connection:
            return connection.execute(_ADMINS).fetchone() is not None
    return False
