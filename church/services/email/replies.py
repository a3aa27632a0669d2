"""What a mail server's answer means: tried again, or not.

What it refuses for good (5xx to the sender, the recipient or the text) is told from what may pass: everything else, a
wrong password of ours too, for mails should wait until the operator has mended that.
"""

from __future__ import annotations

import re
import smtplib
import ssl

from church.services.email.errors import MailDeferredError, MailError, MailRefusedError

_ASKS_FOR_LOGIN = 530  # RFC 4954: authentication required


def explained(error: Exception) -> MailError:
    """What happened, and whether another attempt is of use; the recipient's address is left out."""
    code, text = _reply(error)
    if code is None:
        return _without_reply(error)
    final = isinstance(error, smtplib.SMTPRecipientsRefused | smtplib.SMTPSenderRefused | smtplib.SMTPDataError)
    kind = MailRefusedError if final and 500 <= code < 600 and code != _ASKS_FOR_LOGIN else MailDeferredError
    return kind(f"the mail server said {code} {_nameless(text)}".rstrip())


def _reply(error: Exception) -> tuple[int | None, str]:
    code: int
    text: bytes | str
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        code, text = next(iter(error.recipients.values()))
    elif isinstance(error, smtplib.SMTPResponseException):
        code, text = error.smtp_code, error.smtp_error
    else:
        return None, ""
    return code, text.decode("utf-8", "replace") if isinstance(text, bytes) else text


def _without_reply(error: Exception) -> MailError:
    if isinstance(error, smtplib.SMTPNotSupportedError):
        if "SMTPUTF8" in str(error):
            return MailRefusedError("the mail server takes no address with such letters (SMTPUTF8)")
        return MailDeferredError(f"the mail server lacks what is needed: {_nameless(str(error))}")
    if isinstance(error, TimeoutError):
        return MailDeferredError("the mail server took too long")
    if isinstance(error, ssl.SSLCertVerificationError):
        return MailDeferredError(f"the mail server's certificate is not trusted: {error.verify_message}")
    if isinstance(error, ValueError):  # what could not be encoded may be our password
        return MailDeferredError(f"the mail could not be handed over: {type(error).__name__}")
    return MailDeferredError(f"{type(error).__name__}: {_nameless(str(error))}")


def _nameless(text: str) -> str:
    return re.sub(r"\S*@\S*", "[address]", " ".join(text.split()))
