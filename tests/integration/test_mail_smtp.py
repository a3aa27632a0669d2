"""Emails over real SMTP: encryption, login, temporary and permanent refusals, and timeouts."""

from __future__ import annotations

import logging
import socket
import ssl
import threading
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from aiosmtpd.smtp import AuthResult
from pydantic import SecretStr

from church.config import Settings
from church.observability.metrics import definitions
from church.services.email import smtp
from church.services.email.errors import MailDeferredError, MailRefusedError
from tests.support.helpers import with_settings
from tests.support.mail_fixture import HOST, PASSWORD, USER, MailServer, RudeServer, lets_in
from tests.support.services_fixture import wait_until

Start = Callable[..., MailServer]


@pytest.fixture
def message() -> EmailMessage:
    found = EmailMessage()
    found["Subject"] = "Hello"
    found.set_content("Hello.\n")
    return found


def to(settings: Settings, url: str) -> Settings:
    return with_settings(settings, smtp_url=SecretStr(url))


def send(settings: Settings, url: str, message: EmailMessage, recipient: str = "ada@example.org") -> None:
    smtp.deliver(to(settings, url), recipient, message)


@pytest.fixture
def trusted(certificates: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trust the CA of the tests, as an operator would trust their own."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates / "ca.pem"))


def test_smtp_server_on_this_host_is_not_encrypted(
    settings: Settings, mail_server: Start, message: EmailMessage
) -> None:
    server = mail_server()
    send(settings, server.url, message)
    (got,) = server.received
    assert (got.sender, got.recipients, got.encrypted, got.user) == (
        "church@127.0.0.1",
        ["ada@example.org"],
        False,
        None,
    )
    assert got.text() == "Hello.\n"


def test_smtp_remote_server_is_encrypted_first(
    settings: Settings, mail_server: Start, message: EmailMessage, tls: ssl.SSLContext, trusted: None, far_away: None
) -> None:
    server = mail_server(tls_context=tls, require_starttls=True)
    send(settings, f"smtp://{HOST}:{server.port}", message)
    assert [got.encrypted for got in server.received] == [True]


def test_smtps_server_accepts_email(
    settings: Settings, mail_server: Start, message: EmailMessage, tls: ssl.SSLContext, trusted: None, far_away: None
) -> None:
    server = mail_server(ssl_context=tls)
    send(settings, f"smtps://{HOST}:{server.port}", message)
    assert len(server.received) == 1


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_smtp_untrusted_certificate_gets_no_email(
    settings: Settings, mail_server: Start, message: EmailMessage, tls: ssl.SSLContext, far_away: None, scheme: str
) -> None:
    options = {"ssl_context": tls} if scheme == "smtps" else {"tls_context": tls}
    server = mail_server(**options)
    with pytest.raises(MailDeferredError, match="certificate is not trusted"):
        send(settings, f"{scheme}://{HOST}:{server.port}", message)
    assert server.commands == []


def test_smtp_certificate_of_another_name_gets_no_email(
    settings: Settings,
    mail_server: Start,
    message: EmailMessage,
    tls: ssl.SSLContext,
    trusted: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = mail_server(tls_context=tls)
    monkeypatch.setattr(smtp.Server, "is_here", False)
    with pytest.raises(MailDeferredError, match="IP address mismatch"):
        send(settings, server.url, message)
    assert server.commands == []


def test_smtp_remote_server_without_starttls_gets_no_password_and_no_email(
    settings: Settings, mail_server: Start, message: EmailMessage, far_away: None
) -> None:
    logins: list[object] = []
    server = mail_server(auth_require_tls=False, authenticator=lambda *data: logins.append(data))
    with pytest.raises(MailDeferredError, match="STARTTLS"):
        send(settings, f"smtp://{USER}:word@{HOST}:{server.port}", message)
    assert (server.commands, logins) == ([], [])


def test_smtp_certificate_on_this_host_is_not_checked(
    settings: Settings, mail_server: Start, message: EmailMessage, tls: ssl.SSLContext
) -> None:
    server = mail_server(tls_context=tls, require_starttls=True)
    send(settings, server.url, message)
    assert [got.encrypted for got in server.received] == [True]


def test_smtp_user_and_password_of_the_url_log_in(
    settings: Settings, mail_server: Start, message: EmailMessage, tls: ssl.SSLContext
) -> None:
    server = mail_server(tls_context=tls, auth_required=True, authenticator=lets_in)
    send(settings, f"smtp://{USER}:s3cret%2F%26%40word@127.0.0.1:{server.port}", message)
    assert [got.user for got in server.received] == [USER]


@pytest.mark.parametrize(("password", "lets"), [("gr\u00fcn", True), ("gr\u00fcner", False)])
def test_smtp_password_outside_ascii_logs_in(
    settings: Settings, mail_server: Start, message: EmailMessage, tls: ssl.SSLContext, password: str, lets: bool
) -> None:
    def authenticate(_server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        right = (data.login, data.password) == ("j\u00f6rg".encode(), "gr\u00fcn".encode())
        return AuthResult(success=right, handled=False, auth_data=data)

    server = mail_server(tls_context=tls, auth_required=True, authenticator=authenticate)
    url = f"smtp://j%C3%B6rg:{quote(password)}@127.0.0.1:{server.port}"
    if lets:
        send(settings, url, message)
    else:
        with pytest.raises(MailDeferredError, match="535"):
            send(settings, url, message)
    assert len(server.received) == lets


def test_smtp_wrong_password_defers_and_is_not_in_the_error(
    settings: Settings, mail_server: Start, message: EmailMessage, tls: ssl.SSLContext
) -> None:
    server = mail_server(tls_context=tls, auth_required=True, authenticator=lets_in)
    with pytest.raises(MailDeferredError, match="535") as caught:
        send(settings, f"smtp://{USER}:guessed-it@127.0.0.1:{server.port}", message)
    assert "guessed-it" not in str(caught.value)
    assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize(
    ("command", "answer", "kind"),
    [
        ("RCPT", "450 4.2.0 greylisted", MailDeferredError),
        ("RCPT", "550 5.1.1 no such user", MailRefusedError),
        ("MAIL", "421 4.3.2 closing", MailDeferredError),
        ("MAIL", "530 5.7.0 authentication required", MailDeferredError),
        ("MAIL", "553 5.1.8 no such sender", MailRefusedError),
        ("DATA", "451 4.3.0 disk full", MailDeferredError),
        ("DATA", "554 5.7.1 looks like spam", MailRefusedError),
    ],
)
def test_smtp_reply_code_decides_temporary_or_permanent(
    settings: Settings, mail_server: Start, message: EmailMessage, command: str, answer: str, kind: type[Exception]
) -> None:
    server = mail_server()
    server.answers[command] = answer
    with pytest.raises(kind, match=answer) as caught:
        send(settings, server.url, message)
    assert type(caught.value) is kind


def test_smtp_error_contains_no_address(settings: Settings, mail_server: Start, message: EmailMessage) -> None:
    server = mail_server()
    server.answers["RCPT"] = "550 5.1.1 <ada@example.org>: unknown, write to postmaster@example.org"
    with pytest.raises(MailRefusedError) as caught:
        send(settings, server.url, message)
    assert str(caught.value) == "the mail server answered 550 5.1.1 [address] unknown, write to [address]"
    assert caught.value.__suppress_context__


def test_smtp_non_ascii_address_without_smtputf8_is_refused(
    settings: Settings, mail_server: Start, message: EmailMessage
) -> None:
    server = mail_server(enable_SMTPUTF8=False)
    with pytest.raises(MailRefusedError, match="SMTPUTF8"):
        send(settings, server.url, message, "žofie@example.org")


def test_smtp_non_ascii_address_with_smtputf8_is_sent(
    settings: Settings, mail_server: Start, message: EmailMessage
) -> None:
    server = mail_server()
    send(settings, server.url, message, "žofie@example.org")
    assert server.received[0].recipients == ["žofie@example.org"]


@pytest.mark.parametrize("enable_smtputf8", [False, True])
def test_smtp_non_ascii_domain_is_sent_by_its_a_label(
    settings: Settings, mail_server: Start, message: EmailMessage, enable_smtputf8: bool
) -> None:
    server = mail_server(enable_SMTPUTF8=enable_smtputf8)
    send(settings, server.url, message, "anna@bücher.example.org")
    assert server.received[0].recipients == ["anna@xn--bcher-kva.example.org"]


def test_smtp_sender_with_a_non_ascii_domain_is_sent_by_its_a_label(
    settings: Settings, mail_server: Start, message: EmailMessage
) -> None:
    server = mail_server(enable_SMTPUTF8=False)
    send(with_settings(settings, mail_from="church@bücher.example"), server.url, message)
    assert server.received[0].sender == "church@xn--bcher-kva.example"


@pytest.mark.parametrize("offered", [False, True])
def test_smtp_server_is_asked_once_for_non_ascii_mailboxes(
    settings: Settings, mail_server: Start, offered: bool
) -> None:
    server = mail_server(enable_SMTPUTF8=offered)
    site = to(settings, server.url)
    assert smtp.can_send_to(site, "žofie@example.org") is offered
    server.stop()  # so that a second question would fail
    assert smtp.can_send_to(site, "jörg@example.org") is offered
    assert smtp.can_send_to(site, "anna@bücher.example.org")


def test_smtp_server_that_does_not_answer_may_know_non_ascii_mailboxes(settings: Settings) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        assert smtp.can_send_to(to(settings, f"smtp://127.0.0.1:{taken.getsockname()[1]}"), "žofie@example.org")


def test_smtp_outbox_takes_every_address(settings: Settings) -> None:
    assert smtp.can_send_to(settings, "žofie@example.org")


def test_smtp_connection_refused_defers(settings: Settings, message: EmailMessage) -> None:
    with socket.socket() as taken:  # reserves the port without listening on it
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(MailDeferredError, match="ConnectionRefusedError"):
            send(settings, f"smtp://127.0.0.1:{taken.getsockname()[1]}", message)


def silent(_connection: socket.socket, over: threading.Event) -> None:
    over.wait(120)


def drips(connection: socket.socket, over: threading.Event) -> None:
    """Send a byte now and then, so that no single wait times out."""
    try:
        while not over.wait(0.05):
            connection.sendall(b"2")
    except OSError:
        return


def leaves_after_the_greeting(connection: socket.socket, _over: threading.Event) -> None:
    connection.sendall(b"220 hello\r\n")


@pytest.mark.parametrize(("manners", "step", "whole"), [(silent, 0.3, 20.0), (drips, 20.0, 0.6)])
def test_smtp_hanging_server_times_out(
    settings: Settings,
    rude_server: Callable[..., RudeServer],
    message: EmailMessage,
    monkeypatch: pytest.MonkeyPatch,
    manners: Callable[[socket.socket, threading.Event], None],
    step: float,
    whole: float,
) -> None:
    monkeypatch.setattr(smtp, "STEP", step)
    monkeypatch.setattr(smtp, "WHOLE", whole)
    server = rude_server(manners)
    counted = definitions.outbound_request_duration.labels("smtp", "timeout")
    before = counted._sum.get()
    with pytest.raises(MailDeferredError, match="took too long"):
        send(settings, f"smtp://127.0.0.1:{server.port}", message)
    assert counted._sum.get() > before


def test_smtp_server_that_disconnects_defers(
    settings: Settings, rude_server: Callable[..., RudeServer], message: EmailMessage
) -> None:
    server = rude_server(leaves_after_the_greeting)
    with pytest.raises(MailDeferredError, match=r"SMTPServerDisconnected|ConnectionResetError"):
        send(settings, f"smtp://127.0.0.1:{server.port}", message)


def test_smtp_quit_without_reply_still_counts_as_sent(
    settings: Settings, rude_server: Callable[..., RudeServer], message: EmailMessage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtp, "_GOODBYE", 0.1)
    received: list[bytes] = []

    def taciturn(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(b"220 hello\r\n")
        with connection.makefile("rb") as lines:
            in_text = False
            for line in lines:
                received.append(line)
                if in_text and line != b".\r\n":
                    continue
                if line == b"quit\r\n":
                    break
                in_text = line == b"data\r\n"
                connection.sendall(b"354 go on\r\n" if in_text else b"250 ok\r\n")
        over.wait(120)

    server = rude_server(taciturn)
    send(settings, f"smtp://127.0.0.1:{server.port}", message)
    wait_until(lambda: received[-1] == b"quit\r\n", "the server receives QUIT")


def test_smtp_delivery_is_timed_and_logs_no_recipient(
    settings: Settings, mail_server: Start, message: EmailMessage, caplog: pytest.LogCaptureFixture
) -> None:
    server = mail_server()
    counted = definitions.outbound_request_duration.labels("smtp", "success")
    before = counted._sum.get()
    with caplog.at_level(logging.DEBUG, logger="church"):
        send(settings, server.url, message)
    assert counted._sum.get() > before
    assert not [record for record in caplog.records if record.name.startswith("church")]


def test_smtp_probe_connects_and_sends_nothing(settings: Settings, mail_server: Start) -> None:
    server = mail_server()
    smtp.probe_server(to(settings, server.url), 2, 4)
    assert server.commands == []
    server.stop()
    with pytest.raises(MailDeferredError):
        smtp.probe_server(to(settings, server.url), 2, 4)
