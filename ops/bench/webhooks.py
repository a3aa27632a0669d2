"""Benchmark webhooks: response times when Stripe delivers a hundred events at once."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import sys
import threading
import time
import urllib.parse
import urllib.request
from typing import Any

from church import create_app
from church.extensions import db
from church.models import User
from church.models.base import utc_now
from ops.bench.client import percentile
from ops.bench.server import UNLIMITED, Instance, Server, free_port, serving

_MEMBERS = 10
_AT_ONCE = 100


def measure() -> float:
    """Return the p99 in seconds of 100 parallel deliveries, ten for each of ten members, to two workers."""
    till_bind = f"127.0.0.1:{free_port()}"
    with serving(workers=2, CHURCH_LIMIT_WEBHOOK=UNLIMITED, CHURCH_TILL_BIND=till_bind) as server:
        start_till(server)
        subscriptions = [subscribe(server, ref) for ref in add_members(server, _MEMBERS)]
        events = [_event(subscriptions[number % _MEMBERS]) for number in range(_AT_ONCE)]
        latencies = _deliver_at_once(server, events)
    slow = percentile(latencies, 0.99)
    print(f"  {_AT_ONCE} webhooks at once: p50 {percentile(latencies, 0.5) * 1e3:.0f} ms, p99 {slow * 1e3:.0f} ms")
    return slow


def start_till(site: Instance) -> None:
    """Start the test till of this instance. Raises TimeoutError if it does not answer."""
    site.start(sys.executable, "-m", "church.till")
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            ask_till(site, "/v1/products")
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError("the till did not start")


def add_members(site: Instance, number: int) -> list[str]:
    """Add accounts and return their refs."""
    app = create_app(site.settings)
    refs = [secrets.token_hex(8) for _ in range(number)]
    with app.app_context():
        with db.write() as session:
            session.add_all(User(ref=ref, name="Ada", source="cli", created_at=utc_now()) for ref in refs)
        db.dispose()
    return refs


def subscribe(site: Instance, ref: str) -> dict[str, Any]:
    """Pay for a member at the till; return the subscription."""
    session = ask_till(
        site, "/v1/checkout/sessions",
        **{"mode": "subscription", "line_items[0][price]": "price_friend_month", "line_items[0][quantity]": "1",
           "success_url": site.settings.origin, "cancel_url": site.settings.origin, "client_reference_id": ref,
           "subscription_data[metadata][church_user]": ref},
    )  # fmt: skip
    ask_till(site, f"/checkout/{session['id']}", do="pay", card="good", email="payer@church.example")
    paid = ask_till(site, f"/v1/checkout/sessions/{session['id']}")
    return ask_till(site, f"/v1/subscriptions/{paid['subscription']}")


def ask_till(site: Instance, path: str, **fields: str) -> Any:
    """Call the till's API and return its JSON, or None for other content; ``fields`` are sent as a form."""
    data = urllib.parse.urlencode(fields).encode() if fields else None
    headers = {"Authorization": f"Bearer {site.settings.stripe_key}", "Accept": "application/json"}
    request = urllib.request.Request(f"http://{site.settings.till_address}{path}", data, headers)
    with _opener.open(request, timeout=30) as response:
        body = response.read()
    return json.loads(body) if body.startswith(b"{") else None


class _NoRedirects(urllib.request.HTTPErrorProcessor):
    """Return redirects as they are instead of following them."""

    def http_response(self, _request: Any, response: Any) -> Any:
        return response

    https_response = http_response


_opener = urllib.request.build_opener(_NoRedirects)


def _event(subscription: dict[str, Any]) -> bytes:
    facts = {"id": f"evt_{secrets.token_hex(12)}", "object": "event", "type": "customer.subscription.updated"}
    return json.dumps(
        {**facts, "created": int(time.time()), "livemode": False, "data": {"object": subscription}}
    ).encode()


def _deliver_at_once(server: Server, events: list[bytes]) -> list[float]:
    latencies: list[float] = []
    statuses: list[int] = []
    barrier = threading.Barrier(len(events))

    def deliver(body: bytes) -> None:
        request = signed(server, body)
        barrier.wait(30)
        started = time.perf_counter()
        with _opener.open(request, timeout=60) as response:
            response.read()
            statuses.append(response.status)
        latencies.append(time.perf_counter() - started)

    threads = [threading.Thread(target=deliver, args=(body,)) for body in events]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if statuses != [200] * len(events):
        raise RuntimeError(f"webhooks returned {sorted(set(statuses))}")
    return latencies


def signed(site: Instance, body: bytes) -> urllib.request.Request:
    """Build the request that delivers an event, signed like Stripe's."""
    now = str(int(time.time()))
    secret = site.settings.webhook_secrets[0].encode()
    signature = hmac.new(secret, f"{now}.".encode() + body, hashlib.sha256).hexdigest()
    headers = {"Stripe-Signature": f"t={now},v1={signature}", "Content-Type": "application/json"}
    return urllib.request.Request(f"http://127.0.0.1:{site.port}/stripe/webhook", body, headers)
