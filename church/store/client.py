"""A Redis client with a deadline for each call, whatever the server, the network or the name server does.

redis-py bounds each read and write separately, so a call can take many times its time-out: connect, AUTH, SELECT, then
a reply that arrives byte by byte. Here one deadline covers the whole call.

After a failure the circuit treats the store as down: for a second every call fails at once.
"""

# mypy: allow-untyped-calls
# (redis-py leaves the methods of its connections unannotated)

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import redis
from redis.commands.core import Script
from redis.connection import AbstractConnection, Connection, ConnectionPool, SSLConnection, UnixDomainSocketConnection
from redis.connection import parse_url as parse_redis_url
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from church.errors import UnavailableError
from church.lib.dns import host_resolver
from church.lib.threads import Line

log = logging.getLogger("church.store")

BUDGET = 0.09  # seconds for a whole call by default; 100 ms with the interpreter's overhead
RETRY_AFTER = 1.0  # seconds without a call after a failure, so that not every caller waits for the store

# Errors that mean that the server is gone, not that it refused a command.
GONE = (RedisConnectionError, RedisTimeoutError, OSError)

CallWatcher = Callable[[str, float, BaseException | None], None]
"""Gets the name of each command, when it began by ``time.perf_counter``, and what it raised."""

_watcher: CallWatcher | None = None


def watch_calls(watcher: CallWatcher) -> None:
    """Tell ``watcher`` of each call from now on."""
    global _watcher  # noqa: PLW0603 - one for the process
    _watcher = watcher


_deadline: ContextVar[float | None] = ContextVar("church_store_deadline", default=None)


class StoreDownError(UnavailableError):
    """The shared store does not answer in time. The command may or may not have been executed."""


def remaining_time() -> float | None:
    """Seconds left of the current call; None outside of a call. Raises TimeoutError if none are left."""
    deadline = _deadline.get()
    if deadline is None:
        return None
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("the call to the store has used up its time")
    return left


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Give what is sent to the store in the block ``seconds`` in all. Raises TimeoutError, and redis-py's errors."""
    token = _deadline.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _deadline.reset(token)


