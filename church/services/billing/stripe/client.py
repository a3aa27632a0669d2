"""Call Stripe through its SDK, within a time limit: returns plain dicts, raises two kinds of errors.

The API's version is the SDK's own, so both change together with the pinned package. It is imported by the first
gateway of a process, or before the fork on a site that takes payments.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from functools import reduce
from http.client import HTTPException
from ssl import SSLError
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from church import telemetry
from church.config import current_settings
from church.lib.app_context import app_state
from church.lib.imports import hidden_modules
from church.services.billing.errors import PaymentsOffError, StripeDownError, StripeRefusedError
from church.services.billing.stripe.transport import Transport, deadline, remaining

if TYPE_CHECKING:
    import stripe

log = logging.getLogger("church.stripe")

StripeObject = dict[str, Any]

_UNUSED_CLIENTS = ("requests", "pycurl", "httpx", "aiohttp")

_BAD_KEY = frozenset({401, 403})
BUDGET = 5.0  # seconds for one call, including its retry
_REPEATABLE = 1.0  # seconds that must be left for a retry; the SDK pauses for half a second before it


class Gateway(Protocol):
    """Calls Stripe; tests have an implementation of their own."""

    def call(self, method: str, *ids: str, key: str | None = None, **params: Any) -> StripeObject:
        """Call ``method`` of the SDK, such as ``checkout.sessions.create``; ``key`` is an idempotency key.

        Raises StripeDownError and StripeRefusedError.
        """
        ...


def load_sdk() -> None:
    """Import the SDK without the HTTP clients that it looks for: ours is another, and they are most of its memory."""
    with hidden_modules(*_UNUSED_CLIENTS):
        from stripe import StripeClient  # noqa: F401, PLC0415 - see above; the SDK loads its parts by their names


def _make_http_client() -> stripe.HTTPClient:
    """Make the SDK's HTTP client, over a transport that keeps to the call's deadline."""
    import stripe  # noqa: PLC0415 - see above

    class Client(stripe.HTTPClient):
        name = "church"

        def __init__(self) -> None:
            super().__init__()
            self._transport = Transport(stripe.ca_bundle_path)

        def request(
            self, method: str, url: str, headers: Mapping[str, str] | None, post_data: Any = None, **_: Any
        ) -> tuple[Any, int, Any]:
            """Send one request; the SDK retries a failed one if it may and while there is time."""
            body = post_data.encode() if isinstance(post_data, str) else post_data or b""
            try:
                content, status, answered = self._transport.send(method, url, headers or {}, body)
                left = remaining()
            except (OSError, HTTPException) as error:
                retry = not isinstance(error, (TimeoutError, SSLError))
                raise stripe.APIConnectionError(  # type: ignore[no-untyped-call]
                    f"{type(error).__name__}: {error}", should_retry=retry
                ) from error
            if left < _REPEATABLE:
                del answered["Stripe-Should-Retry"]
                answered["Stripe-Should-Retry"] = "false"
            return content, status, answered

    return Client()


class StripeGateway:
    """Calls Stripe with its SDK, at ``base`` or Stripe's own address."""

    def __init__(self, api_key: str, base: str | None = None, circuit: StripeCircuit | None = None) -> None:
        load_sdk()
        import stripe  # noqa: PLC0415 - see above

        self._circuit = circuit or StripeCircuit()
        self._client = stripe.StripeClient(
            api_key,
            max_network_retries=1,
            http_client=_make_http_client(),
            base_addresses={"api": base} if base else None,
        )

    def call(self, method: str, *ids: str, key: str | None = None, **params: Any) -> StripeObject:
        """See ``Gateway``."""
        self._circuit.check()
        try:
            outbound = telemetry.time_outbound("stripe", _is_refusal, verb=_verb_of(method), call=method)
            with outbound, deadline(BUDGET):
                answer = _call(self._client, method, ids, key, params)
        except (StripeDownError, TimeoutError) as error:
            self._circuit.failed(str(error.__cause__ or error)[:200])
            raise StripeDownError from error.__cause__
        except StripeRefusedError:
            self._circuit.succeeded()
            raise
        self._circuit.succeeded()
        return answer


