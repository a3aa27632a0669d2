"""Check the mail server, and that no email failed recently."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from church.config import Settings
from church.doctor.dependencies import explain_unread, query_database
from church.doctor.findings import Finding
from church.models.base import utc_now
from church.models.jobs import Mail, MailState
from church.services import email
from church.services.email import MailDeferredError

# Seconds; less than the time limit of a check.
_STEP = 2.0
_WHOLE = 4.0
_LATELY = timedelta(days=1)


def check_email(settings: Settings) -> Finding:
    """Check that the mail server accepts our sign-in, and that no email failed within the last day."""
    if settings.smtp_url is None:
        fix = "set CHURCH_SMTP_URL to send email"
        return "warn", f"no mail server: emails are written to {email.outbox_path(settings)}", fix
    try:
        email.probe_server(settings, step=_STEP, whole=_WHOLE)
    except MailDeferredError as error:
        return "fail", str(error), "check CHURCH_SMTP_URL and the mail server; emails are retried for about six hours"
    try:
        failed = query_database(settings, _failed_lately)
    except DBAPIError as error:
        return explain_unread("failed emails", error)
    if failed:
        return (
            "warn",
            f"mail server reachable, {failed} email{'s' * (failed > 1)} failed within a day",
            "see the reasons at /admin/mails, then retry",
        )
    return "ok", "mail server reachable, no email failed within a day", ""


def _failed_lately(session: Session) -> int:
    lately = (Mail.state == MailState.FAILED.value, Mail.created_at > utc_now() - _LATELY)
    return session.scalar(select(func.count()).select_from(Mail).where(*lately)) or 0
