"""A healthy site for the doctor. Each test breaks it in one way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from church import doctor
from church.config import Settings
from church.doctor import email
from tests.support.databases import bring_to_head
from tests.support.helpers import STRONG
from tests.support.mail_fixture import MailServer
from tests.support.services_fixture import RedisServer, site_settings


@pytest.fixture
def site(
    tmp_path: Path,
    redis_server: RedisServer,
    mail_server: Callable[..., MailServer],
    monkeypatch: pytest.MonkeyPatch,
) -> Settings:
    """A healthy site, and time limits that a busy machine can keep."""
    monkeypatch.setattr(doctor, "CHECK_TIMEOUT", 120.0)
    monkeypatch.setattr(email, "_STEP", 60.0)
    monkeypatch.setattr(email, "_WHOLE", 60.0)
    urls = {"REDIS_URL": redis_server.url, "CHURCH_SMTP_URL": mail_server().url}
    settings = site_settings(tmp_path, SECRET_KEY=STRONG, CHURCH_STORE_TIMEOUT="10", **urls)
    bring_to_head(settings)
    settings.log_dir.mkdir()
    (settings.content / "page.md").write_text("---\ntitle: Page\n---\n")
    return settings