class StoreCircuit:
    """Circuit breaker: gives each call a deadline, and after a failure fails all calls of the next second at once.

    After that second one caller tries, while the others still fail at once until it succeeds.
    """

    def __init__(
        self, budget: float = BUDGET, rest: float = RETRY_AFTER, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._budget = budget
        self._rest = rest
        self._clock = clock
        self._down_until: float | None = None
        self._turn = threading.Lock()
        self.failures = 0

    @property
    def down(self) -> bool:
        """Whether the last call failed because the store was gone."""
        return self._down_until is not None

    def check(self) -> None:
        """Raise StoreDownError if the store is known to be down."""
        if self._down_until is not None and self._clock() < self._down_until:
            raise StoreDownError

    @contextmanager
    def call(self) -> Iterator[None]:
        """Bound one call, of one or several commands. Nested calls share the outer call's deadline.

        Raises StoreDownError if the server is gone. A refused command keeps its own error.
        """
        if _deadline.get() is not None:
            yield
            return
        self.check()
        if self._down_until is not None:
            self._down_until = self._clock() + self._rest  # this caller tries, the others still fail at once
        try:
            with time_limit(self._budget):
                yield
        except GONE as error:
            self.trip(error)
            raise StoreDownError from error
        except RedisError:
            self._close()
            raise
        else:
            self._close()

    def trip(self, error: Exception) -> None:
        """Mark the store as down, and log it if that is news: one record an outage, however often it is tried."""
        with self._turn:
            was_down = self.down
            self.failures += 1
            self._down_until = self._clock() + self._rest
        if not was_down:
            log.warning("the store does not answer", extra={"event": "store.down", "reason": type(error).__name__})

    def _close(self) -> None:
        if not self.down:
            return
        with self._turn:
            was_down, self._down_until = self.down, None
        if was_down:
            log.info("the store answers again", extra={"event": "store.up"})


_TLS_WAITS = 3  # most waits of a TLS handshake; gevent bounds each of them separately


class _DeadlineSocket:
    """A socket whose operations each get the rest of the current call's time."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._timeout: float | None = BUDGET

    def settimeout(self, timeout: float | None) -> None:
        """Set the time-out outside of a call. 0, which never waits, holds inside of a call, too."""
        self._timeout = timeout

    def _arm(self) -> socket.socket:
        left = remaining_time()
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
        sock.settimeout(remaining_time() or BUDGET)
        sock.connect(address)
    except BaseException:
        sock.close()
        raise
    return sock


def _dial_host(host: str, port: int) -> socket.socket:
    failure: OSError = OSError(f"{host} has no address")
    for family, kind, _, _, address in host_resolver.addresses(host, port, remaining_time()):
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
            sock.settimeout((remaining_time() or BUDGET) / _TLS_WAITS)
            return _DeadlineSocket(self._wrap_socket_with_ssl(sock))
        except BaseException:
            sock.close()
            raise


class _Unix(UnixDomainSocketConnection):
    host, port = "", None  # redis-py needs both for the message when connecting times out

    def _connect(self) -> Any:
        return _DeadlineSocket(_dial(socket.AF_UNIX, socket.SOCK_STREAM, self.path))


def _pool(url: str, connections: int) -> ConnectionPool:
    """Connection pool for ``url``, with protocol 2: connecting takes no round trip beyond AUTH and SELECT."""
    options = parse_redis_url(url)
    bounded = {UnixDomainSocketConnection: _Unix, SSLConnection: _TLS}
    options["connection_class"] = bounded.get(options.get("connection_class"), _TCP)
    options.update(protocol=2, driver_info=None, retry_on_timeout=False, health_check_interval=0)
    options.update(socket_timeout=BUDGET, socket_connect_timeout=BUDGET, max_connections=connections)
    return ConnectionPool(**options)


class _watched:  # noqa: N801 - a context manager without the cost of a generator
    """Tell the watcher of one call."""

    __slots__ = ("_began", "_name")

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        self._began = time.perf_counter()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if _watcher is not None:
            _watcher(self._name, self._began, error)


class _Script(Script):
    def __init__(self, client: BoundedRedis, script: Any) -> None:
        super().__init__(client, script)
        self._circuit = client.circuit

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Run the script. If the server has lost it, it is loaded again within the same deadline."""
        with self._circuit.call():
            return super().__call__(*args, **options)


class BoundedRedis(redis.Redis):
    """redis-py's client with one deadline for each command, a bounded wait for a connection, and no retries.

    Raises StoreDownError instead of redis-py's connection and time-out errors. Create it after the fork.
    """

    def __init__(self, url: str, circuit: StoreCircuit, connections: int = 16) -> None:
        super().__init__(connection_pool=_pool(url, connections))
        self.circuit = circuit
        self._turns = Line(range(connections))
        self._publisher = self.new_connection()
        self._publishing = threading.Lock()

    def execute_command(self, *args: Any, **options: Any) -> Any:
        with _watched(str(args[0])), self.circuit.call(), self._turn():
            return super().execute_command(*args, **options)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        failures = self.circuit.failures
        try:
            turn = self._turns.take(remaining_time())
        except TimeoutError:
            raise StoreDownError from None
        try:
            if self.circuit.failures != failures:
                raise StoreDownError  # another call failed while this one waited
            yield
        except GONE as error:
            self.circuit.trip(error)  # before the next caller gets its turn
            raise
        finally:
            self._turns.give(turn)

    def publish(self, channel: Any, message: Any, **options: Any) -> Any:
        """Publish over a connection that is for this alone, at a third of the usual price, if it is free."""
        if not self._publishing.acquire(blocking=False):
            return super().publish(channel, message, **options)
        try:
            with _watched("PUBLISH"), self.circuit.call():
                return _ask(self._publisher, "PUBLISH", channel, message)
        finally:
            self._publishing.release()

    def register_script(self, script: Any) -> Script:
        """A Lua script with one deadline for each call, loading included."""
        return _Script(self, script)

    def new_connection(self) -> AbstractConnection:
        """A connection outside of the pool for a subscriber, not connected yet."""
        pool = self.connection_pool
        connection: AbstractConnection = pool.connection_class(**pool.connection_kwargs)
        return connection


def _ask(connection: AbstractConnection, *command: Any) -> Any:
    """Send one command over a connection that nobody else uses; it connects anew where the server has left."""
    try:
        if connection.can_read():
            raise RedisConnectionError("an answer that nobody waits for")
    except GONE:
        connection.disconnect()
    try:
        connection.send_command(*command)
        return connection.read_response()
    except GONE:
        connection.disconnect()
        raise
