"""What the operator reads before the site starts: where mails go, and the way in for the first admin."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import update

from church import create_app
from church.config import Settings
from church.extensions import db
from church.models import User
from church.models.accounts import Purpose, Role
from church.server.announce import announcements
from church.services import accounts, email_links
from church.services.accounts import find_account
from church.services.accounts.validation import Address
from tests.support.databases import bring_to_head
from tests.support.helpers import with_settings

CLOSED_AT = datetime(2026, 5, 3, 12, tzinfo=UTC)


def told(settings: Settings, word: str) -> list[str]:
    return [line for line in announcements(settings) if word in line]


def token_in(line: str) -> str:
    address = line.split()[3]
    assert address.startswith("http://127.0.0.1:8000/auth/first-admin/")
    return address.rpartition("/")[2]


def add_admin(settings: Settings, **changes: object) -> None:
    address = Address("eve@example.org", "eve@example.org")
    with create_app(settings).app_context():
        with db.write() as session:
            find_account.add(session, address, name="Eve", source="cli", role=Role.ADMIN)
            session.execute(update(User).values(**changes or {"name": "Eve"}))
        db.dispose()


def test_start_without_an_admin_prints_a_new_link_and_voids_the_one_before(migrated_site: Settings) -> None:
    (first,) = told(migrated_site, "First admin")
    (second,) = told(migrated_site, "First admin")
    assert second.endswith(" (once, within 24 hours)")
    with create_app(migrated_site).app_context():
        assert email_links.peek(token_in(first), Purpose.FIRST_ADMIN) is None
        assert email_links.peek(token_in(second), Purpose.FIRST_ADMIN) is not None
        db.dispose()


def test_start_with_an_admin_prints_no_link(migrated_site: Settings) -> None:
    add_admin(migrated_site)
    assert told(migrated_site, "First admin") == []


def test_start_with_the_test_till_says_where_it_is_and_with_a_stripe_key_does_not(migrated_site: Settings) -> None:
    (line,) = told(migrated_site, "Test till")
    assert line == "Test till: http://127.0.0.1:8001 (payments go there, no money moves)"
    assert told(with_settings(migrated_site, stripe_secret_key=SecretStr("sk_test_1")), "Test till") == []


@pytest.mark.parametrize("changes", [{"role": "member"}, {"disabled_at": CLOSED_AT}])
def test_start_whose_only_admin_can_not_sign_in_prints_a_link(
    migrated_site: Settings, changes: dict[str, object]
) -> None:
    add_admin(migrated_site, **changes)
    assert len(told(migrated_site, "First admin")) == 1


@pytest.mark.parametrize(
    ("changes", "there"),
    [
        ({"verified_at": None}, True),
        ({"role": "member"}, False),
        ({"disabled_at": CLOSED_AT}, False),
        ({"deleted_at": CLOSED_AT, "email": None, "email_key": None}, False),
    ],
)
def test_start_and_site_mean_the_same_by_an_admin(
    migrated_site: Settings, changes: dict[str, object], there: bool
) -> None:
    add_admin(migrated_site, **changes)
    with create_app(migrated_site).app_context():
        assert accounts.has_admin() is there
        db.dispose()
    assert bool(told(migrated_site, "First admin")) is not there


def test_start_with_an_admin_loads_neither_sqlalchemy_nor_the_site(settings: Settings) -> None:
    bring_to_head(settings)
    add_admin(settings)
    code = (
        "import sys; from church.config import load_settings; from church.server.announce import announcements;"
        "print(*announcements(load_settings())); sys.exit('sqlalchemy' in sys.modules or 'flask' in sys.modules)"
    )
    environment = {"CHURCH_INSTANCE": str(settings.instance), "CHURCH_LOG_DIR": str(settings.log_dir)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, check=False, capture_output=True, text=True)
    assert (done.returncode, "First admin" in done.stdout) == (0, False), done.stderr


def test_start_without_a_mail_server_says_where_mails_go(settings: Settings, tmp_path: Path) -> None:
    bring_to_head(settings)
    assert len(told(settings, f"Mails are written to {settings.instance / 'outbox'}")) == 1
    assert told(with_settings(settings, smtp_url=SecretStr("smtp://localhost")), "Mails") == []
