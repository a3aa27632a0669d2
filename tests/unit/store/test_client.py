"""Store calls that end by their own deadline, and the circuit that rests after a failure."""

from __future__ import annotations

import logging
import os
import select
import socket
import threading
from contextlib import contextmanager

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from church.store import StoreClient
from church.store import client as store_client
from church.store.client import BoundedRedis, StoreCircuit, StoreDownError, remaining_time
from church.store.pubsub import listen
from tests.support.clock import Clock
from tests.support.helpers import captured_log
from tests.support.services_fixture import site_settings, wait_until

SHORT = 0.3  # seconds for a call that should fail


class Server:
    """A server on loopback that runs ``behave(connection)`` for each client, on a thread."""

    def __init__(self, behave):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.clients = []
        self.over = threading.Event()
        self._behave = behave
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            self.clients.append(client)
            threading.Thread(target=self._behave, args=(self, client), daemon=True).start()

    def redis(self, path="", budget=60.0, connections=4):
        """A client with more time than the site's and a longer rest, for busy machines."""
        return BoundedRedis(f"redis://127.0.0.1:{self.port}{path}", StoreCircuit(budget, rest=60), connections)

    def close(self):
        self.over.set()
        self.socket.close()
        for client in self.clients:
            client.close()


@contextmanager
def serving(behave):
    server = Server(behave)
    try:
        yield server
    finally:
        server.close()


def says_nothing(server, client):
    server.over.wait()


def drips(server, client):
    """An endless reply, each byte well within the time-out of one read."""
    try:
        client.recv(4096)
        client.sendall(b"+")
        while not server.over.wait(0.01):
            client.sendall(b"x")
    except OSError:
        pass


def answers(server, client):
    try:
        while data := client.recv(4096):
            client.sendall(b"+PONG\r\n" if b"PING" in data else b"+OK\r\n")
    except OSError:
        pass


def ends(call):
    """Run ``call`` on a thread and return whether it ended by itself."""
    result = []

    def work():
        try:
            result.append(call())
        except StoreDownError as error:
            result.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(timeout=60)
    assert not thread.is_alive(), "the call still waits"
    return result[0]


@pytest.mark.parametrize("behave", [says_nothing, drips])
@pytest.mark.parametrize("path", ["", "/3"])
def test_call_to_a_server_that_never_finishes_ends_without_retry(behave, path):
    with serving(behave) as server:
        client = server.redis(path, budget=SHORT)
        assert isinstance(ends(client.ping), StoreDownError)
        wait_until(lambda: server.clients, "it has come")
        assert len(server.clients) == 1


def test_call_after_a_failure_does_not_go_to_the_server():
    with serving(says_nothing) as server:
        client = server.redis(budget=SHORT)
        ends(client.ping)
        wait_until(lambda: server.clients, "the first has come")
        assert isinstance(ends(client.ping), StoreDownError)
        assert len(server.clients) == 1


def test_call_when_every_connection_is_in_use_ends():
    with serving(answers) as server:
        client = server.redis(connections=1, budget=SHORT)
        with client._turn():
            assert isinstance(ends(client.ping), StoreDownError)
        client.circuit = StoreCircuit(budget=60)
        assert client.ping() is True


def test_call_waiting_while_another_fails_does_not_try():
    hang_up = threading.Event()

    def closes(server, client):
        hang_up.wait(60)
        client.close()

    with serving(closes) as server:
        client = server.redis(connections=1)
        results = []

        def work():
            try:
                client.ping()
            except StoreDownError as error:
                results.append(error)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        wait_until(lambda: client._turns.waiting == 3 and server.clients, "one asks, three wait")
        hang_up.set()
        for thread in threads:
            thread.join(timeout=60)
        assert len(results) == 4
        assert len(server.clients) == 1


def test_connect_with_protocol_two_sends_only_the_command():
    heard = []

    def note(server, client):
        heard.append(client.recv(4096))
        client.sendall(b"+PONG\r\n")
        server.over.wait()

    with serving(note) as server:
        assert server.redis().ping() is True
    assert heard == [b"*1\r\n$4\r\nPING\r\n"]


