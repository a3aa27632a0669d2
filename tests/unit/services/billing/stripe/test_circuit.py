"""The circuit breaker for Stripe."""

from __future__ import annotations

import pytest

from church.services.billing.errors import StripeDownError
from church.services.billing.stripe.client import StripeCircuit


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def _broken(clock: Clock, failures: int = 3) -> StripeCircuit:
    circuit = StripeCircuit(failures=3, rest=5.0, clock=clock)
    for _ in range(failures):
        circuit.check()
        circuit.failed("refused")
    return circuit


def test_circuit_after_failures_in_a_row_fails_at_once() -> None:
    clock = Clock()
    _broken(clock, failures=2).check()
    circuit = _broken(clock)
    assert circuit.is_open
    with pytest.raises(StripeDownError):
        circuit.check()


def test_circuit_success_resets_the_count_of_failures() -> None:
    circuit = _broken(Clock(), failures=2)
    circuit.succeeded()
    circuit.failed("once more")
    circuit.check()
    assert not circuit.is_open


def test_circuit_after_its_rest_lets_one_caller_try() -> None:
    clock = Clock()
    circuit = _broken(clock)
    clock.now += 5.0
    circuit.check()
    with pytest.raises(StripeDownError):
        circuit.check()
    circuit.succeeded()
    circuit.check()


def test_circuit_after_a_failed_trial_rests_again() -> None:
    clock = Clock()
    circuit = _broken(clock)
    clock.now += 5.0
    circuit.check()
    circuit.failed("still")
    clock.now += 4.9
    with pytest.raises(StripeDownError):
        circuit.check()
