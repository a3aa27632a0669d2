"""Send webhooks to the site: signed, in the order of creation, repeated until the site answers 2xx.

Signature scheme: https://docs.stripe.com/webhooks#verify-manually. Deliveries are stored in the database and survive a
restart. Back-off is in seconds, at Stripe in hours.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import random
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from gevent.pool import Pool

from church.till.desk import Till
from church.till.store import Obj

if TYPE_CHECKING:
    from church.config import Settings

PATH = "/stripe/webhook"
TIMEOUT = 10.0
_MAX_WAIT = 30.0  # seconds between two attempts
_BATCH = 50

Delivery = tuple[int, str, int]  # id, event, attempts


def sign_payload(secret: str, payload: bytes, at: int) -> str:
    """Return the Stripe-Signature header of ``payload``, sent at the time ``at``."""
    mac = hmac.new(secret.encode(), f"{at}.".encode() + payload, hashlib.sha256).hexdigest()
    return f"t={at},v1={mac}"


class Sender:
    """Delivers due webhooks to the site."""

    def __init__(self, till: Till, settings: Settings) -> None:
        self._till = till
        self._secret = settings.webhook_secrets[0]
        self._host = urlsplit(till.site).netloc

    def deliver_due(self) -> int:
        """Try each due delivery once and return their number."""
        with self._till.store.transaction():
            if self._till.store.get_knob("down"):
                return 0
            batch = self._due()
            disorder = bool(self._till.store.get_knob("disorder"))
            copies = 2 if self._till.store.get_knob("duplicates") else 1
        if disorder:
            random.shuffle(batch)
        pool = Pool(8 if disorder else 1)
        for delivery in batch:
            pool.spawn(self._deliver, delivery, copies)
        pool.join()
        return len(batch)

    def _due(self) -> list[Delivery]:
        query = "SELECT id, event, attempts FROM deliveries WHERE state = 'pending' AND due <= ? ORDER BY id LIMIT ?"
        return [(row[0], row[1], row[2]) for row in self._till.store.execute(query, time.time(), _BATCH)]

    def _deliver(self, delivery: Delivery, copies: int) -> None:
        identity, event_id, attempts = delivery
        with self._till.store.transaction():
            event = self._till.get("event", event_id)
        answers = Pool(copies).map(self._post, [event] * copies)
        success = next((answer for answer in answers if answer.startswith("2")), None)
        with self._till.store.transaction():
            if success is None:
                wait = min(2.0**attempts, _MAX_WAIT)
                change = "UPDATE deliveries SET attempts = attempts + 1, due = ?, answer = ? WHERE id = ?"
                self._till.store.execute(change, time.time() + wait, answers[0], identity)
            else:
                change = "UPDATE deliveries SET attempts = attempts + 1, state = 'done', answer = ? WHERE id = ?"
                self._till.store.execute(change, success, identity)
                self._till.change(event, pending_webhooks=0)

    def _post(self, event: Obj) -> str:
        """Return the site's status and the start of its answer, or why there was none."""
        payload = json.dumps(event, indent=2).encode()
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": sign_payload(self._secret, payload, int(time.time())),
            "User-Agent": "Stripe/1.0 (test till)",
        }
        connection = http.client.HTTPConnection(self._host, timeout=TIMEOUT)
        try:
            connection.request("POST", PATH, payload, headers)
            answer = connection.getresponse()
            return f"{answer.status} {answer.read(200).decode(errors='replace')}".strip()
        except (OSError, http.client.HTTPException) as error:
            return f"no answer: {error}"
        finally:
            connection.close()


def resend(till: Till, event: str | None) -> None:
    """Deliver this event again, or retry all pending deliveries now."""
    if event is None:
        till.store.execute("UPDATE deliveries SET due = ? WHERE state = 'pending'", time.time())
    else:
        till.get("event", event, "event")
        till.store.execute("INSERT INTO deliveries (event, due) VALUES (?, ?)", event, time.time())
    till.new_delivery.set()


def list_deliveries(till: Till, limit: int) -> list[Obj]:
    """List the last deliveries, newest first."""
    query = (
        "SELECT event, state, attempts, answer, json_extract(body, '$.type') FROM deliveries "
        "JOIN objects ON objects.id = event ORDER BY deliveries.id DESC LIMIT ?"
    )
    names = ("event", "state", "attempts", "answer", "type")
    return [dict(zip(names, row, strict=True)) for row in till.store.execute(query, limit)]
