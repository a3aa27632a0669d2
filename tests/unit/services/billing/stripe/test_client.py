"""Calls to Stripe: the real SDK against a server of the test, and the circuit breaker."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import stripe
from flask import Flask

from church.observability.metrics import definitions
from church.services.billing.errors import PaymentsOffError, StripeDownError, StripeRefusedError
from church.services.billing.stripe import client
from church.services.billing.stripe.client import StripeCircuit, StripeGateway, gateway, list_all
from tests.support.clock import Clock
from tests.support.helpers import with_settings
from tests.support.services_fixture import free_port

Answer = tuple[int, dict[str, Any] | bytes]
MISSING = (404, {"error": {"type": "invalid_request_error", "code": "resource_missing", "param": "id"}})


class Server(ThreadingHTTPServer):
    """Answers each request by ``script``, and keeps the requests."""

    daemon_threads = True

    def __init__(self, script: Callable[[str, dict[str, list[str]]], Answer]) -> None:
        self.script = script
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.requests.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}))
        query = parse_qs(urlsplit(self.path).query or raw.decode())
        status, answer = self.server.script(urlsplit(self.path).path, query)
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 - http.server names it so

    def log_message(self, *_args: object) -> None:
        pass


@contextmanager
def serving(script: Callable[[str, dict[str, list[str]]], Answer]) -> Iterator[Server]:
    server = Server(script)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stripe.HTTPClient, "INITIAL_DELAY", 0.0)


def _count(outcome: str) -> float:
    child = definitions.outbound_request_duration.labels("stripe", outcome)
    return sum(bucket.get() for bucket in child._buckets)


def test_call_returns_a_plain_dict_in_the_pinned_version() -> None:
    price = {"id": "price_1", "object": "price", "unit_amount_decimal": "800", "product": {"object": "product"}}
    with serving(lambda *_: (200, price)) as server:
        before = _count("success")
        found = StripeGateway("sk_test_1", server.base).call("prices.retrieve", "price_1", expand=["product"])
    assert found == price
    assert isinstance(found["product"], dict)
    method, path, headers = server.requests[0]
    assert (method, path) == ("GET", "/v1/prices/price_1?expand%5B0%5D=product")
    assert headers["stripe-version"] == stripe.api_version == "2026-10-28.endive"
    assert headers["authorization"] == "Bearer sk_test_1"
    assert _count("success") == before + 1


def test_sdk_is_loaded_without_the_http_clients_of_others() -> None:
    script = (
        "import sys; from church.services import billing; billing.load_sdk(); "
        "print(*(name in sys.modules for name in ('stripe', 'requests', 'httpx', 'urllib3'))); import requests"
    )
    root = Path(__file__).resolve().parents[5]
    done = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True, env={})
    assert done.stdout == "True False False False\n"


def test_call_with_a_key_sends_it() -> None:
    with serving(lambda *_: (200, {"id": "cs_1", "object": "checkout.session"})) as server:
        StripeGateway("sk", server.base).call("checkout.sessions.create", key="church-1", mode="subscription")
    assert server.requests[0][0] == "POST"
    assert server.requests[0][2]["idempotency-key"] == "church-1"


def test_call_for_a_missing_object_is_refused_as_missing() -> None:
    with serving(lambda *_: MISSING) as server, pytest.raises(StripeRefusedError) as refused:
        StripeGateway("sk", server.base).call("subscriptions.retrieve", "sub_1")
    assert refused.value.is_missing
    assert refused.value.reason == "Stripe refused: resource_missing (id)"


def test_refusal_keeps_the_code_and_drops_the_message() -> None:
    error = {"type": "card_error", "code": "card_declined", "message": "ann@example.org has no money"}
    before = _count("refused"), _count("failed")
    with serving(lambda *_: (402, {"error": error})) as server, pytest.raises(StripeRefusedError) as refused:
        StripeGateway("sk", server.base).call("subscriptions.update", "sub_1")
    assert (_count("refused"), _count("failed")) == (before[0] + 1, before[1])
    assert not refused.value.is_missing
    assert "ann" not in str(refused.value) + refused.value.reason
    assert refused.value.status == 502


@pytest.mark.parametrize("status", [401, 403])
def test_rejected_key_counts_as_a_failure(status: int) -> None:
    before = _count("refused"), _count("failed")
    error = {"error": {"type": "invalid_request_error"}}
    with serving(lambda *_: (status, error)) as server, pytest.raises(StripeRefusedError):
        StripeGateway("sk", server.base).call("customers.retrieve", "cus_1")
    assert (_count("refused"), _count("failed")) == (before[0], before[1] + 1)


@pytest.mark.parametrize("status", [500, 503, 429])
def test_call_failing_at_stripe_is_down_after_one_retry(status: int) -> None:
    with serving(lambda *_: (status, {"error": {"type": "api_error"}})) as server:
        with pytest.raises(StripeDownError):
            StripeGateway("sk", server.base).call("customers.retrieve", "cus_1")
        assert len(server.requests) == (1 if status == 429 else 2)


def test_call_failing_once_is_retried_with_the_same_key() -> None:
    answers = iter([(500, {"error": {}}), (200, {"id": "cus_1", "object": "customer"})])
    with serving(lambda *_: next(answers)) as server:
        assert StripeGateway("sk", server.base).call("customers.create")["id"] == "cus_1"
    first, second = (headers["idempotency-key"] for _, _, headers in server.requests)
    assert first == second


@pytest.mark.parametrize("body", [b"", b"<html>Please sign in to the network", b"HTTP"])
def test_answer_that_is_not_from_stripe_counts_as_down(body: bytes) -> None:
    with serving(lambda *_: (200, body)) as server, pytest.raises(StripeDownError):
        StripeGateway("sk", server.base).call("customers.retrieve", "cus_1")


def test_call_to_a_closed_port_is_down() -> None:
    with pytest.raises(StripeDownError):
        StripeGateway("sk", f"http://127.0.0.1:{free_port()}").call("customers.retrieve", "cus_1")


def test_call_without_answer_ends_in_time_and_counts_as_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "BUDGET", 0.3)
    ended = threading.Event()

    def slow(*_: object) -> Answer:
        ended.wait(20)
        return 200, {}

    before = _count("timeout")
    with serving(slow) as server:
        started = time.monotonic()
        with pytest.raises(StripeDownError):
            StripeGateway("sk", server.base).call("customers.retrieve", "cus_1")
        assert time.monotonic() - started < 15  # the server would have taken 20
        ended.set()
    assert _count("timeout") == before + 1


def test_call_failing_with_little_time_left_is_not_retried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client, "_REPEATABLE", client.BUDGET)
    with serving(lambda *_: (500, {"error": {"type": "api_error"}})) as server:
        with pytest.raises(StripeDownError):
            StripeGateway("sk", server.base).call("customers.retrieve", "cus_1")
        assert len(server.requests) == 1


def test_read_escapes_the_id_in_the_path() -> None:
    with serving(lambda *_: MISSING) as server, pytest.raises(StripeRefusedError):
        StripeGateway("sk", server.base).call("checkout.sessions.retrieve", "cs_1/../x?y")
    assert server.requests[0][1] == "/v1/checkout/sessions/cs_1%2F..%2Fx%3Fy"


def test_calls_with_an_open_circuit_are_not_made() -> None:
    with serving(lambda *_: (503, {"error": {}})) as server:
        stripe_ = StripeGateway("sk", server.base, StripeCircuit(failures=2, rest=60))
        for _ in range(5):
            with pytest.raises(StripeDownError):
                stripe_.call("customers.retrieve", "cus_1")
        assert len(server.requests) == 4  # two calls, each with its retry


def test_refused_calls_keep_the_circuit_closed() -> None:
    with serving(lambda *_: MISSING) as server:
        stripe_ = StripeGateway("sk", server.base, StripeCircuit(failures=2, rest=60))
        for _ in range(5):
            with pytest.raises(StripeRefusedError):
                stripe_.call("customers.retrieve", "cus_1")
        assert len(server.requests) == 5


def test_every_reads_page_after_page() -> None:
    def pages(_path: str, query: dict[str, list[str]]) -> Answer:
        start = int(query.get("starting_after", ["p_0"])[0].removeprefix("p_"))
        data = [{"id": f"p_{n}", "object": "price"} for n in range(start + 1, min(start + 3, 6))]
        return 200, {"object": "list", "data": data, "has_more": start + 2 < 5, "url": "/v1/prices"}

    with serving(pages) as server:
        found = [one["id"] for one in list_all(StripeGateway("sk", server.base), "prices.list", active=True)]
    assert found == ["p_1", "p_2", "p_3", "p_4", "p_5"]
    assert all("limit=100" in path and "active=true" in path for _, path, _ in server.requests)


def test_gateway_is_created_once_per_app_and_can_be_replaced(app: Flask) -> None:
    with app.app_context():
        assert gateway() is gateway()
        app.extensions["stripe"] = given = StripeGateway("sk")
        assert gateway() is given


def test_gateway_without_payments_is_refused(app: Flask) -> None:
    app.config["CHURCH"] = with_settings(app.config["CHURCH"], environment="production")
    with app.app_context(), pytest.raises(PaymentsOffError):
        gateway()


# -- circuit breaker --------------------------------------------------------------------------------------------------


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
