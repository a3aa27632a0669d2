"""Send an email to the mail server: one connection each, bounded in time, encrypted unless the server is this host.

Its certificate is checked against the system's authorities, or those of ``SSL_CERT_FILE`` (OpenSSL's own variable).
"""

from __future__ import annotations

import ipaddress
import re
import smtplib
import ssl
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from urllib.parse import unquote, urlsplit

from church import telemetry
from church.config import Settings
from church.lib.email_addresses import needs_smtputf8, to_ascii_domain, to_wire
from church.services.email.errors import MailDeferredError, MailError, MailRefusedError

# Seconds: to connect and for each step, for the whole connection, and for QUIT once the email is accepted.
STEP = 10.0
WHOLE = 30.0
_GOODBYE = 2.0
_PORTS = {"smtp": 587, "smtps": 465}


@dataclass(frozen=True)
class Server:
    """The mail server of ``CHURCH_SMTP_URL``."""

    host: str
    port: int
    wrapped: bool
    """TLS from the first byte (smtps), otherwise STARTTLS."""
    user: str = ""
    password: str = field(default="", repr=False)
    client: str = "localhost"
    """The name that we send in EHLO. smtplib would ask the resolver for it, which may take long."""

    @property
    def is_here(self) -> bool:
        """Whether it runs on this host: then nothing can intercept, and its certificate has no name to check."""
        ip = _ip(self.host)
        return self.host == "localhost" if ip is None else ip.is_loopback


def parse_server(settings: Settings) -> Server:
    """Parse ``CHURCH_SMTP_URL``, which must be set."""
    assert settings.smtp_url is not None  # noqa: S101 - the caller has checked
    parts = urlsplit(settings.smtp_url.get_secret_value())
    return Server(
        host=to_ascii_domain(parts.hostname or "localhost"),
        port=parts.port or _PORTS[parts.scheme],
        wrapped=parts.scheme == "smtps",
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        client=_greeting(urlsplit(settings.origin).hostname or "localhost"),
    )


def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _greeting(host: str) -> str:
    """Write ``host`` for EHLO: an IP address becomes a literal (RFC 5321, 4.1.3)."""
    ip = _ip(host)
    return host if ip is None else f"[{'IPv6:' if ip.version == 6 else ''}{host}]"


def deliver(settings: Settings, recipient: str, message: EmailMessage) -> None:
    """Send the email. Raises MailDeferredError or MailRefusedError; neither contains the recipient's address."""
    try:
        outbound = telemetry.time_outbound("smtp", verb="send")
        with outbound, open_connection(parse_server(settings), STEP, WHOLE) as smtp:
            _send(smtp, to_wire(settings.sender), to_wire(recipient), message)
    except (smtplib.SMTPException, OSError, ValueError) as error:
        raise classify_error(error) from None


def _send(smtp: smtplib.SMTP, sender: str, recipient: str, message: EmailMessage) -> None:
    options = ["SMTPUTF8", "BODY=8BITMIME"] if needs_smtputf8(sender) or needs_smtputf8(recipient) else []
    if options and not _offers_smtputf8(smtp):
        raise smtplib.SMTPNotSupportedError("SMTPUTF8")
    smtp.sendmail(sender, [recipient], message.as_bytes(policy=message.policy.clone(linesep="\r\n")), options)


def _offers_smtputf8(smtp: smtplib.SMTP) -> bool:
    smtp.ehlo_or_helo_if_needed()
    return smtp.has_extn("smtputf8")


def probe_server(settings: Settings, step: float, whole: float) -> None:
    """Connect, encrypt and log in as for an email, but send none. Raises MailDeferredError."""
    try:
        with open_connection(parse_server(settings), step, whole) as smtp:
            smtp.noop()
    except (smtplib.SMTPException, OSError, ValueError) as error:
        raise MailDeferredError(str(classify_error(error))) from None


# -- which addresses the server can send to -------------------------------------------------------------------------

_KEEP = 600.0
"""Seconds for which an answer counts: an operator may replace the server."""
_KEEP_FAILURE = 30.0
_PROBE_STEP, _PROBE_WHOLE = 2.0, 4.0
_known: dict[str, tuple[float, bool | None]] = {}  # by URL: until when, and the answer
_asking = threading.Lock()


def can_send_to(settings: Settings, address: str) -> bool:
    """Whether the mail server can send to ``address``: a mailbox outside ASCII needs SMTPUTF8 (RFC 6531).

    Only for such a mailbox is the server asked, at most every ten minutes. The answer is yes without a server, since a
    file in the outbox takes any address, and while the server can't be asked: then the email waits in the queue.
    """
    if settings.smtp_url is None or not (needs_smtputf8(address) or needs_smtputf8(settings.sender)):
        return True
    url = settings.smtp_url.get_secret_value()
    with _asking:
        until, offered = _known.get(url, (0.0, None))
        if time.monotonic() >= until:
            offered = _ask_for_smtputf8(settings)
            _known[url] = (time.monotonic() + (_KEEP_FAILURE if offered is None else _KEEP), offered)
    return offered is not False


