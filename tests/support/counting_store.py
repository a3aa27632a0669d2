"""A store that counts as the real one does, without a server, by a clock of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from church.store import StoreDownError
from tests.support.clock import Clock


class CountingStore:
    """What ``RateCounters`` needs of the store. ``clock`` is the wall clock of its host."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.down = False
        self.pings = 0
        self.calls: list[list[str]] = []
        self.windows: dict[str, tuple[int, float]] = {}

    def total(self, key: str) -> int:
        count, ends = self.windows.get(key, (0, 0.0))
        return count if self.clock() < ends else 0

    def ping(self) -> bool:
        self.pings += 1
        return not self.down

    def delete(self, key: str) -> None:
        self._answer()
        self.windows.pop(key, None)

    def run_script(self, lua: str, keys: Sequence[str], args: Sequence[str | int]) -> Any:
        self.calls.append(list(keys))
        self._answer()
        adds = [tuple(args[start : start + 4]) for start in range(0, len(args), 4)]
        fits = all(
            most == "" or self.total(key) + add <= most for key, (add, most, _, _) in zip(keys, adds, strict=True)
        )
        reply = [int(fits)]
        for key, (add, _, left, whole) in zip(keys, adds, strict=True):
            reply += self._add(key, int(add) if fits else 0, int(left), int(whole))
        return reply

    def _add(self, key: str, add: int, left: int, whole: int) -> tuple[int, int]:
        total, ends = self.total(key), self.windows.get(key, (0, 0.0))[1]
        exists = self.clock() < ends
        if add and total + add >= 0:
            total += add
        elif not exists:
            return 0, 0
        ends = min(ends if exists else self.clock() + left / 1000, self.clock() + whole / 1000)
        self.windows[key] = (total, ends)
        return total, round((ends - self.clock()) * 1000)

    def _answer(self) -> None:
        if self.down:
            raise StoreDownError
