"""A real SMTP server for the tests (aiosmtpd), with configurable answers; it stores the emails it gets."""

from __future__ import annotations

import email
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from tests.support.programs import needing, program
from tests.support.services_fixture import free_port

HOST = "mail.church.test"
USER, PASSWORD = "postman", "s3cret/&@word"


@dataclass(frozen=True)
class Received:
    """One email that the server got, with its envelope."""

    sender: str
    recipients: list[str]
    message: EmailMessage
    encrypted: bool
    user: str | None

    def text(self, kind: str = "plain") -> str:
        """The plain or html part, decoded."""
        body = self.message.get_body((kind,))
        assert body is not None
        return str(body.get_content()).replace("\r\n", "\n")


class MailServer:
    """Listens on a port of loopback; ``answers`` are its replies to commands instead of 250."""

    def __init__(self, **options: Any) -> None:
        self.port = free_port()
        self.url = f"smtp://127.0.0.1:{self.port}"
        self.received: list[Received] = []
        self.answers: dict[str, list[str] | str] = {}
        self.commands: list[str] = []
        self._options = options
        self._controller: Controller | None = None

    def start(self) -> MailServer:
        """Start; after ``stop`` again at the same port."""
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port, **self._options)
        self._controller.start()
        return self

    def stop(self) -> None:
        """Stop, if it runs."""
        if self._controller is not None:
            self._controller.stop()
            self._controller.loop.close()
            self._controller = None

    def _answer(self, command: str, usual: str) -> str:
        """The answer set for ``command``; a list gives one answer each until it is empty."""
        self.commands.append(command)
        answer = self.answers.get(command, usual)
        if isinstance(answer, list):
            return answer.pop(0) if answer else usual
        return answer

    async def handle_MAIL(  # noqa: N802 - aiosmtpd's name
        self, _server: Any, _session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        answer = self._answer("MAIL", "250 OK")
        if answer.startswith("2"):
            envelope.mail_from = address
            envelope.mail_options.extend(options)
        return answer

    async def handle_RCPT(  # noqa: N802
        self, _server: Any, _session: Any, envelope: Any, address: str, _options: list[str]
    ) -> str:
        answer = self._answer("RCPT", "250 OK")
        if answer.startswith("2"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, _server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        answer = self._answer("DATA", "250 taken")
        if answer.startswith("2"):
            message = email.message_from_bytes(envelope.content, policy=default)
            assert isinstance(message, EmailMessage)
            user = session.auth_data.login.decode() if session.auth_data else None
            encrypted = session.ssl is not None
            self.received.append(Received(envelope.mail_from, envelope.rcpt_tos, message, encrypted, user))
        return answer


def lets_in(_server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
    """Authenticate for aiosmtpd: accept only ``USER`` and ``PASSWORD``."""
    right = isinstance(data, LoginPassword) and (data.login, data.password) == (USER.encode(), PASSWORD.encode())
    return AuthResult(success=right, handled=False, auth_data=data)


@pytest.fixture
def mail_server() -> Iterator[Callable[..., MailServer]]:
    """Start a server with options of aiosmtpd's ``SMTP``; it stops with the test."""
    started: list[MailServer] = []

    def start(**options: Any) -> MailServer:
        started.append(MailServer(**options).start())
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest.fixture(scope="session")
@needing("openssl")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a CA's ``ca.pem``, and ``server.pem`` (key and certificate) that it signed for ``HOST``."""
    folder = tmp_path_factory.mktemp("certificates")
    new_key = ["-newkey", "rsa:2048", "-nodes", "-days", "2", "-x509"]
    ca = ["-subj", "/CN=tests", "-keyout", "ca.key", "-out", "ca.pem", "-addext", "keyUsage=critical,keyCertSign"]
    server = [
        "-subj",
        f"/CN={HOST}",
        "-keyout",
        "server.key",
        "-out",
        "server.crt",
        "-CA",
        "ca.pem",
        "-CAkey",
        "ca.key",
    ]
    names = ["-addext", f"subjectAltName=DNS:{HOST}", "-addext", "basicConstraints=critical,CA:FALSE"]
    for options in (ca, [*server, *names]):
        subprocess.run([program("openssl"), "req", *new_key, *options], cwd=folder, check=True, capture_output=True)
    (folder / "server.pem").write_text((folder / "server.key").read_text() + (folder / "server.crt").read_text())
    return folder


@pytest.fixture
def tls(certificates: Path) -> ssl.SSLContext:
    """The server's side of TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.pem")
    return context


@pytest.fixture
def far_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Resolve ``HOST`` to loopback, so that the server counts as remote."""
    real = socket.getaddrinfo

    def resolve(host: Any, *rest: Any, **options: Any) -> Any:
        return real("127.0.0.1" if host == HOST else host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


class RudeServer:
    """Accepts connections and passes each to ``manners``, in a thread of its own."""

    def __init__(self, manners: Callable[[socket.socket, threading.Event], None]) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.over = threading.Event()
        self._manners = manners
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._threads.append(threading.Thread(target=self._serve, args=(connection,), daemon=True))
            self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            self._manners(connection, self.over)

    def stop(self) -> None:
        self.over.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)


@pytest.fixture
def rude_server() -> Iterator[Callable[..., RudeServer]]:
    """Start a server with these manners; it stops with the test."""
    started: list[RudeServer] = []

    def start(manners: Callable[[socket.socket, threading.Event], None]) -> RudeServer:
        started.append(RudeServer(manners))
        return started[-1]

    yield start
    for server in started:
        server.stop()
