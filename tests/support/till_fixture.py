"""Clients of the test till for tests: the official SDK and the till's forms, in this process or a separate one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import stripe
from flask import Flask

from church.config import Settings, load_settings
from church.till.app import create_till
from church.till.desk import Till
from tests.support.services_fixture import free_port, wait_until
from tests.support.site_fixture import ROOT

KEY = "sk_test_till"
FRIEND, PATRON = "price_friend_month", "price_patron_month"
Answer = tuple[int, dict[str, str], str]


class Receiver:
    """A small server in place of the site: keeps webhooks, answers them with ``status``, and has one page."""

    def __init__(self, port: int = 0, seen: Callable[[dict[str, Any]], None] = lambda _: None) -> None:
        self.taken: list[tuple[str, str, bytes]] = []
        self.status = 200
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.taken.append((self.path, self.headers["Stripe-Signature"], body))
                seen(json.loads(body))
                self._answer(outer.status, b"noted")

            def do_GET(self) -> None:
                self._answer(200, b"<!doctype html><html lang=en><title>Site</title><h1>Back at the site</h1></html>")

            def _answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Log nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.bind = f"127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    @property
    def ids(self) -> list[str]:
        """Ids of the events, in the order of arrival."""
        return [json.loads(body)["id"] for _, _, body in self.taken]

    def stop(self) -> None:
        """Stop the server; connections are refused from now on."""
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


class _InProcess(stripe.HTTPClient):
    """An HTTP client of the SDK that calls a till without a socket."""

    name = "flask"

    def __init__(self, app: Flask) -> None:
        super().__init__()
        self._client = app.test_client()

    def request(self, method: str, url: str, headers: Any, post_data: Any = None) -> Any:
        parts = urllib.parse.urlsplit(url)
        path = f"{parts.path}?{parts.query}"
        answer = self._client.open(path, method=method.upper(), headers=dict(headers or {}), data=post_data)
        return answer.data, answer.status_code, {name.lower(): value for name, value in answer.headers.items()}

    def close(self) -> None:
        """Do nothing: there is no connection."""


class Payer:
    """A customer and the operator of a till."""

    stripe: stripe.StripeClient

    def post(self, path: str, **fields: str) -> Answer:
        """Submit a form; return status, headers by lower-case name, and body."""
        raise NotImplementedError

    def get(self, path: str) -> Answer:
        """Open a page."""
        raise NotImplementedError

    def checkout(self, price: str = FRIEND, **params: Any) -> dict[str, Any]:
        """Create a checkout session."""
        session = self.stripe.v1.checkout.sessions.create(
            {
                "mode": "subscription",
                "line_items": [{"price": price, "quantity": 1}],
                "success_url": "http://site.example/done?session={CHECKOUT_SESSION_ID}",
                "cancel_url": "http://site.example/cancelled",
                **params,
            }
        )
        return session.to_dict(for_json=True)

    def subscribe(self, price: str = FRIEND, card: str = "good", **params: Any) -> dict[str, Any]:
        """Pay at the checkout page and return the subscription."""
        session = self.checkout(price, **params)
        status, headers, body = self.post(f"/checkout/{session['id']}", do="pay", card=card, email="payer@site.example")
        if "/authenticate" in headers.get("location", ""):
            status, headers, body = self.post(headers["location"], do="approve", card=card, email="payer@site.example")
        assert status == 303, body
        paid = self.stripe.v1.checkout.sessions.retrieve(session["id"])
        return self.subscription(str(paid.subscription))

    def subscription(self, identity: str) -> dict[str, Any]:
        """Fetch a subscription."""
        return self.stripe.v1.subscriptions.retrieve(identity).to_dict(for_json=True)

    def latest_invoice(self, identity: str) -> dict[str, Any]:
        """Fetch the newest invoice of a subscription, with its payments."""
        expand: Any = ["latest_invoice.payments"]
        found = self.stripe.v1.subscriptions.retrieve(identity, {"expand": expand})
        return found.to_dict(for_json=True)["latest_invoice"]

    def charge(self, invoice: dict[str, Any]) -> dict[str, Any]:
        """Fetch the charge of an invoice."""
        intent = self.stripe.v1.payment_intents.retrieve(invoice["payments"]["data"][0]["payment"]["payment_intent"])
        return self.stripe.v1.charges.retrieve(str(intent.latest_charge)).to_dict(for_json=True)

    def operate(self, rule: str, **fields: str) -> dict[str, Any]:
        """Submit a form of the operator's page and return the new state of the till."""
        status, _, body = self.post(f"/operator/{rule}", **fields)
        assert status == 200, body
        state: dict[str, Any] = json.loads(body)
        return state

    def events(self) -> list[str]:
        """List the types of all events, oldest first."""
        found = self.stripe.v1.events.list({"limit": 100}).auto_paging_iter()
        return [str(event.type) for event in found][::-1]