def _call(
    client: stripe.StripeClient, method: str, ids: tuple[str, ...], key: str | None, params: StripeObject
) -> StripeObject:
    """Make the call, and convert its errors; ``time_outbound`` counts TimeoutError apart from others."""
    import stripe  # noqa: PLC0415 - see above

    try:
        if _verb_of(method) == "GET":
            return _read(client, method, ids, params)
        function: Any = reduce(getattr, method.split("."), client.v1)
        answer: StripeObject = function(*ids, params, {"idempotency_key": key} if key else {}).to_dict(for_json=True)
    except (stripe.APIConnectionError, stripe.RateLimitError) as error:
        if isinstance(error.__cause__, TimeoutError):
            raise TimeoutError from error
        raise StripeDownError from error
    except stripe.StripeError as error:
        if error.http_status is None or not 400 <= error.http_status < 500:
            raise StripeDownError from error  # a 200 without JSON comes from a proxy on the way
        param = getattr(error, "param", None)
        raise StripeRefusedError(error.code or type(error).__name__, param, error.http_status) from error
    return answer


def _verb_of(method: str) -> str:
    """The HTTP method of a call; Stripe changes things by POST."""
    return "GET" if method.endswith((".retrieve", ".list")) else "POST"


def _is_refusal(error: Exception) -> bool:
    """Whether Stripe works and refused, for example, a card; a rejected key counts as a failure."""
    return isinstance(error, StripeRefusedError) and error.http_status not in _BAD_KEY


def _read(client: stripe.StripeClient, method: str, ids: tuple[str, ...], params: StripeObject) -> StripeObject:
    """Read one object or a page of a list as plain JSON: the SDK's classes would take most of the time."""
    service = method.rpartition(".")[0].replace(".", "/")
    path = "/".join(["/v1", service, *(quote(stripe_id, safe="") for stripe_id in ids)])
    answer: StripeObject = client.raw_request("get", path, **params).data
    return answer


def gateway() -> Gateway:
    """Return the current app's gateway; it connects at the first call, after any fork.

    Raises PaymentsOffError on a site that takes no payments.
    """
    found: Gateway | None = app_state().get("stripe")
    if found is None:
        if not current_settings().payments:
            raise PaymentsOffError
        made = StripeGateway(current_settings().stripe_key, current_settings().stripe_base)
        found = app_state().setdefault("stripe", made)
    return found


def list_all(stripe_: Gateway, method: str, **params: Any) -> Iterator[StripeObject]:
    """Yield each object of a list call."""
    for page in list_pages(stripe_, method, **params):
        yield from page


def list_pages(stripe_: Gateway, method: str, **params: Any) -> Iterator[list[StripeObject]]:
    """Yield the objects of a list call in pages of a hundred."""
    after: StripeObject = {}
    while True:
        page = stripe_.call(method, **{"limit": 100, **params, **after})
        yield page["data"]
        if not page.get("has_more") or not page["data"]:
            return
        after = {"starting_after": page["data"][-1]["id"]}


# -- circuit breaker --------------------------------------------------------------------------------------------------

FAILURES = 3  # in a row: one slow answer is no outage
REST = 5.0  # seconds


class StripeCircuit:
    """A circuit breaker for one process: after failures in a row, calls fail at once for ``rest`` seconds.

    Then one caller tries, and the others go on failing at once until it succeeds.
    """

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
        """Whether calls fail without being made, except for one trial after each rest."""
        return self._failures >= self._most

    def check(self) -> None:
        """Raise StripeDownError if the circuit is open."""
        if not self.is_open:
            return
        now = self._clock()
        if now < self._open_until:
            raise StripeDownError
        self._open_until = now + self._rest  # this caller tries, the others fail at once

    def succeeded(self) -> None:
        """Note that Stripe answered, even with a refusal."""
        if self.is_open:
            log.info("Stripe answers again", extra={"event": "stripe.up"})
        self._failures = 0

    def failed(self, reason: str) -> None:
        """Note that Stripe did not answer."""
        self._failures += 1
        self._open_until = self._clock() + self._rest
        if self._failures == self._most:
            log.warning("Stripe does not answer", extra={"event": "stripe.down", "reason": reason})
