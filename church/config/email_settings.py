"""Settings of the emails that members and admins can do without: a base class of ``church.config.Settings``."""

from __future__ import annotations

from pydantic_settings import BaseSettings

from church.config.value_types import setting


class EmailSettings(BaseSettings):
    """Which emails are sent about subscriptions, errors and reports; those about accounts and payments always are."""

    email_welcome: bool = setting(
        "CHURCH_EMAIL_WELCOME", True, "`false` sends no email when a subscription or its trial begins."
    )
    email_cancelled: bool = setting(
        "CHURCH_EMAIL_CANCELLED",
        True,
        "`false` sends no email that says until when premium stays after a cancellation.",
    )
    email_ended: bool = setting("CHURCH_EMAIL_ENDED", True, "`false` sends no email when a subscription has ended.")
    email_invoice_open: bool = setting(
        "CHURCH_EMAIL_INVOICE_OPEN",
        True,
        "`false` sends no email when an invoice that the member pays by hand is overdue.",
    )
    email_renewal_days: int = setting(
        "CHURCH_EMAIL_RENEWAL_DAYS",
        7,
        "How many days before a yearly renewal the member gets an email; 0 sends none.",
        ge=0,
        le=60,
    )
    email_complimentary: bool = setting(
        "CHURCH_EMAIL_COMPLIMENTARY",
        True,
        "`false` sends no emails about complimentary premium: given, ending in a week, ended.",
    )
    email_errors: bool = setting(
        "CHURCH_EMAIL_ERRORS",
        True,
        "`false` sends admins no email about errors that are new or back; else at most one in 15 minutes.",
    )
    email_reports: bool = setting(
        "CHURCH_EMAIL_REPORTS",
        True,
        "`false` sends admins no email about reported chat messages; else at most one in 15 minutes.",
    )
