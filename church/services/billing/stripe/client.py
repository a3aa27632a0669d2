"""The one door to Stripe: the official SDK with our bounds on time, plain dicts out, two kinds of errors.

The API's version is the SDK's own, so both change together when the pinned package does.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from functools import reduce
from http.client import HTTPException
from ssl import SSLError
from typing import Any, Protocol
from urllib.parse import quote

import stripe
from flask import current_app

from church import telemetry
from church.config import current_settings
from church.services.billing.errors import PaymentsOffError, StripeDownError, StripeRefusedError
from church.services.billing.stripe.transport import Transport, deadline, remaining

log = logging.getLogger("church.stripe")

Obj = dict[str, Any]

_OUR_KEY = frozenset({401, 403})
BUDGET = 5.0  # seconds for one call, its repetition included
_REPEATABLE = 1.0  # seconds that must be left for a repetition, before which the SDK pauses for half of one


class Gateway(Protocol):
    """What the services know of Stripe; the tests have one of their own."""

    def call(self, method: str, *ids: str, key: str | None = None, **params: Any) -> Obj:
        """Call ``method`` of the SDK, such as ``checkout.sessions.create``; ``key`` makes a repetition harmless.

        Raises StripeDownError and StripeRefusedError.
        """
        ...


class _Client(stripe.HTTPClient):
    """The SDK's way to the network: ours, bounded by what is left of the call's time."""

    name = "church"

    def __init__(self) -> None:
        super().__init__()
        self._transport = Transport(stripe.ca_bundle_path)

    def request(
        self, method: str, url: str, headers: Mapping[str, str] | None, post_data: Any = None, **_: Any
    ) -> tuple[Any, int, Any]:
        """Send one request; what fails is repeated by the SDK, if it may be and while there is time."""
        body = post_data.encode() if isinstance(post_data, str) else post_data or b""
        try:
            content, status, found = self._transport.send(method, url, headers or {}, body)
            left = remaining()
        except (OSError, HTTPException) as error:
            again = not isinstance(error, (TimeoutError, SSLError))
            raise stripe.APIConnectionError(  # type: ignore[no-untyped-call]
                f"{type(error).__name__}: {error}", should_retry=again
            ) from error
        if left < _REPEATABLE:
            del found["Stripe-Should-Retry"]
            found["Stripe-Should-Retry"] = "false"
        return content, status, found


class StripeGateway:
    """Stripe by its SDK, at ``base`` or at Stripe's own address."""

    def __init__(self, api_key: str, base: str | None = None, circuit: Circuit | None = None) -> None:
        self._circuit = circuit or Circuit()
        self._client = stripe.StripeClient(
            api_key,
            max_network_retries=1,
            http_client=_Client(),
            base_addresses={"api": base} if base else None,
        )

    def call(self, method: str, *ids: str, key: str | None = None, **params: Any) -> Obj:
        """See ``Gateway``."""
        self._circuit.check()
        try:
            with telemetry.outbound("stripe", _is_refusal), deadline(BUDGET):
                answer = _translated(self._client, method, ids, key, params)
        except (StripeDownError, TimeoutError) as error:
            self._circuit.failed(str(error.__cause__ or error)[:200])
            raise StripeDownError from error.__cause__
        except StripeRefusedError:
            self._circuit.succeeded()
            raise
        self._circuit.succeeded()
        return answer


def _translated(client: stripe.StripeClient, method: str, ids: tuple[str, ...], key: str | None, params: Obj) -> Obj:
    """Make the call; its errors in our words. TimeoutError is one that ``telemetry.outbound`` tells apart."""
    try:
        if method.endswith((".retrieve", ".list")):
            return _read(client, method, ids, params)
        function: Any = reduce(getattr, method.split("."), client.v1)
        answer: Obj = function(*ids, params, {"idempotency_key": key} if key else {}).to_dict(for_json=True)
    except (stripe.APIConnectionError, stripe.RateLimitError) as error:
        if isinstance(error.__cause__, TimeoutError):
            raise TimeoutError from error
        raise StripeDownError from error
    except stripe.StripeError as error:
        if error.http_status is None or not 400 <= error.http_status < 500:
            raise StripeDownError from error  # a 200 that is no JSON is somebody's on the way
        param = getattr(error, "param", None)
        raise StripeRefusedError(error.code or type(error).__name__, param, error.http_status) from error
    return answer


def _is_refusal(error: Exception) -> bool:
    """A card without money, a customer who is gone: Stripe works. A key that it does not take is trouble of ours."""
    return isinstance(error, StripeRefusedError) and error.http_status not in _OUR_KEY


def _read(client: stripe.StripeClient, method: str, ids: tuple[str, ...], params: Obj) -> Obj:
    """One object or a page of them, as the JSON that came: the SDK's classes for it would take most of the time."""
    service = method.rpartition(".")[0].replace(".", "/")
    path = "/".join(["/v1", service, *(quote(one, safe="") for one in ids)])
    answer: Obj = client.raw_request("get", path, **params).data
    return answer


def gateway() -> Gateway:
    """The Stripe of the app in whose context this is called; connected at the first call, after any fork.

    Raises PaymentsOffError where there is none: the test till's key is not for Stripe's ears.
    """
    found: Gateway | None = current_app.extensions.get("stripe")
    if found is None:
        if not current_settings().payments:
            raise PaymentsOffError
        made = StripeGateway(current_settings().stripe_key, current_settings().stripe_base)
        found = current_app.extensions.setdefault("stripe", made)
    return found


def every(stripe_: Gateway, method: str, **params: Any) -> Iterator[Obj]:
    """Each object of a list call, however many pages of a hundred that takes."""
    after: Obj = {}
    while True:
        page = stripe_.call(method, **{"limit": 100, **params, **after})
        yield from page["data"]
        if not page.get("has_more") or not page["data"]:
            return
        after = {"starting_after": page["data"][-1]["id"]}


FAILURES = 3  # in a row: one slow answer is no outage
REST = 5.0  # seconds


class Circuit:
    """Counts failures of one process. When the rest is over one caller tries, and the others go on failing at once."""

    def __init__(
        self, failures: int = FAILURES, rest: float = REST, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = failures
        self._rest = rest
        self._clock = clock
        self._failures = 0
        self._open_until = 0.0

    @property
    def is_open(self) -> bool:
        """Whether calls fail without being made, but for the one that tries."""
        return self._failures >= self._most

    def check(self) -> None:
        """Raise StripeDownError if a call now would be in vain."""
        if not self.is_open:
            return
        now = self._clock()
        if now < self._open_until:
            raise StripeDownError
        self._open_until = now + self._rest  # this caller tries, the others need not wait

    def succeeded(self) -> None:
        """Stripe answered, whatever it said."""
        if self.is_open:
            log.info("Stripe answers again", extra={"event": "stripe.up"})
        self._failures = 0

    def failed(self, reason: str) -> None:
        """It did not."""
        self._failures += 1
        self._open_until = self._clock() + self._rest
        if self._failures == self._most:
            log.warning("Stripe does not answer", extra={"event": "stripe.down", "reason": reason})