def test_pool_with_many_callers_keeps_its_size():
    with serving(answers) as server:
        client = server.redis(connections=2)
        threads = [threading.Thread(target=client.ping) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=60)
        assert client.ping() is True
        assert len(server.clients) <= 2


def test_call_after_the_server_closed_the_connection_connects_again():
    def once(server, client):
        client.recv(4096)
        client.sendall(b"+PONG\r\n")
        client.close()

    with serving(once) as server:
        client = server.redis()
        assert client.ping() is True
        (idle,) = client.connection_pool._available_connections
        wait_until(lambda: select.select([idle._sock.fileno()], [], [], 0)[0], "the close has arrived")
        assert client.ping() is True
        assert len(server.clients) == 2


def test_publish_has_a_connection_of_its_own_and_opens_another_after_the_server_closed_it():
    def once(server, client):
        if client.recv(4096):
            client.sendall(b":3\r\n")
            client.close()

    with serving(once) as server:
        client = server.redis()
        assert client.publish("room", "hello") == 3
        assert client.connection_pool._available_connections == []
        own = client._publisher
        wait_until(lambda: select.select([own._sock.fileno()], [], [], 0)[0], "the close has arrived")
        assert client.publish("room", "hello") == 3
        assert len(server.clients) == 2


def test_publish_while_another_publishes_does_not_wait_for_it():
    with serving(answers) as server:
        client = server.redis()
        with client._publishing:
            assert ends(lambda: client.publish("room", "hello")) == b"OK"
        assert len(client.connection_pool._available_connections) == 1


def test_publish_to_a_server_that_never_answers_ends_and_rests():
    with serving(says_nothing) as server:
        client = server.redis(budget=SHORT)
        assert isinstance(ends(lambda: client.publish("room", "hello")), StoreDownError)
        assert client.circuit.down
        assert client._publisher._sock is None


def test_publish_that_the_server_refuses_leaves_the_store_up():
    def refuses(server, client):
        while client.recv(4096):
            client.sendall(b"-NOPERM no\r\n")

    with serving(refuses) as server:
        client = server.redis()
        for _ in range(2):
            with pytest.raises(ResponseError):
                client.publish("room", "hello")
        assert not client.circuit.down
        assert len(server.clients) == 1


def test_call_with_a_hung_name_server_ends_and_its_late_answer_is_used(monkeypatch):
    with serving(answers) as server:
        released = threading.Event()
        real = socket.getaddrinfo

        def slow(host, port, *args, **kwargs):
            if host != "store.test":
                return real(host, port, *args, **kwargs)
            if kwargs.get("flags"):
                raise socket.gaierror
            released.wait(60)
            return real("127.0.0.1", port, *args, **kwargs)

        monkeypatch.setattr(store_client.socket, "getaddrinfo", slow)
        client = BoundedRedis(f"redis://store.test:{server.port}", StoreCircuit(rest=0.0))
        assert isinstance(ends(client.ping), StoreDownError)
        released.set()

        def answered():
            try:
                return client.ping()
            except StoreDownError:
                return False

        wait_until(answered, "the late address is used")


def test_refused_connection_is_store_down():
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))  # bound, so that no other server can listen there
        with pytest.raises(StoreDownError):
            BoundedRedis(f"redis://127.0.0.1:{deaf.getsockname()[1]}", StoreCircuit()).ping()


def test_options_in_the_url_cannot_loosen_the_limits():
    client = BoundedRedis("redis://127.0.0.1:1/0?socket_timeout=60&protocol=3&retry_on_timeout=yes", StoreCircuit())
    options = client.connection_pool.connection_kwargs
    assert (options["socket_timeout"] < 0.1, options["protocol"], options["retry_on_timeout"]) == (True, 2, False)


def test_call_to_a_tls_server_without_handshake_ends():
    with serving(says_nothing) as server:
        client = BoundedRedis(f"rediss://127.0.0.1:{server.port}", StoreCircuit())
        assert isinstance(ends(client.ping), StoreDownError)


