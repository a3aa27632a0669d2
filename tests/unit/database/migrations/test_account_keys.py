"""The upgrade of account keys: nobody loses their way in."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from sqlalchemy import Engine, text

from church.config import Settings
from church.database import migrations
from church.database.engines import make_upkeep_engine

_ROW = text(
    "INSERT INTO users (ref, email, email_key, name, role, source, created_at)"
    " VALUES (:ref, :email, :key, '', 'member', 'web', '2026-01-01')"
)
# Address, key before, key after; the oldest account first.
ACCOUNTS = (
    ("Ada@example.org", "ada@example.org", "ada@example.org"),
    ("straße@example.org", "strasse@example.org", "straße@example.org"),
    ("x@bücher.example", "x@bücher.example", "x@xn--bcher-kva.example"),
    ("STRAẞE@example.com", "strasse@example.com", "straße@example.com"),
    # The older gets the key; the newer keeps its own.
    ("y@bücher.example", "y@bücher.example", "y@xn--bcher-kva.example"),
    ("Y@bücher.example", "Y@bücher.example", "Y@bücher.example"),
    # The newer has had the key all along, so the older keeps its own.
    ("Jo\u0308rg@example.org", "jo\u0308rg@example.org", "jo\u0308rg@example.org"),
    ("j\u00f6rg@example.org", "j\u00f6rg@example.org", "j\u00f6rg@example.org"),
    # A key that becomes free by a later change.
    ("fass@example.org", "other@example.org", "fass@example.org"),
    ("faß@example.org", "fass@example.org", "faß@example.org"),
)


def add_accounts(engine: Engine, accounts: Iterable[tuple[str | None, str | None]]) -> None:
    with engine.begin() as connection:
        for number, (email, key) in enumerate(accounts):
            connection.execute(_ROW, {"ref": f"{number:016x}", "email": email, "key": key})


def read_keys(engine: Engine) -> list[str | None]:
    with engine.connect() as connection:
        return list(connection.scalars(text("SELECT email_key FROM users ORDER BY id")))


@pytest.mark.services
def test_keys_are_made_anew_and_the_older_account_wins(migrated_site: Settings) -> None:
    engine = make_upkeep_engine(migrated_site)
    migrations.downgrade(migrated_site, "0008")
    add_accounts(engine, [*((email, key) for email, key, _ in ACCOUNTS), (None, None)])
    migrations.migrate(migrated_site, "0009")
    assert read_keys(engine) == [*(key for _, _, key in ACCOUNTS), None]
    migrations.downgrade(migrated_site, "0008")
    assert read_keys(engine)[:5] == [key for _, key, _ in ACCOUNTS[:5]]
    engine.dispose()
