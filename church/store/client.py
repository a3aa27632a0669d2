"""A Redis client each of whose calls ends in time, whatever the server, the network or the name server does.

redis-py bounds every read and write alone, so a call can take many times its time-out: connect, AUTH, SELECT,
then a reply that arrives a byte at a time. Here all of a call shares one deadline (``church.store.circuit``).
"""

# mypy: allow-untyped-calls
# (redis-py leaves the methods of its connections unannotated)

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
from redis.commands.core import Script
from redis.connection import AbstractConnection, Connection, ConnectionPool, SSLConnection, UnixDomainSocketConnection
from redis.connection import parse_url as parse_redis_url

from church.lib.dns import names
from church.store.circuit import BUDGET, GONE, Circuit, StoreDownError, remaining

_TLS_WAITS = 3  # a handshake waits at most this often, and gevent bounds each wait alone


class _DeadlineSocket:
    """A socket whose every operation is given what is left of the call."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._timeout: float | None = BUDGET

    def settimeout(self, timeout: float | None) -> None:
        """What holds outside of a call; 0 asks without waiting and holds always."""
        self._timeout = timeout

    def _arm(self) -> socket.socket:
        left = remaining()
        self._sock.settimeout(self._timeout if left is None or self._timeout == 0 else left)
        return self._sock

    def recv(self, size: int) -> bytes:
        return self._arm().recv(size)

    def recv_into(self, buffer: Any, size: int = 0) -> int:
        return self._arm().recv_into(buffer, size)

    def sendall(self, data: bytes) -> None:
        self._arm().sendall(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


def _dial(family: int, kind: int, address: Any) -> socket.socket:
    sock = socket.socket(family, kind)
    try:
        sock.settimeout(remaining() or BUDGET)
        sock.connect(address)
    except BaseException:
        sock.close()
        raise
    return sock


def _dial_host(host: str, port: int) -> socket.socket:
    failure: OSError = OSError(f"{host} has no address")
    for family, kind, _, _, address in names.addresses(host, port, remaining()):
        try:
            sock = _dial(family, kind, address)
        except OSError as error:
            failure = error
            continue
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return sock
    raise failure


class _TCP(Connection):
    def _connect(self) -> Any:
        return _DeadlineSocket(_dial_host(self.host, self.port))


class _TLS(SSLConnection):
    def _connect(self) -> Any:
        sock = _dial_host(self.host, self.port)
        try:
            sock.settimeout((remaining() or BUDGET) / _TLS_WAITS)
            return _DeadlineSocket(self._wrap_socket_with_ssl(sock))
        except BaseException:
            sock.close()
            raise


class _Unix(UnixDomainSocketConnection):
    host, port = "", None  # redis-py names both when connecting takes too long, and this connection has neither

    def _connect(self) -> Any:
        return _DeadlineSocket(_dial(socket.AF_UNIX, socket.SOCK_STREAM, self.path))


def _pool(url: str, connections: int) -> ConnectionPool:
    """Connections as ``url`` says, in protocol 2, so that connecting costs no round trip beyond AUTH and SELECT."""
    options = parse_redis_url(url)
    bounded = {UnixDomainSocketConnection: _Unix, SSLConnection: _TLS}
    options["connection_class"] = bounded.get(options.get("connection_class"), _TCP)
    options.update(protocol=2, driver_info=None, retry_on_timeout=False, health_check_interval=0)
    options.update(socket_timeout=BUDGET, socket_connect_timeout=BUDGET, max_connections=connections)
    return ConnectionPool(**options)


class _Script(Script):
    def __init__(self, client: BoundedRedis, script: Any) -> None:
        super().__init__(client, script)
        self._circuit = client.circuit

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Run it; a server that has forgotten the script is taught it within the same deadline."""
        with self._circuit.call():
            return super().__call__(*args, **options)


class BoundedRedis(redis.Redis):
    """redis-py's client with one deadline a command, a bounded wait for a connection, and no retries.

    Raises StoreDownError instead of redis-py's errors of connection and time. Make it after the fork.
    """

    def __init__(self, url: str, circuit: Circuit, connections: int = 16) -> None:
        super().__init__(connection_pool=_pool(url, connections))
        self.circuit = circuit
        self._turns = threading.BoundedSemaphore(connections)

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send one command and return its reply."""
        with self.circuit.call(), self._turn():
            return super().execute_command(*args, **options)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        failures = self.circuit.failures
        if not self._turns.acquire(timeout=remaining()):
            raise StoreDownError
        try:
            if self.circuit.failures != failures:
                raise StoreDownError  # it failed for another while this one waited
            yield
        except GONE as error:
            self.circuit.trip(error)  # before the turn is given to one who waits
            raise
        finally:
            self._turns.release()

    def register_script(self, script: Any) -> Script:
        """A Lua script whose calls have one deadline each, loading included."""
        return _Script(self, script)

    def new_connection(self) -> AbstractConnection:
        """A connection beside the pool, for a subscriber that keeps it; not yet connected."""
        pool = self.connection_pool
        connection: AbstractConnection = pool.connection_class(**pool.connection_kwargs)
        return connection
