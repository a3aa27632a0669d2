"""The till as a process: it delivers every webhook to sites that fail or restart, and handles parallel calls."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import stripe

from tests.support.services_fixture import free_port, wait_until
from tests.support.site_fixture import ROOT
from tests.support.till_fixture import Receiver, TillProcess


@pytest.fixture
def receive() -> Iterator[Callable[..., Receiver]]:
    """Start stand-ins for the site; they are stopped after the test."""
    made: list[Receiver] = []

    def start(**options: Any) -> Receiver:
        made.append(Receiver(**options))
        return made[-1]

    yield start
    for one in made:
        if one.thread.is_alive():
            one.stop()


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[..., TillProcess]]:
    """Start tills; they are stopped after the test."""
    made: list[TillProcess] = []

    def start(bind: str, **extra: str) -> TillProcess:
        made.append(TillProcess(tmp_path, bind, **extra))
        return made[-1].start()

    yield start
    for one in made:
        if one.process.poll() is None:
            one.stop()


def delivered(till: TillProcess) -> bool:
    return bool(till.operate("knobs")["pending"] == 0)


def events(till: TillProcess) -> list[str]:
    return [str(event.id) for event in till.stripe.v1.events.list({"limit": 100}).auto_paging_iter()][::-1]


def test_webhooks_of_a_subscription_are_signed_and_in_order(
    begin: Callable[..., TillProcess], receive: Callable[..., Receiver]
) -> None:
    site = receive()
    till = begin(site.bind)
    subscription = till.subscribe(card="secure")
    till.stripe.v1.subscriptions.update(subscription["id"], {"cancel_at_period_end": True})
    till.operate("clock", to="renewal")
    wait_until(lambda: delivered(till), "all webhooks are delivered")
    assert site.ids == events(till)
    for _, header, body in site.taken:
        stripe.Webhook.construct_event(body, header, till.settings.webhook_secrets[0])
    assert till.stop() == 0
    assert till.console.read_text() == ""


def test_site_may_call_the_api_while_it_handles_a_webhook(
    begin: Callable[..., TillProcess], receive: Callable[..., Receiver]
) -> None:
    found: list[str] = []
    tills: list[TillProcess] = []

    def ask(event: dict[str, Any]) -> None:
        if event["type"] == "customer.subscription.created":
            found.append(tills[0].subscription(event["data"]["object"]["id"])["status"])

    site = receive(seen=ask)
    tills.append(begin(site.bind))
    tills[0].subscribe()
    wait_until(lambda: delivered(tills[0]), "all webhooks are delivered")
    assert found == ["active"]


def test_till_killed_while_the_site_is_down_delivers_all_later(
    begin: Callable[..., TillProcess], receive: Callable[..., Receiver]
) -> None:
    port = free_port()
    till = begin(f"127.0.0.1:{port}")
    till.subscribe()
    wait_until(lambda: "no answer" in till.get("/")[2], "a delivery was tried")
    wanted = events(till)
    till.stop(kill=True)
    site = receive(port=port)
    till.start()
    wait_until(lambda: delivered(till), "all webhooks are delivered", 90)
    assert sorted(site.ids) == sorted(wanted)
    assert events(till) == wanted


def test_webhook_is_repeated_until_the_site_accepts_it(
    begin: Callable[..., TillProcess], receive: Callable[..., Receiver]
) -> None:
    site = receive()
    site.status = 503
    till = begin(site.bind)
    till.stripe.v1.customers.create({})
    wait_until(lambda: site.ids.count(events(till)[-1]) >= 2, "the site was called again", 90)
    assert not delivered(till)
    site.status = 200
    wait_until(lambda: delivered(till), "all webhooks are delivered", 90)


def test_parallel_payments_of_one_checkout_make_one_subscription(
    begin: Callable[..., TillProcess], receive: Callable[..., Receiver]
) -> None:
    till = begin(receive().bind)
    session = till.checkout()["id"]
    answers: list[int] = []

    def pay() -> None:
        answers.append(till.post(f"/checkout/{session}", do="pay", card="good", email="payer@site.example")[0])

    threads = [threading.Thread(target=pay) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [303] + [409] * 49
    assert len(till.stripe.v1.subscriptions.list({"status": "all"}).data) == 1


def test_parallel_calls_with_one_idempotency_key_act_once(
    begin: Callable[..., TillProcess], receive: Callable[..., Receiver]
) -> None:
    till = begin(receive().bind)
    made: list[str] = []

    def create() -> None:
        made.append(till.stripe.v1.customers.create({"name": "Ada"}, {"idempotency_key": "once"}).id)

    threads = [threading.Thread(target=create) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 20
    assert len(set(made)) == 1


def test_second_till_on_the_port_fails_with_a_clear_message(
    begin: Callable[..., TillProcess], receive: Callable[..., Receiver]
) -> None:
    till = begin(receive().bind)
    command = [sys.executable, "-m", "church.till"]
    second = subprocess.run(
        command, cwd=ROOT, env=till.environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert second.returncode == 1
    assert f"cannot listen on {till.address}" in second.stderr
    assert "Traceback" not in second.stderr
