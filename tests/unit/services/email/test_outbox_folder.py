"""The outbox folder for sites without a mail server: whole private files, a limited number of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from pathlib import Path

import pytest

from church.config import Settings
from church.services.email import outbox_folder
from church.services.email.compose import EmailToSend
from church.services.email.errors import MailDeferredError

NOW = datetime(2026, 5, 3, 12, tzinfo=UTC)


def message(subject: str = "Hello") -> EmailMessage:
    found = EmailMessage()
    found["Subject"] = subject
    found["To"] = "žofie@example.org"
    found.set_content("Hello.\n")
    return found


def letter(number: int = 1, seconds: int = 0) -> EmailToSend:
    return EmailToSend(number, "verify", "žofie@example.org", "", {}, None, NOW + timedelta(seconds=seconds))


def files(settings: Settings) -> list[Path]:
    return sorted(outbox_folder.outbox_path(settings).iterdir())


def test_outbox_file_is_private(settings: Settings) -> None:
    outbox_folder.store_email(settings, letter(), message())
    (path,) = files(settings)
    assert path.name == f"{NOW:%Y%m%dT%H%M%S}-verify-1.eml"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert message_from_bytes(path.read_bytes())["Subject"] == "Hello"


def test_outbox_same_email_again_replaces_its_file(settings: Settings) -> None:
    outbox_folder.store_email(settings, letter(), message("first"))
    outbox_folder.store_email(settings, letter(), message("second"))
    (path,) = files(settings)
    assert message_from_bytes(path.read_bytes())["Subject"] == "second"


def test_outbox_draft_of_a_killed_process_is_harmless(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(_fd: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(outbox_folder.os, "fsync", killed)
        with pytest.raises(KeyboardInterrupt):
            outbox_folder.store_email(settings, letter(), message())
    assert not list(outbox_folder.outbox_path(settings).glob("*.eml"))
    outbox_folder.store_email(settings, letter(), message())
    assert [path.name for path in files(settings)] == [f"{NOW:%Y%m%dT%H%M%S}-verify-1.eml"]


def test_outbox_removes_the_oldest(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_folder, "MAX_FILES", 3)
    for number in (9, 10, 11, 12):
        outbox_folder.store_email(settings, letter(number), message())
    outbox_folder.store_email(settings, letter(8, seconds=5), message())
    assert {path.stem.rpartition("-")[2] for path in files(settings)} == {"11", "12", "8"}


def test_outbox_not_writable_defers(settings: Settings) -> None:
    outbox_folder.outbox_path(settings).write_text("in the way")
    with pytest.raises(MailDeferredError, match="cannot write to the outbox"):
        outbox_folder.store_email(settings, letter(), message())
