"""Where mails go while the site has no mail server: a folder of the instance, a file each, for whoever runs it."""

from __future__ import annotations

import os
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

from church.config import Settings
from church.lib.files import make_private
from church.services.email.compose import Letter
from church.services.email.errors import MailDeferredError

MOST = 500  # files; the oldest go first


def folder(settings: Settings) -> Path:
    """The outbox of this instance."""
    return settings.instance / "outbox"


def keep(settings: Settings, letter: Letter, message: EmailMessage) -> None:
    """Put the mail into the outbox as a whole file of its own; done twice it is still one file.

    Raises MailDeferredError where the disk does not take it.
    """
    place = folder(settings)
    path = place / f"{letter.created_at:%Y%m%dT%H%M%S}-{letter.template}-{letter.id}.eml"
    try:
        make_private(place)
        _write(path, message.as_bytes(policy=SMTP.clone(utf8=True)))
        _make_room(place)
    except OSError as error:
        raise MailDeferredError(f"the outbox can't be written: {error.strerror}") from None


def _write(path: Path, content: bytes) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    # It holds a link that opens an account: nobody else may read it.
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _make_room(place: Path) -> None:
    """The names sort by the time that the mails were queued."""
    kept = sorted(place.glob("*.eml"), key=lambda path: (path.name.partition("-")[0], _number(path)))
    for path in kept[:-MOST]:
        path.unlink(missing_ok=True)


def _number(path: Path) -> int:
    number = path.stem.rpartition("-")[2]
    return int(number) if number.isdigit() else 0
