"""The store's circuit breaker, on a clock that the test controls."""

from __future__ import annotations

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from church.store import StoreClient
from church.store.client import StoreCircuit, StoreDownError, remaining_time
from tests.support.services_fixture import site_settings


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def fail(circuit, error=RedisConnectionError):
    with pytest.raises(StoreDownError), circuit.call():
        raise error("gone")


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
