"""What a member's connections of this worker share: a budget of frames, and the refusals that still hold.

A refusal by a rate limit is kept until it ends, so that repeating a refused message costs neither the store nor the
database anything.
"""

from __future__ import annotations

import math
import time
from typing import Final

from church.live.frame_budget import FrameBudget

_RATE: Final = 8.0  # frames a second that a member may send on average, for each connection that it may have,
_LEAST_RATE: Final = 40.0  # and not less than one connection alone may send
_SECONDS_AT_ONCE: Final = 5.0
_TIDY_SECONDS: Final = 30.0


class MemberLimits:
    """Budgets and refusals by the account's ref; call ``tick`` now and then to forget what is over.

    ``connections`` is how many a member may have.
    """

    def __init__(self, connections: int) -> None:
        self._rate = max(_LEAST_RATE, _RATE * connections)
        self._budgets: dict[str, FrameBudget] = {}
        self._refused: dict[tuple[str, str], float] = {}
        self._tidied_at = time.monotonic()

    def spend(self, ref: str, cost: float) -> bool:
        """Take ``cost`` from the member's budget; False if there is not so much left."""
        budget = self._budgets.get(ref)
        if budget is None:
            budget = self._budgets[ref] = FrameBudget(self._rate, self._rate * _SECONDS_AT_ONCE)
        return budget.spend(cost)

    def refuse(self, ref: str, limit: str, seconds: int) -> None:
        """Remember that the member has reached ``limit`` for so many seconds."""
        self._refused[ref, limit] = time.monotonic() + seconds

    def seconds_refused(self, ref: str, limit: str) -> int | None:
        """Seconds until the member is below ``limit`` again; None if no refusal is remembered."""
        until = self._refused.get((ref, limit))
        if until is None:
            return None
        left = until - time.monotonic()
        if left > 0:
            return math.ceil(left)
        del self._refused[ref, limit]
        return None

    def tick(self) -> None:
        """Forget refusals that are over, and budgets that have refilled."""
        now = time.monotonic()
        if now < self._tidied_at + _TIDY_SECONDS:
            return
        self._tidied_at = now
        self._refused = {key: until for key, until in self._refused.items() if until > now}
        self._budgets = {ref: budget for ref, budget in self._budgets.items() if not budget.is_full}
