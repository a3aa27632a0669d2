"""The one door to Stripe: the official SDK with our bounds on time, plain dicts out, two kinds of errors.

The API's version is the SDK's own, so both change together when the pinned package does.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextvars import ContextVar
from functools import reduce
from typing import Any, Protocol

import requests
import stripe
from flask import current_app
from requests.adapters import HTTPAdapter

from church import telemetry
from church.config import settings
from church.services.billing_circuit import Circuit
from church.services.billing_errors import StripeDownError, StripeRefusedError

Obj = dict[str, Any]

BUDGET = 5.0  # seconds for one call, its repetition included
_CONNECT = 1.5
_POOL = 20  # connections kept open by a worker

_deadline: ContextVar[float] = ContextVar("church_stripe_deadline")


class Gateway(Protocol):
    """What the services know of Stripe; the tests have one of their own."""

    def call(self, method: str, *ids: str, key: str | None = None, **params: Any) -> Obj:
        """Call ``method`` of the SDK, such as ``checkout.sessions.create``; ``key`` makes a repetition harmless.

        Raises StripeDownError and StripeRefusedError.
        """
        ...


class _Session(requests.Session):
    """One pool of connections for all greenlets, each request bounded by what is left of its call's time."""

    def __init__(self) -> None:
        super().__init__()
        for scheme in ("https://", "http://"):
            self.mount(scheme, HTTPAdapter(pool_connections=2, pool_maxsize=_POOL))

    def request(self, *args: Any, **kwargs: Any) -> Any:
        left = _deadline.get() - time.monotonic()
        if left <= 0:
            raise requests.exceptions.Timeout("the call's time is used up")
        kwargs["timeout"] = (min(_CONNECT, left), left)
        return super().request(*args, **kwargs)


class StripeGateway:
    """Stripe by its SDK, at ``base`` or at Stripe's own address."""

    def __init__(self, api_key: str, base: str | None = None, circuit: Circuit | None = None) -> None:
        self._circuit = circuit or Circuit()
        self._client = stripe.StripeClient(
            api_key,
            max_network_retries=1,
            http_client=stripe.RequestsClient(session=_Session()),
            base_addresses={"api": base} if base else None,
        )

    def call(self, method: str, *ids: str, key: str | None = None, **params: Any) -> Obj:
        """See ``Gateway``."""
        self._circuit.check()
        token = _deadline.set(time.monotonic() + BUDGET)
        try:
            with telemetry.outbound("stripe"):
                answer = _translated(reduce(getattr, method.split("."), self._client.v1), ids, key, params)
        except (StripeDownError, TimeoutError) as error:
            self._circuit.failed(str(error.__cause__ or error)[:200])
            raise StripeDownError from error.__cause__
        except StripeRefusedError:
            self._circuit.succeeded()
            raise
        finally:
            _deadline.reset(token)
        self._circuit.succeeded()
        return answer


def _translated(function: Any, ids: tuple[str, ...], key: str | None, params: Obj) -> Obj:
    """Make the call; its errors in our words. TimeoutError is one that ``telemetry.outbound`` tells apart."""
    try:
        answer: Obj = function(*ids, params, {"idempotency_key": key} if key else {}).to_dict(for_json=True)
    except (stripe.APIConnectionError, stripe.RateLimitError) as error:
        if isinstance(error.__context__, requests.exceptions.Timeout):
            raise TimeoutError from error
        raise StripeDownError from error
    except stripe.StripeError as error:
        if error.http_status is None or error.http_status >= 500:
            raise StripeDownError from error
        param = getattr(error, "param", None)
        raise StripeRefusedError(error.code or type(error).__name__, param, error.http_status) from error
    return answer


def gateway() -> Gateway:
    """The Stripe of the app in whose context this is called; connected at the first call, after any fork."""
    found: Gateway | None = current_app.extensions.get("stripe")
    if found is None:
        made = StripeGateway(settings().stripe_key, settings().stripe_base)
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