def _ask_for_smtputf8(settings: Settings) -> bool | None:
    try:
        with open_connection(parse_server(settings), _PROBE_STEP, _PROBE_WHOLE) as smtp:
            return _offers_smtputf8(smtp)
    except (smtplib.SMTPException, OSError, ValueError):
        return None


# -- connections ------------------------------------------------------------------------------------------------------


@contextmanager
def open_connection(server: Server, step: float, whole: float) -> Iterator[smtplib.SMTP]:
    """Open a connection, encrypt it, and log in if the setting has a user.

    ``step`` is the limit of each wait in seconds, ``whole`` that of the connection. Raises the errors of smtplib and of
    the socket; TimeoutError if a limit was reached.
    """
    context = ssl.create_default_context()
    if server.is_here:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    smtp = _client(server, step, context)
    out_of_time = threading.Event()
    watch = threading.Timer(whole, _hang_up, (smtp, out_of_time))
    watch.daemon = True
    watch.start()
    try:
        _open(smtp, server, context)
        yield smtp
        _quit(smtp)
    except (smtplib.SMTPException, OSError) as error:
        # smtplib reports a timeout as a lost connection.
        if out_of_time.is_set() or isinstance(error.__context__, TimeoutError):
            raise TimeoutError("the mail server took too long") from None
        raise
    finally:
        watch.cancel()
        smtp.close()


def _client(server: Server, step: float, context: ssl.SSLContext) -> smtplib.SMTP:
    """Make a client that is not connected yet, so that the timer can close it while it connects."""
    if server.wrapped:
        return smtplib.SMTP_SSL(local_hostname=server.client, timeout=step, context=context)
    return smtplib.SMTP(local_hostname=server.client, timeout=step)


def _open(smtp: smtplib.SMTP, server: Server, context: ssl.SSLContext) -> None:
    # smtplib checks the certificate against this name, and sets it only if its constructor connects.
    smtp._host = server.host  # type: ignore[attr-defined]
    code, _ = smtp.connect(server.host, server.port)
    if code != 220:
        raise smtplib.SMTPConnectError(code, "")
    smtp.ehlo_or_helo_if_needed()
    if not server.wrapped and (smtp.has_extn("starttls") or not server.is_here):
        smtp.starttls(context=context)
    if server.user:
        _log_in(smtp, server)


def _log_in(smtp: smtplib.SMTP, server: Server) -> None:
    """Log in. smtplib knows ASCII alone; other letters go by PLAIN, in UTF-8 (RFC 4616)."""
    if (server.user + server.password).isascii():
        smtp.login(server.user, server.password)
        return
    smtp.ehlo_or_helo_if_needed()
    if "PLAIN" not in smtp.esmtp_features.get("auth", "").upper().split():
        raise smtplib.SMTPNotSupportedError("AUTH PLAIN, for a user or password outside ASCII")
    secret = b64encode(f"\0{server.user}\0{server.password}".encode()).decode("ascii")
    code, reply = smtp.docmd("AUTH", f"PLAIN {secret}")
    if code != 235:  # RFC 4954: authentication succeeded
        raise smtplib.SMTPAuthenticationError(code, reply)


def _quit(smtp: smtplib.SMTP) -> None:
    """Say QUIT. The email is accepted, so errors are ignored: it must not be sent again."""
    with suppress(smtplib.SMTPException, OSError):
        if smtp.sock is not None:
            smtp.sock.settimeout(_GOODBYE)
        smtp.quit()


def _hang_up(smtp: smtplib.SMTP, out_of_time: threading.Event) -> None:
    """Close the connection when the whole time is over: a server that sends a byte now and then never ends a step."""
    out_of_time.set()
    with suppress(OSError):
        if smtp.sock is not None:
            smtp.sock.shutdown(2)


_LOGIN_REQUIRED = 530  # RFC 4954: authentication required


def classify_error(error: Exception) -> MailError:
    """Turn an SMTP error into a temporary or permanent one, without the recipient's address in its text."""
    code, text = _reply(error)
    if code is None:
        return _without_reply(error)
    final = isinstance(error, smtplib.SMTPRecipientsRefused | smtplib.SMTPSenderRefused | smtplib.SMTPDataError)
    kind = MailRefusedError if final and 500 <= code < 600 and code != _LOGIN_REQUIRED else MailDeferredError
    return kind(f"the mail server answered {code} {_without_addresses(text)}".rstrip())


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
            return MailRefusedError(
                "the mail server takes no address with letters outside ASCII before the @ (no SMTPUTF8)"
            )
        return MailDeferredError(f"the mail server lacks a required feature: {_without_addresses(str(error))}")
    if isinstance(error, TimeoutError):
        return MailDeferredError("the mail server took too long")
    if isinstance(error, ssl.SSLCertVerificationError):
        return MailDeferredError(f"the mail server's certificate is not trusted: {error.verify_message}")
    if isinstance(error, ValueError):  # the text may contain our password
        return MailDeferredError(f"the email could not be handed over: {type(error).__name__}")
    return MailDeferredError(f"{type(error).__name__}: {_without_addresses(str(error))}")


def _without_addresses(text: str) -> str:
    return re.sub(r"\S*@\S*", "[address]", " ".join(text.split()))
