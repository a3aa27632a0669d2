"""The doctor's look at mails: is there a server, does it let us in, has it refused any."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from church.config import Settings
from church.doctor.dependencies import ask
from church.doctor.findings import Finding
from church.models.base import utc_now
from church.models.jobs import Mail, MailState
from church.services.email import outbox_folder, smtp
from church.services.email.errors import MailDeferredError

# Seconds; less than the doctor gives a check.
_STEP = 2.0
_WHOLE = 4.0
_LATELY = timedelta(days=1)


def check_mail(settings: Settings) -> Finding:
    """A server that takes our name and password, and no mail of the last day that failed."""
    if settings.smtp_url is None:
        fix = "set CHURCH_SMTP_URL, or nobody gets a mail"
        return "warn", f"no mail server: mails are written to {outbox_folder.folder(settings)}", fix
    try:
        smtp.probe(settings, step=_STEP, whole=_WHOLE)
    except MailDeferredError as error:
        return "fail", str(error), "look at CHURCH_SMTP_URL and the mail server; mails wait for about six hours"
    try:
        failed = ask(settings, _failed_lately)
    except DBAPIError:
        return "fail", "which mails failed can't be read", "see database"
    if failed:
        return (
            "warn",
            f"the server answers; {failed} mail{'s' * (failed > 1)} failed within a day",
            "read why at /admin/mails, retry them",
        )
    return "ok", "the server answers, no mail failed within a day", ""


def _failed_lately(session: Session) -> int:
    lately = (Mail.state == MailState.FAILED.value, Mail.created_at > utc_now() - _LATELY)
    return session.scalar(select(func.count()).select_from(Mail).where(*lately)) or 0
