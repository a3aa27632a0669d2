"""The doctor's check of the mail server and of failed emails."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from pydantic import SecretStr
from sqlalchemy import insert

from church.config import Settings
from church.database.engines import make_upkeep_engine
from church.doctor import email
from church.doctor.email import check_email
from church.models import Mail
from church.models.base import utc_now
from tests.support.databases import bring_to_head
from tests.support.helpers import with_settings
from tests.support.mail_fixture import MailServer


@pytest.fixture
def site(settings: Settings, mail_server: Callable[..., MailServer], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A site whose mail server may be slow on a busy machine."""
    monkeypatch.setattr(email, "_STEP", 60.0)
    monkeypatch.setattr(email, "_WHOLE", 60.0)
    bring_to_head(settings)
    return with_settings(settings, smtp_url=SecretStr(mail_server().url))


def add_failed(settings: Settings, age: timedelta) -> None:
    facts = {"template": "verify", "recipient": "ada@example.org", "context": {}, "state": "failed", "attempts": 1}
    engine = make_upkeep_engine(settings)
    with engine.begin() as connection:
        connection.execute(insert(Mail).values(created_at=utc_now() - age, **facts))
    engine.dispose()


def test_mail_server_reachable_is_ok(site: Settings) -> None:
    assert check_email(site) == ("ok", "mail server reachable, no email failed within a day", "")


def test_mail_server_not_set_warns_with_the_outbox(settings: Settings) -> None:
    state, finding, fix = check_email(settings)
    assert (state, str(settings.instance / "outbox") in finding, "CHURCH_SMTP_URL" in fix) == ("warn", True, True)


def test_mail_server_down_fails_without_its_password(site: Settings) -> None:
    state, finding, _ = check_email(with_settings(site, smtp_url=SecretStr("smtp://me:hunter2@127.0.0.1:1")))
    assert (state, "ConnectionRefusedError" in finding, "hunter2" in finding) == ("fail", True, False)


def test_email_failed_within_a_day_warns(site: Settings) -> None:
    add_failed(site, timedelta(hours=25))
    assert check_email(site)[0] == "ok"
    add_failed(site, timedelta(hours=23))
    assert check_email(site)[:2] == ("warn", "mail server reachable, 1 email failed within a day")


def test_database_missing_fails_the_email_check(site: Settings) -> None:
    (site.instance / "church.db").unlink()
    assert check_email(site) == ("fail", "failed emails could not be read", "see database")