class InProcessTill(Payer):
    """A till without a socket: it sends no webhooks."""

    def __init__(self, settings: Settings) -> None:
        self.app = create_till(settings)
        self.desk: Till = self.app.extensions["till"]
        self.stripe = stripe.StripeClient(KEY, http_client=_InProcess(self.app), max_network_retries=0)

    def post(self, path: str, **fields: str) -> Answer:
        return self._open("POST", path, fields)

    def get(self, path: str) -> Answer:
        return self._open("GET", path, None)

    def _open(self, method: str, path: str, fields: dict[str, str] | None) -> Answer:
        accept = {"Accept": "application/json"} if path.startswith("/operator/") else {}
        answer = self.app.test_client().open(path, method=method, data=fields, headers=accept)
        return answer.status_code, {name.lower(): value for name, value in answer.headers.items()}, answer.text


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


class TillProcess(Payer):
    """``python -m church.till`` for a site at ``bind``; ``extra`` are environment variables."""

    def __init__(self, folder: Path, bind: str, **extra: str) -> None:
        self.address = extra.get("CHURCH_TILL_BIND") or f"127.0.0.1:{free_port()}"
        self.url = f"http://{self.address}"
        own = {
            "CHURCH_ENV_FILE": "",
            "CHURCH_BIND": bind,
            "CHURCH_TILL_BIND": self.address,
            "CHURCH_INSTANCE": str(folder / "instance"),
        }
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("CHURCH_", "STRIPE_"))}
        self.environment = {**clean, **own, **extra}
        self.console = folder / "till.txt"
        self.settings = load_settings(**{**own, **extra})
        self.stripe = stripe.StripeClient(KEY, base_addresses={"api": self.url}, max_network_retries=0)
        self._opener = urllib.request.build_opener(_NoRedirects)

    def start(self) -> TillProcess:
        """Start the process and wait until it answers."""
        command = [sys.executable, "-m", "church.till"]
        with self.console.open("ab") as console:
            self.process = subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=console, stderr=console)
        wait_until(self._answers, f"the till answers (see {self.console})", 90)
        return self

    def _answers(self) -> bool:
        if self.process.poll() is not None:
            pytest.fail(f"the till ended: {self.console.read_text()[-2000:]}")
        with suppress(OSError):
            return self.get("/operator/state")[0] == 200
        return False

    def stop(self, kill: bool = False) -> int:
        """Stop the process and return its exit code."""
        self.process.kill() if kill else self.process.terminate()
        return self.process.wait(60)

    def post(self, path: str, **fields: str) -> Answer:
        return self._open(path, urllib.parse.urlencode(fields).encode())

    def get(self, path: str) -> Answer:
        return self._open(path, None)

    def _open(self, path: str, data: bytes | None) -> Answer:
        request = urllib.request.Request(self.url + path, data, {"Accept": "application/json"})
        try:
            with self._opener.open(request, timeout=60) as answer:
                return answer.status, {n.lower(): v for n, v in answer.headers.items()}, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, {n.lower(): v for n, v in error.headers.items()}, error.read().decode()