def test_call_to_a_unix_socket_with_a_full_backlog_ends(tmp_path):
    path = os.path.join(tmp_path, "s")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen(0)
        waiting = []
        for _ in range(4):
            client = socket.socket(socket.AF_UNIX)
            client.setblocking(False)
            client.connect_ex(path)
            waiting.append(client)
        client = BoundedRedis(f"unix://{path}", StoreCircuit())
        assert isinstance(ends(client.ping), StoreDownError)
        for one in waiting:
            one.close()


@pytest.fixture
def clock():
    return Clock()


def fail(circuit, error=RedisConnectionError):
    with pytest.raises(StoreDownError), circuit.call():
        raise error("gone")


def test_circuit_logs_an_outage_once_and_its_end_once(clock):
    circuit = StoreCircuit(rest=1.0, clock=clock)
    with captured_log(logging.DEBUG) as sink:
        for _outage in range(2):
            for _ in range(10):  # each second one caller tries again
                fail(circuit)
                clock.now += 1.01
            for _ in range(3):
                with circuit.call():
                    pass
    assert [record["event"] for record in sink.records] == ["store.down", "store.up"] * 2


def test_outage_of_a_hung_server_is_logged_once_by_commands_and_subscribers(clock):
    with serving(says_nothing) as server, captured_log() as sink:
        client = BoundedRedis(f"redis://127.0.0.1:{server.port}/3", StoreCircuit(budget=SHORT, clock=clock))
        for _ in range(3):
            ends(client.ping)
            clock.now += 1.01
            subscribe_in_vain(client)
        wait_until(lambda: len(server.clients) == 6, "each try has reached the server")
    assert [record["event"] for record in sink.records] == ["store.down"]


def subscribe_in_vain(client):
    """Subscribe once, until the first pause after a failure."""

    def pause(_seconds):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        next(listen(client.new_connection, ["a"], sleep=pause, budget=SHORT))


@pytest.mark.parametrize("error", [RedisConnectionError, TimeoutError, ConnectionRefusedError])
def test_circuit_after_a_failure_refuses_for_a_second_without_trying(clock, error):
    circuit = StoreCircuit(rest=1.0, clock=clock)
    fail(circuit, error)
    clock.now += 0.99
    tried = []
    with pytest.raises(StoreDownError), circuit.call():
        tried.append(1)
    assert tried == []


def test_circuit_after_its_rest_lets_one_caller_try_again(clock):
    circuit = StoreCircuit(rest=1.0, clock=clock)
    fail(circuit)
    clock.now += 1.01
    with circuit.call(), pytest.raises(StoreDownError):
        circuit.check()  # another caller in the meantime
    circuit.check()
    assert not circuit.down


def test_circuit_after_a_failed_try_rests_again(clock):
    circuit = StoreCircuit(rest=1.0, clock=clock)
    fail(circuit)
    clock.now += 1.01
    fail(circuit)
    clock.now += 0.5
    with pytest.raises(StoreDownError):
        circuit.check()


def test_circuit_after_a_refused_command_stays_closed(clock):
    circuit = StoreCircuit(clock=clock)
    with pytest.raises(ResponseError), circuit.call():
        raise ResponseError("WRONGTYPE")
    circuit.check()


def test_circuit_ignores_jumps_of_the_wall_clock(monkeypatch):
    circuit = StoreCircuit(rest=600)
    fail(circuit)
    monkeypatch.setattr("time.time", lambda: 1e12)
    with pytest.raises(StoreDownError):
        circuit.check()


def test_circuit_nested_calls_share_the_deadline():
    outer, inner = StoreCircuit(budget=50), StoreCircuit(budget=1000)
    assert remaining_time() is None
    with outer.call(), inner.call():
        assert remaining_time() < 51
    assert remaining_time() is None


def test_remaining_when_the_budget_is_used_up_raises():
    with pytest.raises(StoreDownError), StoreCircuit(budget=-1).call():
        remaining_time()


def test_store_client_has_the_time_out_of_the_settings(tmp_path):
    client = StoreClient(site_settings(tmp_path, CHURCH_STORE_TIMEOUT="7")).client
    with client.circuit.call():
        assert 1 < remaining_time() <= 7
