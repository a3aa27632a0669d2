"""Why a mail did not go. The words name no address: they are logged, and kept with the job."""

from __future__ import annotations


class MailError(Exception):
    """Root of what sending raises."""


class MailDeferredError(MailError):
    """Not now; a later attempt may succeed."""


class MailRefusedError(MailError):
    """Not ever: the server, or the mail itself, says that no further attempt can succeed."""
