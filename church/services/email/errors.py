"""Errors of sending an email. Their text contains no address, because it is logged and stored with the job."""

from __future__ import annotations


class MailError(Exception):
    """Root of the errors that sending raises."""


class MailDeferredError(MailError):
    """Temporary failure: a later attempt may succeed."""


class MailRefusedError(MailError):
    """Permanent failure: the server refused the email, or the email is not valid; another attempt can't help."""
