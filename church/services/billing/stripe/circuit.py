"""When Stripe counts as down: after a few failures in a row its callers fail at once for some seconds."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from church.services.billing.errors import StripeDownError

log = logging.getLogger("church.stripe")

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
