"""The mail server of the setting, and what its errors mean. Emails over real SMTP are in the integration tests."""

from __future__ import annotations

import smtplib
import ssl

import pytest
from pydantic import SecretStr

from church.config import Settings
from church.services.email import smtp
from church.services.email.errors import MailDeferredError, MailError, MailRefusedError
from church.services.email.smtp import Server
from tests.support.helpers import with_settings

ADA = "ada@example.org"


def parse(settings: Settings, url: str, site_url: str = "https://church.example") -> Server:
    return smtp.parse_server(with_settings(settings, smtp_url=SecretStr(url), site_url=site_url))


def data_error(code: int) -> Exception:
    return smtplib.SMTPDataError(code, b"no")


@pytest.mark.parametrize(
    ("url", "host", "port", "wrapped"),
    [
        ("smtp://mail.example", "mail.example", 587, False),
        ("smtps://mail.example", "mail.example", 465, True),
        ("smtps://mail.example:2525", "mail.example", 2525, True),
        ("smtp://[2001:db8::1]", "2001:db8::1", 587, False),
    ],
)
def test_parse_server_reads_host_port_and_encryption(
    settings: Settings, url: str, host: str, port: int, wrapped: bool
) -> None:
    server = parse(settings, url)
    assert (server.host, server.port, server.wrapped) == (host, port, wrapped)
    assert (server.user, server.password) == ("", "")


def test_parse_server_decodes_the_login_and_hides_the_password(settings: Settings) -> None:
    server = parse(settings, "smtp://ada%40example.org:s3cret%2F%26@mail.example")
    assert (server.user, server.password) == (ADA, "s3cret/&")
    assert "s3cret" not in repr(server)


@pytest.mark.parametrize(
    ("site_url", "client"),
    [
        ("https://church.example", "church.example"),
        ("http://127.0.0.1:8000", "[127.0.0.1]"),
        ("http://[::1]:8000", "[IPv6:::1]"),
    ],
)
def test_parse_server_greets_with_a_name_or_an_address_literal(settings: Settings, site_url: str, client: str) -> None:
    assert parse(settings, "smtp://mail.example", site_url).client == client


@pytest.mark.parametrize(
    ("host", "is_here"),
    [("localhost", True), ("127.0.0.2", True), ("::1", True), ("192.0.2.1", False), ("localhost.example", False)],
)
def test_server_is_here_only_on_a_loopback_address(host: str, is_here: bool) -> None:
    assert Server(host, 25, wrapped=False).is_here is is_here


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (data_error(550), MailRefusedError),
        (data_error(451), MailDeferredError),
        (data_error(530), MailDeferredError),  # our login is missing, which an operator can mend
        (smtplib.SMTPSenderRefused(553, b"no", "church@church.example"), MailRefusedError),
        (smtplib.SMTPRecipientsRefused({ADA: (450, b"greylisted")}), MailDeferredError),
        (smtplib.SMTPAuthenticationError(535, b"wrong"), MailDeferredError),
        (smtplib.SMTPConnectError(554, b"go away"), MailDeferredError),
        (smtplib.SMTPNotSupportedError("SMTPUTF8 not supported"), MailRefusedError),
        (smtplib.SMTPNotSupportedError("STARTTLS not supported"), MailDeferredError),
        (TimeoutError(), MailDeferredError),
        (ConnectionRefusedError("refused"), MailDeferredError),
    ],
)
def test_error_is_permanent_only_for_a_refusal_of_this_email(error: Exception, kind: type[MailError]) -> None:
    assert type(smtp.classify_error(error)) is kind


@pytest.mark.parametrize(
    "error",
    [
        smtplib.SMTPRecipientsRefused({ADA: (550, f"5.1.1 <{ADA}>:\r\n no such user".encode())}),
        smtplib.SMTPServerDisconnected(f"while {ADA} was sent"),
        ValueError(f"{ADA} and a password"),
    ],
)
def test_error_text_has_no_address(error: Exception) -> None:
    assert "example" not in str(smtp.classify_error(error))
    assert "password" not in str(smtp.classify_error(error))


def test_error_text_has_the_servers_reply() -> None:
    refused = smtplib.SMTPRecipientsRefused({ADA: (550, f"5.1.1 <{ADA}>\r\n unknown \xff".encode("latin-1"))})
    assert str(smtp.classify_error(refused)) == "the mail server answered 550 5.1.1 [address] unknown \ufffd"
    untrusted = ssl.SSLCertVerificationError("untrusted")
    untrusted.verify_message = "self-signed certificate"
    assert "certificate is not trusted: self-signed" in str(smtp.classify_error(untrusted))
