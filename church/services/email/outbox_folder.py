"""Store emails in the instance's outbox folder, one file each, while no mail server is configured."""

from __future__ import annotations

import os
from email.message import EmailMessage
from pathlib import Path

from church.config import Settings
from church.lib.files import make_private
from church.services.email.compose import EmailToSend
from church.services.email.errors import MailDeferredError
from church.services.email.headers import POLICY

MAX_FILES = 500  # files; the oldest go first


def outbox_path(settings: Settings) -> Path:
    """Return the outbox folder of this instance."""
    return settings.instance / "outbox"


def store_email(settings: Settings, letter: EmailToSend, message: EmailMessage) -> None:
    """Write the email to its file in the outbox; a second call replaces the file.

    Raises MailDeferredError if it can't be written.
    """
    outbox = outbox_path(settings)
    path = outbox / f"{letter.created_at:%Y%m%dT%H%M%S}-{letter.template}-{letter.id}.eml"
    try:
        make_private(outbox)
        _write(path, message.as_bytes(policy=POLICY.clone(utf8=True)))
        _remove_oldest(outbox)
    except OSError as error:
        raise MailDeferredError(f"cannot write to the outbox: {error.strerror}") from None


def _write(path: Path, content: bytes) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    # The email may contain a link that opens an account: only the owner of the file may read it.
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _remove_oldest(outbox: Path) -> None:
    """Keep the newest 500 files. Their names start with the time at which the email was queued."""
    files = sorted(outbox.glob("*.eml"), key=lambda path: (path.name.partition("-")[0], _number(path)))
    for path in files[:-MAX_FILES]:
        path.unlink(missing_ok=True)


def _number(path: Path) -> int:
    number = path.stem.rpartition("-")[2]
    return int(number) if number.isdigit() else 0
