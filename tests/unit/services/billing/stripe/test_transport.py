"""HTTP to Stripe against servers that answer normally, slowly, in parts or not at all, with and without TLS."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path

import pytest
import stripe

from church.services.billing.stripe import transport as stripe_transport
from church.services.billing.stripe.transport import Transport, deadline
from tests.support.programs import needing, program
from tests.support.services_fixture import wait_until
from tests.support.site_fixture import ROOT

OK = b"HTTP/1.1 200 OK\r\nRequest-Id: req_1\r\nContent-Length: 2\r\n\r\n{}"


Talk = Callable[["Server", socket.socket], object]


class Server:
    """Runs ``talk`` for each connection on its own thread; keeps the connections and the requests."""

    def __init__(self, talk: Talk) -> None:
        self.talk = talk
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.connections: list[socket.socket] = []
        self.requests: list[bytes] = []
        self.stopped = threading.Event()
        self.threads = [threading.Thread(target=self._accept)]
        self.threads[0].start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                self.connections.append(connection)
                thread = threading.Thread(target=self._talk, args=(connection,))
                self.threads.append(thread)
                thread.start()

    def _talk(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            self.talk(self, connection)

    def request(self, connection: socket.socket) -> bytes:
        """Read a request without a body; empty when the client has closed the connection."""
        found = b""
        while not found.endswith(b"\r\n\r\n"):
            if not (more := connection.recv(4096)):
                return b""
            found += more
        self.requests.append(found)
        return found

    def close(self) -> None:
        self.stopped.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for connection in self.connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join(20)


@contextmanager
def serving(talk: Talk) -> Iterator[Server]:
    server = Server(talk)
    try:
        yield server
    finally:
        server.close()


def answering(*answers: bytes) -> Talk:
    """Answer each request on a connection, then close it after the last of ``answers``."""

    def talk(server: Server, connection: socket.socket) -> None:
        for answer in answers:
            if server.request(connection):
                connection.sendall(answer)

    return talk


def drip(server: Server, connection: socket.socket) -> None:
    """Send a byte at a time for twenty seconds: no single wait is long."""
    for _ in range(1000):
        if server.stopped.wait(0.02):
            return
        connection.sendall(b"x")


def dripping(beginning: bytes) -> Talk:
    """Answer with ``beginning`` and then a byte at a time."""

    def talk(server: Server, connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(beginning)
        drip(server, connection)

    return talk


def send(transport: Transport, server: Server, scheme: str = "http", seconds: float = 20) -> tuple[bytes, int]:
    with deadline(seconds):
        body, status, _ = transport.send("get", f"{scheme}://127.0.0.1:{server.port}/v1/x?a[0]=1", {"Key": "k"}, b"")
    return body, status


@pytest.fixture
def transport() -> Iterator[Transport]:
    made = Transport("")
    yield made
    stripe_transport._close(made._idle)


def test_request_is_sent_with_host_and_escaped_query(transport: Transport) -> None:
    with serving(answering(OK)) as server:
        assert send(transport, server) == (b"{}", 200)
    host = f"127.0.0.1:{server.port}"
    assert server.requests == [f"GET /v1/x?a%5B0%5D=1 HTTP/1.1\r\nHost: {host}\r\nKey: k\r\n\r\n".encode()]


def test_connection_is_reused(transport: Transport) -> None:
    with serving(answering(OK, OK, OK)) as server:
        for _ in range(3):
            send(transport, server)
        assert len(server.connections) == 1


def test_connection_closed_by_the_server_is_replaced(transport: Transport) -> None:
    with serving(answering(OK)) as server:
        send(transport, server)
        (kept,) = next(iter(transport._idle.values()))
        wait_until(lambda: not kept.is_reusable(), "the close arrives")
        assert send(transport, server) == (b"{}", 200)
        assert len(server.connections) == 2


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nto the end", b"to the end"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nin\r\n6\r\n parts\r\n0\r\n\r\n", b"in parts"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b""),
    ],
)
def test_answer_of_any_framing_is_read_completely(transport: Transport, answer: bytes, body: bytes) -> None:
    with serving(answering(answer)) as server:
        assert send(transport, server) == (body, 200)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1",
        b"no HTTP at all\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ncut",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ncut",
    ],
)
def test_answer_cut_off_raises(transport: Transport, answer: bytes) -> None:
    with serving(answering(answer)) as server, pytest.raises((HTTPException, OSError)):
        send(transport, server)
    assert not any(transport._idle.values())


@pytest.mark.parametrize("head", [b"Connection: close", b"Content-Length: 50", b"Transfer-Encoding: chunked"])
def test_answer_too_large_raises(transport: Transport, head: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stripe_transport, "_LARGEST", 20)
    body = b"32\r\n" + b"x" * 50 + b"\r\n0\r\n\r\n" if b"chunked" in head else b"x" * 50
    with (
        serving(answering(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n" + body)) as server,
        pytest.raises(HTTPException, match="too large"),
    ):
        send(transport, server)


@pytest.mark.parametrize(
    "beginning",
    [b"", b"HTTP/1.1 200 OK\r\nA: ", b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n"],
)
def test_answer_byte_by_byte_times_out_at_the_deadline(transport: Transport, beginning: bytes) -> None:
    with serving(dripping(beginning)) as server, pytest.raises(TimeoutError):
        send(transport, server, seconds=0.3)


def test_request_not_read_by_the_server_times_out_at_the_deadline(transport: Transport) -> None:
    with serving(lambda server, _: server.stopped.wait(30)) as server:
        with pytest.raises(TimeoutError), deadline(0.3):
            transport.send("post", f"http://127.0.0.1:{server.port}/", {}, b"x" * 50_000_000)
        assert not any(transport._idle.values())


def test_dns_without_answer_times_out_at_the_deadline(transport: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    answered, real = threading.Event(), socket.getaddrinfo

    def slow(host: str, *args: object, **kwargs: object) -> object:
        if kwargs.get("flags"):
            raise socket.gaierror
        answered.wait(20)
        return real("127.0.0.1", *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    with pytest.raises(TimeoutError), deadline(0.2):
        transport.send("get", "http://stripe.test/v1/x", {}, b"")
    answered.set()


def test_deadline_already_passed_raises_at_once(transport: Transport) -> None:
    with serving(answering(OK)) as server, pytest.raises(TimeoutError), deadline(0):
        transport.send("get", f"http://127.0.0.1:{server.port}/", {}, b"")


def test_header_with_a_line_break_raises(transport: Transport) -> None:
    with pytest.raises(ValueError, match="line break"), deadline(5):
        transport.send("get", "http://127.0.0.1:9/", {"Idempotency-Key": "a\r\nHost: b"}, b"")


def test_idle_connections_are_closed_with_their_transport() -> None:
    transport = Transport("")
    with serving(answering(OK, OK)) as server:
        send(transport, server)
        (kept,) = next(iter(transport._idle.values()))
        del transport
        wait_until(lambda: kept._sock.fileno() == -1, "the connection is closed")


@pytest.fixture(scope="module")
@needing("openssl")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    new_key = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    arguments = [
        "-subj",
        "/CN=stripe.test",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
        "-keyout",
        "k.pem",
        "-out",
        "c.pem",
    ]
    subprocess.run([program("openssl"), "req", *new_key, *arguments], cwd=folder, check=True, capture_output=True)
    return folder / "c.pem", folder / "k.pem"


def _over_tls(certificate: tuple[Path, Path], talk: Talk) -> Talk:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)

    def serve(server: Server, connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as wrapped:
            talk(server, wrapped)

    return serve


def test_tls_connection_is_reused(certificate: tuple[Path, Path]) -> None:
    transport = Transport(str(certificate[0]))
    with serving(_over_tls(certificate, answering(OK, OK))) as server:
        assert send(transport, server, "https") == (b"{}", 200)
        assert send(transport, server, "https") == (b"{}", 200)
        assert len(server.connections) == 1
        stripe_transport._close(transport._idle)


def test_server_with_an_untrusted_certificate_gets_no_request(certificate: tuple[Path, Path]) -> None:
    with serving(_over_tls(certificate, answering(OK))) as server:
        with pytest.raises(ssl.SSLError):
            send(Transport(stripe.ca_bundle_path), server, "https")
        assert server.requests == []


def test_tls_handshake_byte_by_byte_times_out_at_the_deadline(certificate: tuple[Path, Path]) -> None:
    with serving(dripping(b"\x16\x03\x03\x40\x00")) as server, pytest.raises(TimeoutError):
        send(Transport(str(certificate[0])), server, "https", seconds=0.3)


def dripping_record(server: Server, connection: socket.socket) -> None:
    """Answer with a TLS record that never ends: each byte wakes a read, which yields no data."""
    server.request(connection)
    with socket.socket(fileno=connection.detach()) as raw:
        raw.sendall(b"\x17\x03\x03\x40\x00")
        drip(server, raw)


def test_tls_record_byte_by_byte_times_out_at_the_deadline(certificate: tuple[Path, Path]) -> None:
    with serving(_over_tls(certificate, dripping_record)) as server, pytest.raises(TimeoutError):
        send(Transport(str(certificate[0])), server, "https", seconds=0.5)


_UNDER_GEVENT = """
from gevent import monkey
monkey.patch_all()
import sys
from church.services.billing.stripe.transport import Transport, deadline
transport = Transport(sys.argv[2])
try:
    with deadline(0.5):
        transport.send("get", sys.argv[1], {}, b"")
except TimeoutError:
    print("in time")
"""


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_answer_byte_by_byte_times_out_under_gevent_too(certificate: tuple[Path, Path], scheme: str) -> None:
    talk = dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n")
    with serving(_over_tls(certificate, dripping_record) if scheme == "https" else talk) as server:
        command = [sys.executable, "-c", _UNDER_GEVENT, f"{scheme}://127.0.0.1:{server.port}/", str(certificate[0])]
        child = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert child.stdout == "in time\n"
